"""Whatever is wrong with a token, its sender learns that it is refused and nothing else."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest

from api.app import create_app
from api.security import tokens
from api.security.keys import LOOK_AGAIN_SECONDS, Key
from api.security.tokens import Identity
from core.settings import Settings, load_settings
from tests.api.security.test_authentication import ATTACKS, FINE, GOOD, NOW, b64, token
from tests.api.security.test_keys import ALL, OTHER_RSA, PUBLIC_PEM, RSA, confused, write
from tests.api.security.test_keys import bearer as keyed
from tests.api.support import SECRET, Api

STRICT = {"iss": "https://login.example", "aud": "postfleet"}
PATHS = ["/api/sync/state", "/api/config", "/api/admin/overview", "/metrics"]


def as_wished(claims: dict[str, Any]) -> str:
    return "Bearer " + token({**FINE, **STRICT, **claims})


FURTHER = {
    "another issuer": as_wished({"iss": "https://evil.example"}),
    "no issuer": "Bearer " + token({**FINE, "aud": "postfleet"}),
    "for somebody else": as_wished({"aud": "other"}),
    "revoked": as_wished({"jti": "stolen"}),
    "public key as secret": confused("rsa", PUBLIC_PEM)["Authorization"],
    "another private key": keyed(OTHER_RSA, "RS256", "rsa")["Authorization"],
    "a key of another kind": keyed(RSA, "RS256", "ec")["Authorization"],
    "an unknown key": keyed(RSA, "RS256", "nobody")["Authorization"],
    "a key that was taken out": keyed(OTHER_RSA, "RS256", "old", {**FINE, **STRICT})["Authorization"],
}


@pytest.fixture
async def http(api: Api, settings: Settings, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """The API with everything that can be configured about tokens; one was revoked, one key taken out."""
    file = tmp_path / "jwks.json"
    old = [{**ALL[0], "kid": "old"}]
    write(file, [*ALL, *old])
    more: dict[str, Any] = {
        "jwks_file": file,
        "jwt_issuer": STRICT["iss"],
        "jwt_audience": STRICT["aud"],
        "rate_failed_auth": "100000/minute",
    }
    app = create_app(load_settings(**{**settings.model_dump(), **more}), api.store, api.journal, api.bots, api.clock)
    write(file, ALL)
    await api.clock.advance(LOOK_AGAIN_SECONDS + 0.1)
    await app.context.revocations.revoke("stolen", float(NOW + 9999))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://postfleet.test") as client:
        assert (await client.get(PATHS[0], headers={"Authorization": as_wished({})})).status_code == 200
        yield client
    await app.close()


@pytest.mark.parametrize("path", PATHS)
async def test_all_refusals_are_the_same_to_the_byte_but_for_the_requests_id(
    http: httpx.AsyncClient, path: str
) -> None:
    seen: dict[tuple[Any, ...], str] = {}
    for name, value in {**ATTACKS, **FURTHER}.items():
        headers = [] if value is None else [(b"Authorization", value.encode())]
        answer = await http.get(path, headers=headers)
        own = answer.headers["x-request-id"]
        others = tuple((key, said) for key, said in answer.headers.multi_items() if key != "x-request-id")
        seen[(answer.status_code, answer.content.replace(own.encode(), b"ID"), others)] = name
    assert len(seen) == 1, seen
    ((status, body, _),) = seen
    assert status == 401
    assert json.loads(body)["request_id"] == "ID"


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Counts what costs time that somebody outside could measure: signatures verified, claims looked at."""
    done = {"verified": 0, "claims": 0}
    verify, look = Key.signed, tokens.identity_of

    def counted_verify(key: Key, message: bytes, signature: bytes) -> bool:
        done["verified"] += 1
        return verify(key, message, signature)

    def counted_look(claims: dict[str, object], now: float, key_id: str | None) -> Identity:
        done["claims"] += 1
        return look(claims, now, key_id)

    monkeypatch.setattr(Key, "signed", counted_verify)
    monkeypatch.setattr(tokens, "identity_of", counted_look)
    return done


def resigned(claims: dict[str, Any], header: dict[str, Any] | None = None) -> str:
    """Anything, with a signature made of nothing."""
    head = {"alg": "HS256", "typ": "JWT", **(header or {})}
    return f"Bearer {b64(json.dumps(head).encode())}.{b64(json.dumps(claims).encode())}.{'A' * 43}"


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(resigned({**FINE, **STRICT}), id="good claims"),
        pytest.param(resigned({**FINE, **STRICT, "exp": 1}), id="expired"),
        pytest.param(resigned({**FINE, **STRICT, "jti": "stolen"}), id="revoked"),
        pytest.param(resigned({**FINE, **STRICT, "sub": "nobody-here"}), id="unknown user"),
        pytest.param(resigned({**FINE, "aud": "other"}), id="for somebody else"),
        pytest.param(resigned(FINE, {"kid": "rsa"}), id="id of a key of ours, another algorithm"),
        pytest.param(resigned(FINE, {"kid": "shared"}), id="id of a key of ours"),
        pytest.param(resigned(FINE, {"kid": "nobody"}), id="id of no key"),
        pytest.param(resigned(FINE, {"kid": "nobody", "alg": "RS256"}), id="id of no key, RS256"),
        pytest.param(resigned(FINE, {"kid": "rsa", "alg": "RS256"}), id="id of a key of ours, RS256"),
        pytest.param(resigned(FINE, {"alg": "ES256"}), id="another algorithm"),
        pytest.param(resigned(FINE, {"alg": "XX999"}), id="no algorithm at all"),
        pytest.param("Bearer " + GOOD[:-4] + "AAAA", id="a signature that is nearly right"),
    ],
)
async def test_without_a_signature_of_ours_time_tells_nothing_of_claims_keys_and_users(
    http: httpx.AsyncClient, work: dict[str, int], value: str
) -> None:
    """Counted, not measured: one verification, and not one claim looked at, whatever is wrong."""
    answer = await http.get("/api/sync/state", headers={"Authorization": value})
    assert answer.status_code == 401
    assert work == {"verified": 1, "claims": 0}


async def test_a_token_of_ours_is_verified_once_and_then_remembered(
    http: httpx.AsyncClient, work: dict[str, int]
) -> None:
    headers = {"Authorization": as_wished({"jti": "mine"})}
    for _ in range(5):
        assert (await http.get("/api/sync/state", headers=headers)).status_code == 200
    assert work == {"verified": 1, "claims": 1}
    with pytest.raises(jwt.InvalidSignatureError):
        jwt.decode(headers["Authorization"].split()[1][:-4] + "AAAA", SECRET, algorithms=["HS256"])
