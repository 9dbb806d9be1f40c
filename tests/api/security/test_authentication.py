"""Who is let in, and as whom."""

import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest

from api.app import create_app
from api.requests.rate_limits import Rates
from api.security.audit_log import SecurityLog
from api.security.authentication import CACHED_TOKENS, Authenticator
from api.security.keys import Keys
from api.security.revocations import Revocations
from api.security.tokens import TokenRules, issue_token
from core.errors import AuthError, InvalidInput
from core.settings import Settings, load_settings
from data.auth_store import AuthStore
from tests.api.support import SECRET, Api, problem
from tests.support.clock import START, MovableClock

REQUEST: dict[str, Any] = {"headers": []}
NOW = int(START.timestamp())
FINE = {"sub": "alice", "exp": NOW + 3600}


def b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def signed(payload: bytes, header: bytes = b'{"alg":"HS256","typ":"JWT"}', secret: str = SECRET) -> str:
    """A token with a right signature over whatever bytes."""
    body = f"{b64(header)}.{b64(payload)}"
    return f"{body}.{b64(hmac.digest(secret.encode(), body.encode(), hashlib.sha256))}"


def token(claims: dict[str, Any] | None = None, **header: Any) -> str:
    claims = FINE if claims is None else claims
    return signed(json.dumps(claims).encode(), json.dumps({"alg": "HS256", "typ": "JWT", **header}).encode())


def without_signature(algorithm: str) -> str:
    return f"{b64(json.dumps({'alg': algorithm}).encode())}.{b64(json.dumps(FINE).encode())}."


def other_spelling(made: str) -> str:
    """The same bytes: the last letter of a signature of 32 bytes has two bits that mean nothing."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return made[:-1] + alphabet[alphabet.index(made[-1]) + 1]


GOOD = token()
ATTACKS: dict[str, str | None] = {
    "nothing": None,
    "empty": "",
    "no scheme": GOOD,
    "basic scheme": f"Basic {GOOD}",
    "garbage": "Bearer nonsense",
    "two dots of nothing": "Bearer ..",
    "alg none": "Bearer " + without_signature("none"),
    "alg None": "Bearer " + without_signature("nOnE"),
    "alg empty": "Bearer " + without_signature(""),
    "signature cut off": "Bearer " + GOOD.rpartition(".")[0] + ".",
    "signature of another secret": "Bearer " + signed(json.dumps(FINE).encode(), secret="x" * 40),
    "claims tampered with": "Bearer "
    + ".".join([GOOD.split(".")[0], b64(json.dumps({**FINE, "sub": "bob"}).encode()), GOOD.split(".")[2]]),
    "HS384 with the same secret": "Bearer " + jwt.encode(FINE, SECRET * 2, algorithm="HS384"),
    "jku": "Bearer " + token(jku="https://attacker.test/keys"),
    "x5u": "Bearer " + token(x5u="https://attacker.test/cert"),
    "jwk": "Bearer " + token(jwk={"kty": "oct", "k": "AAAA"}),
    "x5c": "Bearer " + token(x5c=["AAAA"]),
    "crit": "Bearer " + token(crit=["exp"]),
    "unencoded payload": "Bearer " + token(b64=False),
    "compressed": "Bearer " + token(zip="DEF"),
    "encrypted": "Bearer " + token(enc="A256GCM"),
    "alg with a space": "Bearer " + token(alg="HS256 "),
    "alg in small letters": "Bearer " + token(alg="hs256"),
    "alg null": "Bearer " + token(alg=None),
    "kid null": "Bearer " + token(kid=None),
    "kid a number": "Bearer " + token(kid=1),
    "kid a list": "Bearer " + token(kid=["a"]),
    "kid a path": "Bearer " + token(kid="../../../dev/null"),
    "kid an injection": "Bearer " + token(kid="x' UNION SELECT 'secret"),
    "kid a command": "Bearer " + token(kid="|/bin/true"),
    "four parts": f"Bearer {GOOD}.{GOOD.split('.')[2]}",
    "five parts, as if encrypted": "Bearer " + ".".join([*GOOD.split("."), "AAAA", "AAAA"]),
    "signature spelled otherwise": "Bearer " + other_spelling(GOOD),
    "signature padded": f"Bearer {GOOD}=",
    "signature with a line in it": f"Bearer {GOOD[:-4]}\n{GOOD[-4:]}",
    "a letter before it": f"Bearer x{GOOD}",
    "a quoted token": f'Bearer "{GOOD}"',
    "two tokens in one header": f"Bearer {GOOD}, Bearer {GOOD}",
    "header not an object": "Bearer " + signed(json.dumps(FINE).encode(), b'"HS256"'),
    "header not text": "Bearer " + signed(json.dumps(FINE).encode(), bytes([0xFF])),
    "nested": "Bearer " + signed(GOOD.encode(), json.dumps({"alg": "HS256", "cty": "JWT"}).encode()),
    "other type": "Bearer " + token(typ="id+jwt"),
    "type no text": "Bearer " + token(typ=5),
    "expired": "Bearer " + token({**FINE, "exp": NOW - 1}),
    "ends now": "Bearer " + token({**FINE, "exp": NOW}),
    "without an end": "Bearer " + token({"sub": "alice"}),
    "end null": "Bearer " + token({**FINE, "exp": None}),
    "end true": "Bearer " + token({**FINE, "exp": True}),
    "end a text": "Bearer " + token({**FINE, "exp": str(NOW + 3600)}),
    "end infinite": "Bearer " + signed(b'{"sub":"alice","exp":Infinity}'),
    "end not a number": "Bearer " + signed(b'{"sub":"alice","exp":NaN}'),
    "end overflows": "Bearer " + signed(b'{"sub":"alice","exp":1e999}'),
    "end in milliseconds": "Bearer " + token({**FINE, "exp": (NOW + 3600) * 1000}),
    "end in another age": "Bearer " + token({**FINE, "exp": 10**50}),
    "end beyond any number": "Bearer " + signed(b'{"sub":"alice","exp":1' + b"0" * 400 + b"}"),
    "end in eleven years": "Bearer " + token({**FINE, "exp": NOW + 11 * 366 * 86_400}),
    "not yet valid": "Bearer " + token({**FINE, "nbf": NOW + 60}),
    "made in the future": "Bearer " + token({**FINE, "iat": NOW + 60}),
    "no user": "Bearer " + token({"exp": NOW + 3600}),
    "empty user": "Bearer " + token({**FINE, "sub": ""}),
    "user a number": "Bearer " + token({**FINE, "sub": 7}),
    "user a list": "Bearer " + token({**FINE, "sub": ["alice"]}),
    "two users": "Bearer " + token({**FINE, "user_id": "bob"}),
    "second user empty": "Bearer " + token({**FINE, "user_id": ""}),
    "second user null": "Bearer " + token({**FINE, "user_id": None}),
    "user of other letters": "Bearer " + token({**FINE, "sub": "аlice"}),
    "user with a zero": "Bearer " + token({**FINE, "sub": "alice\0"}),
    "user with a line": "Bearer " + token({**FINE, "sub": "alice\n"}),
    "user a path": "Bearer " + token({**FINE, "sub": "../bob"}),
    "user too long": "Bearer " + token({**FINE, "sub": "a" * 129}),
    "user with invisible letters": "Bearer " + token({**FINE, "sub": "alice\u200b"}),
    "user written backwards": "Bearer " + token({**FINE, "sub": "\u202eecila"}),
    "user in wide letters": "Bearer " + token({**FINE, "sub": "\uff41lice"}),
    "user with half a letter": "Bearer " + signed(b'{"sub":"alice\\ud800","exp":%d}' % (NOW + 3600)),
    "a claim twice, once escaped": "Bearer " + signed(b'{"sub":"bob","s\\u0075b":"alice","exp":%d}' % (NOW + 3600)),
    "an end twice": "Bearer " + signed(b'{"sub":"alice","exp":%d,"exp":1}' % (NOW + 3600)),
    "a claim twice": "Bearer " + signed(b'{"sub":"bob","sub":"alice","exp":%d}' % (NOW + 3600)),
    "a header twice": "Bearer " + signed(json.dumps(FINE).encode(), b'{"alg":"none","alg":"HS256"}'),
    "claims a list": "Bearer " + signed(b"[]"),
    "claims not JSON": "Bearer " + signed(b"alice"),
    "claims not text": "Bearer " + signed(bytes([0xFF, 0xFE])),
    "claims nested deep": "Bearer " + signed(b"[" * 1500),
    "roles a text": "Bearer " + token({**FINE, "roles": "operator"}),
    "jti a number": "Bearer " + token({**FINE, "jti": 5}),
    "huge": "Bearer " + token({**FINE, "padding": "x" * 5000}),
}


@pytest.mark.parametrize("value", ATTACKS.values(), ids=ATTACKS.keys())
@pytest.mark.parametrize("path", ["/api/sync/state", "/api/config"])
async def test_every_token_but_a_good_one_is_refused_with_the_same_words(
    api: Api, path: str, value: str | None
) -> None:
    headers = {} if value is None else {"Authorization": value}
    answer = await api.http.get(path, headers=headers)
    body = problem(answer, 401, "unauthorized")
    assert body["detail"] == "Send a valid token: Authorization: Bearer TOKEN"
    assert answer.headers["www-authenticate"] == 'Bearer realm="postfleet"'
    assert api.store.snapshot.users == {}


@pytest.mark.parametrize(
    "claims",
    [
        FINE,
        {"user_id": "alice", "exp": NOW + 1},
        {"user_id": "alice", "sub": "alice", "exp": NOW + 1.5, "nbf": NOW + 5, "iat": NOW},
    ],
)
async def test_a_good_token_lets_its_user_in(api: Api, claims: dict[str, Any]) -> None:
    answer = await api.http.get("/api/sync/state", headers={"Authorization": f"bearer {token(claims)}"})
    assert answer.json()["user_id"] == "alice"


@pytest.mark.parametrize("name", ["X-User-Id", "X-User", "X-Forwarded-User", "Remote-User", "User-Id", "Cookie"])
async def test_a_header_that_names_somebody_else_changes_nothing(api: Api, alice: dict[str, str], name: str) -> None:
    for path in ("/api/sync/state", "/api/me"):
        answer = await api.http.get(path, headers={**alice, name: "bob"})
        assert answer.json()["user_id"] == "alice"
        problem(await api.http.get(f"{path}?user_id=bob", headers={**alice, name: "bob"}), 422, "invalid_input")
    await api.http.patch("/api/config", headers={**alice, name: "bob"}, json={})
    problem(await api.http.get("/api/sync/state", headers={name: "alice"}), 401, "unauthorized")
    assert set(api.store.snapshot.users) == {"alice"}


async def test_a_token_has_one_spelling(api: Api, alice: dict[str, str]) -> None:
    """The last character of a signature has two bits that mean nothing: three others decode to the same bytes."""
    good = alice["Authorization"]
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    group = alphabet.index(good[-1]) // 4 * 4
    others = {good[:-1] + character for character in alphabet[group : group + 4]}
    others |= {good + "=", good + "A", good.replace(".", "=.", 1), good.replace("-", "+"), good.replace("_", "/")}
    for other in others - {good}:
        problem(await api.http.get("/api/sync/state", headers={"Authorization": other}), 401, "unauthorized")
    assert (await api.http.get("/api/sync/state", headers=alice)).status_code == 200


async def test_two_tokens_in_one_request_are_refused(api: Api) -> None:
    headers = [("Authorization", f"Bearer {GOOD}"), ("Authorization", f"Bearer {GOOD}")]
    problem(await api.http.get("/api/sync/state", headers=headers), 401, "unauthorized")


async def test_a_token_in_the_address_is_worth_nothing(api: Api) -> None:
    problem(await api.http.get(f"/api/sync/state?token={GOOD}&access_token={GOOD}"), 401, "unauthorized")


async def test_a_remembered_token_ends_at_its_end(api: Api, alice: dict[str, str]) -> None:
    assert (await api.http.get("/api/sync/state", headers=alice)).status_code == 200
    await api.clock.advance(3600)
    problem(await api.http.get("/api/sync/state", headers=alice), 401, "unauthorized")


async def test_a_token_for_another_user_acts_on_that_user_alone(
    api: Api, alice: dict[str, str], bob: dict[str, str]
) -> None:
    await api.http.patch("/api/config", headers=alice, json={"post_content": "Alice's"})
    assert (await api.http.get("/api/config", headers=bob)).json()["post_content"] == ""


@pytest.fixture
async def authenticator(clock: MovableClock, tmp_path: Path) -> AsyncIterator[Authenticator]:
    memory = AuthStore.open(tmp_path)
    yield Authenticator(
        Keys(SECRET), TokenRules(), clock, Rates(Settings(), clock), SecurityLog(clock), Revocations(memory, clock)
    )
    await memory.close()


async def test_the_memory_of_verified_tokens_is_bounded(authenticator: Authenticator, clock: MovableClock) -> None:
    authenticator.known_limit = 3
    values = [
        b"Bearer " + issue_token(SECRET, f"user{n}", now=clock.now(), lifetime=timedelta(hours=1)).encode()
        for n in range(5)
    ]
    for value in values:
        authenticator.identify_value(value, REQUEST)
    assert authenticator.remembered == 3
    assert [authenticator.identify_value(value, REQUEST).user_id for value in values] == [f"user{n}" for n in range(5)]
    assert CACHED_TOKENS < 1_000_000


@pytest.mark.parametrize("lifetime", [timedelta(0), timedelta(days=-1), timedelta(days=11 * 366), timedelta.max])
def test_no_token_is_made_that_would_be_refused(lifetime: timedelta) -> None:
    with pytest.raises(InvalidInput, match="lifetime"):
        issue_token(SECRET, "alice", now=START, lifetime=lifetime)


@pytest.mark.parametrize("user_id", ["", "a b", "../x", "é", "a" * 129, ".hidden"])
def test_no_token_is_made_for_what_cannot_be_a_user(user_id: str) -> None:
    with pytest.raises(InvalidInput, match="characters"):
        issue_token(SECRET, user_id, now=START, lifetime=timedelta(hours=1))


async def test_a_refusal_never_shows_the_token(authenticator: Authenticator) -> None:
    with pytest.raises(AuthError) as refused:
        authenticator.identify_value(b"Bearer " + token({**FINE, "exp": 1}).encode(), REQUEST)
    assert "eyJ" not in str(refused.value)
    assert refused.value.__cause__ is None


@pytest.mark.parametrize(
    ("scope", "reads", "changes"), [("read", 200, 403), ("write", 403, 200), ("read write", 200, 200), ("", 403, 403)]
)
async def test_a_token_with_scopes_is_good_for_those_alone(api: Api, scope: str, reads: int, changes: int) -> None:
    headers = {"Authorization": f"Bearer {token({**FINE, 'scope': scope})}"}
    for path in ("/api/sync/state", "/api/config"):
        assert (await api.http.get(path, headers=headers)).status_code == reads
    answer = await api.http.patch("/api/config", headers=headers, json={"delay_between_posts": 1})
    assert answer.status_code == changes
    if changes == 403:
        assert problem(answer, 403, "forbidden")


async def test_a_service_that_refuses_strangers_makes_no_user(api: Api, settings: Settings) -> None:
    strict = load_settings(**{**settings.model_dump(), "refuse_unknown_users": True})
    app = create_app(strict, api.store, api.journal, api.bots, api.clock)
    headers = {"Authorization": f"Bearer {GOOD}"}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://postfleet.test") as http:
        problem(await http.get("/api/sync/state", headers=headers), 403, "forbidden")
        problem(await http.patch("/api/config", headers=headers, json={}), 403, "forbidden")
        assert api.store.snapshot.users == {}
        await api.http.patch("/api/config", headers=headers, json={})
        assert (await http.get("/api/sync/state", headers=headers)).status_code == 200
    await app.close()
