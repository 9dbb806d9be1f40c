"""Tokens of other issuers: keys by `kid` from a JWKS file, each good for one algorithm, rotated without a restart."""

import base64
import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from api.app import create_app
from api.security.keys import LOOK_AGAIN_SECONDS, Keys
from api.server.gateway import Gateway
from core.errors import SettingsError
from core.settings import Settings, load_settings
from tests.api.support import SECRET, Api, problem
from tests.support.clock import START

NOW = int(START.timestamp())
FINE = {"sub": "alice", "exp": NOW + 3600}
PATH = "/api/sync/state"
WEAK_RSA = rsa.generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505  it has to be refused
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER_RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC = ec.generate_private_key(ec.SECP256R1())
ED = ed25519.Ed25519PrivateKey.generate()
SHARED = b"an old secret shared with the issuer, long enough"


def entry(kid: str, public: Any, **more: str) -> dict[str, Any]:
    made: dict[str, Any]
    match public:
        case bytes():
            made = {"kty": "oct", "k": base64.urlsafe_b64encode(public).rstrip(b"=").decode()}
        case rsa.RSAPublicKey():
            made = RSAAlgorithm.to_jwk(public, as_dict=True)
        case ec.EllipticCurvePublicKey():
            made = ECAlgorithm.to_jwk(public, as_dict=True)
        case _:
            made = OKPAlgorithm.to_jwk(public, as_dict=True)
    made.pop("key_ops", None)
    return {**made, "kid": kid, **more}


ALL = [
    entry("rsa", RSA.public_key(), alg="RS256"),
    entry("ec", EC.public_key()),
    entry("ed", ED.public_key(), use="sig"),
    entry("shared", SHARED),
]


FOREIGN: dict[str, tuple[Any, str]] = {
    "post-quantum": ({"kty": "AKP", "alg": "ML-DSA-44", "kid": "pq", "pub": "AAAA"}, "'pq' cannot be read"),
    "for key agreement": ({"kty": "OKP", "crv": "X25519", "kid": "x25519", "x": "A" * 43}, "'x25519' cannot be read"),
    "another curve": ({"kty": "EC", "crv": "P-999", "kid": "p999", "x": "AA", "y": "AA"}, "'p999' cannot be read"),
    "a larger curve": (entry("p384", ec.generate_private_key(ec.SECP384R1()).public_key()), "'p384' is none of"),
    "no kid": ({**entry("x", OTHER_RSA.public_key()), "kid": None}, "key number 1 has no kid"),
    "an empty kid": (entry("", OTHER_RSA.public_key()), "key number 1 has no kid"),
    "a kid that is a number": ({**entry("x", OTHER_RSA.public_key()), "kid": 7}, "key number 1 has no kid"),
    "no object": ("a key", "key number 1 has no kid"),
    "short RSA": (entry("weak", WEAK_RSA.public_key()), "'weak' is none of"),
    "a short secret": (entry("short", b"short"), "'short' is none of"),
    "another algorithm": (entry("mixed", RSA.public_key(), alg="HS256"), "'mixed'"),
    "half a key": ({"kty": "RSA", "kid": "half", "n": "AQAB"}, "'half' cannot be read"),
    "numbers for texts": ({"kty": "EC", "crv": 5, "kid": "numbers", "x": 1, "y": []}, "'numbers' cannot be read"),
}
"""Keys that others publish, or damage, beside good ones; what is said of each."""


def write(file: Path, entries: list[Any]) -> None:
    """As an issuer does: a new file in the old one's place."""
    fresh = file.with_suffix(".new")
    fresh.write_text(json.dumps({"keys": entries}))
    fresh.replace(file)


@pytest.fixture
def jwks(tmp_path: Path) -> Path:
    file = tmp_path / "jwks.json"
    write(file, ALL)
    return file


@pytest.fixture
async def http(api: Api, settings: Settings, jwks: Path) -> Any:
    changed = load_settings(**{**settings.model_dump(), "jwks_file": jwks})
    app: Gateway = create_app(changed, api.store, api.journal, api.bots, api.clock)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://postfleet.test") as client:
        yield client
    await app.close()


def bearer(key: Any, algorithm: str, kid: Any, claims: dict[str, Any] | None = None, **header: Any) -> dict[str, str]:
    made = jwt.api_jws.PyJWS().encode(
        json.dumps(claims or FINE).encode(), key, algorithm, headers={"typ": "JWT", "kid": kid, **header}
    )
    return {"Authorization": f"Bearer {made}"}


@pytest.mark.parametrize(
    ("key", "algorithm", "kid"),
    [(RSA, "RS256", "rsa"), (EC, "ES256", "ec"), (ED, "EdDSA", "ed"), (SHARED, "HS256", "shared")],
)
async def test_each_kind_of_key_lets_its_tokens_in(http: httpx.AsyncClient, key: Any, algorithm: str, kid: str) -> None:
    assert (await http.get(PATH, headers=bearer(key, algorithm, kid))).json()["user_id"] == "alice"


PUBLIC_PEM = RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def confused(kid: str, secret: bytes) -> dict[str, str]:
    """An HS256 token whose secret is the public key everybody has. The library would refuse to make it."""

    def b64(raw: bytes) -> str:
        return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()

    head = b64(json.dumps({"alg": "HS256", "typ": "JWT", "kid": kid}).encode())
    body = f"{head}.{b64(json.dumps(FINE).encode())}"
    return {"Authorization": f"Bearer {body}.{b64(hmac.digest(secret, body.encode(), hashlib.sha256))}"}


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param(confused("rsa", PUBLIC_PEM), id="public key as HMAC secret"),
        pytest.param(confused("rsa", SECRET.encode()), id="secret under another key's id"),
        pytest.param(bearer(OTHER_RSA, "RS256", "rsa"), id="another private key"),
        pytest.param(bearer(RSA, "RS256", "ec"), id="key of another kind"),
        pytest.param(bearer(RSA, "RS512", "rsa"), id="other hash"),
        pytest.param(bearer(RSA, "PS256", "rsa"), id="other padding"),
        pytest.param(bearer(RSA, "RS256", "nobody"), id="unknown kid"),
        pytest.param(bearer(RSA, "RS256", "../../etc/passwd"), id="kid a path"),
        pytest.param(confused("/dev/null", b""), id="kid an empty file"),
        pytest.param(bearer(RSA, "RS256", "rsa' OR '1'='1"), id="kid an injection"),
        pytest.param(bearer(RSA, "RS256", ""), id="kid empty"),
        pytest.param(bearer(OTHER_RSA, "RS256", "rsa", jku="https://attacker.test/jwks"), id="jku"),
        pytest.param(
            bearer(OTHER_RSA, "RS256", "rsa", jwk=entry("rsa", OTHER_RSA.public_key())), id="brings its own key"
        ),
    ],
)
async def test_a_token_is_verified_with_its_key_and_its_algorithm_alone(
    http: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    body = problem(await http.get(PATH, headers=headers), 401, "unauthorized")
    assert body["detail"] == "Send a valid token: Authorization: Bearer TOKEN"


async def test_keys_rotate_without_a_restart_and_the_old_one_verifies_until_it_is_taken_out(
    api: Api, http: httpx.AsyncClient, jwks: Path
) -> None:
    old, new = bearer(RSA, "RS256", "rsa"), bearer(OTHER_RSA, "RS256", "rsa-2")
    assert [(await http.get(PATH, headers=headers)).status_code for headers in (old, new)] == [200, 401]
    write(jwks, [*ALL, entry("rsa-2", OTHER_RSA.public_key())])
    await api.clock.advance(LOOK_AGAIN_SECONDS + 0.1)
    assert [(await http.get(PATH, headers=headers)).status_code for headers in (old, new)] == [200, 200]
    write(jwks, [entry("rsa-2", OTHER_RSA.public_key())])
    await api.clock.advance(LOOK_AGAIN_SECONDS + 0.1)
    assert [(await http.get(PATH, headers=headers)).status_code for headers in (old, new)] == [401, 200]


async def test_a_broken_key_file_leaves_the_keys_as_they_were(
    api: Api, http: httpx.AsyncClient, jwks: Path, caplog: pytest.LogCaptureFixture
) -> None:
    headers = bearer(RSA, "RS256", "rsa")
    jwks.write_text('{"keys": [')
    await api.clock.advance(LOOK_AGAIN_SECONDS + 0.1)
    assert (await http.get(PATH, headers=headers)).status_code == 200
    assert "keys stay as they were" in caplog.text
    jwks.unlink()
    await api.clock.advance(LOOK_AGAIN_SECONDS + 0.1)
    assert (await http.get(PATH, headers=headers)).status_code == 200


@pytest.mark.parametrize(("foreign", "said"), FOREIGN.values(), ids=FOREIGN.keys())
def test_a_key_that_cannot_be_used_is_skipped_and_told_of(
    tmp_path: Path, foreign: Any, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "jwks.json"
    write(file, [foreign, ALL[0]])
    keys = Keys(SECRET, file)
    assert keys.key("rsa") is not None
    if isinstance(foreign, dict) and foreign.get("kid") != "rsa":
        assert keys.key(foreign.get("kid") or "") is None
    assert said in caplog.text
    write(file, [foreign])
    with pytest.raises(SettingsError, match=said) as refused:
        Keys(SECRET, file)
    assert "none of the keys" in str(refused.value)


def test_of_two_keys_with_one_kid_the_first_counts(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(tmp_path / "jwks.json", [ALL[0], entry("rsa", OTHER_RSA.public_key())])
    key = Keys(SECRET, tmp_path / "jwks.json").key("rsa")
    assert key is not None
    assert key.value.public_numbers() == RSA.public_key().public_numbers()
    assert "key number 2 has the kid 'rsa' of another one" in caplog.text


async def test_a_foreign_key_beside_a_new_one_does_not_stop_the_rotation(
    api: Api, http: httpx.AsyncClient, jwks: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(jwks, [*(foreign for foreign, _ in FOREIGN.values()), entry("new", OTHER_RSA.public_key())])
    await api.clock.advance(LOOK_AGAIN_SECONDS + 0.1)
    assert (await http.get(PATH, headers=bearer(OTHER_RSA, "RS256", "new"))).status_code == 200
    assert (await http.get(PATH, headers=bearer(RSA, "RS256", "rsa"))).status_code == 401
    assert "'x25519' cannot be read" in caplog.text


@pytest.mark.parametrize("text", ['{"keys": {}}', '{"keys": "x"}', '{"keys": null}', "[]", "", "[" * 100_000, '"\xff"'])
def test_a_file_that_is_none_keeps_the_daemon_from_starting(tmp_path: Path, text: str) -> None:
    (tmp_path / "jwks.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(SettingsError, match="cannot be read as"):
        Keys(SECRET, tmp_path / "jwks.json")


@pytest.mark.parametrize(
    ("claims", "status"),
    [
        ({"iss": "https://login.example", "aud": "postfleet"}, 200),
        ({"iss": "https://login.example", "aud": ["other", "postfleet"]}, 200),
        ({"iss": "https://login.example"}, 401),
        ({"iss": "https://login.example", "aud": "postfleet-2"}, 401),
        ({"iss": "https://login.example", "aud": []}, 401),
        ({"iss": "https://evil.example", "aud": "postfleet"}, 401),
        ({"aud": "postfleet"}, 401),
        ({"iss": ["https://login.example"], "aud": "postfleet"}, 401),
    ],
)
async def test_issuer_and_audience_are_checked_when_they_are_configured(
    api: Api, settings: Settings, claims: dict[str, Any], status: int
) -> None:
    rules = {"jwt_issuer": "https://login.example", "jwt_audience": "postfleet"}
    app = create_app(load_settings(**{**settings.model_dump(), **rules}), api.store, api.journal, api.bots, api.clock)
    made = jwt.api_jws.PyJWS().encode(json.dumps({**FINE, **claims}).encode(), SECRET, "HS256")
    headers = {"Authorization": f"Bearer {made}"}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://postfleet.test") as client:
        assert (await client.get(PATH, headers=headers)).status_code == status
    await app.close()
