"""The keys tokens are verified with, each with the one algorithm it is for.

A token without `kid` is verified with POSTFLEET_JWT_SECRET (HS256); one with `kid` with that key of the JWKS file
(POSTFLEET_JWKS_FILE). The file is looked at again every second: put a new key beside the old one, change the issuer,
and take the old one out when its last token has ended. Issuers publish keys of other kinds beside theirs: what cannot
be used here is skipped, with a warning.
"""

import json
import logging
import warnings
from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from core.errors import SettingsError
from core.settings import MIN_SECRET_BYTES

log = logging.getLogger(__name__)

LOOK_AGAIN_SECONDS = 1.0
_SMALLEST_RSA_BITS = 2048
_MAX_FILE_BYTES = 1_000_000
_MOST_SAID = 10
"""How many keys that cannot be used are named."""


@dataclass(frozen=True)
class Key:
    """A key to verify with, and the one algorithm it may be used with."""

    algorithm: str
    value: Any
    """Bytes of a shared secret, or a public key of `cryptography`."""
    verifier: jwt.algorithms.Algorithm

    def signed(self, message: bytes, signature: bytes) -> bool:
        """Return whether the signature over the message was made with this key (or its private half)."""
        return self.verifier.verify(message, self.value, signature)


class Keys:
    """The secret and what the JWKS file holds."""

    def __init__(self, secret: str, jwks_file: Path | None = None) -> None:
        """Read the file.

        Raises:
            SettingsError: it cannot be read, or holds keys of which none can be used; says why.
        """
        self._secret = _key("HS256", secret.encode())
        self._file = jwks_file
        self._seen: tuple[int, int] | None = None
        self._by_id: dict[str, Key] = {}
        self._look_again_at = 0.0
        self.generation = 0
        """Grows whenever the keys change. Tokens verified before then have to be verified again."""
        if jwks_file is not None:
            self._seen = _mark(jwks_file)
            self._by_id = read_jwks(jwks_file)

    def key(self, key_id: str | None) -> Key | None:
        """Return the key of that id, None when there is none."""
        return self._secret if key_id is None else self._by_id.get(key_id)

    def stand_in(self, algorithm: str) -> Key:
        """Return a key to verify a token that names none of ours, so that its refusal takes as long as any other."""
        return next((key for key in self._by_id.values() if key.algorithm == algorithm), self._secret)

    def look(self, now: float) -> None:
        """Read the file again when it has changed. The keys stay when it cannot be used; the log says so."""
        if self._file is None or self._look_again_at - now >= 0:
            return
        self._look_again_at = now + LOOK_AGAIN_SECONDS
        try:
            mark = _mark(self._file)
            if mark == self._seen:
                return
            self._seen = mark
            by_id = read_jwks(self._file)
        except SettingsError as error:
            log.error("The keys stay as they were: %s", error, extra={"action": "keys_not_read"})  # noqa: TRY400
            return
        self._by_id = by_id
        self.generation += 1
        log.info("Read %s keys", len(by_id), extra={"action": "keys_read", "key_ids": sorted(by_id)})


def read_jwks(file: Path) -> dict[str, Key]:
    """Return the keys of a JWKS file by id. The log names those that cannot be used; they are skipped.

    Raises:
        SettingsError: the file cannot be read, or has keys and none of them can be used.
    """
    entries = _entries(file)
    keys: dict[str, Key] = {}
    skipped: list[str] = []
    for position, entry in enumerate(entries):
        try:
            key_id = _key_id(entry, position, keys)
            if entry.get("use", "sig") == "sig":
                keys[key_id] = _usable(key_id, entry)
        except _Unusable as error:
            skipped.append(str(error))
    if entries and not keys:
        why = "; ".join(skipped[:_MOST_SAID]) or "none of them is for signatures"
        raise SettingsError(f"POSTFLEET_JWKS_FILE: none of the keys in {file} can be used: {why}")
    for said in skipped[:_MOST_SAID]:
        log.warning("POSTFLEET_JWKS_FILE: skipped, because %s", said, extra={"action": "key_skipped"})
    return keys


def _entries(file: Path) -> list[Any]:
    try:
        with file.open("rb") as opened:
            raw = opened.read(_MAX_FILE_BYTES + 1)
        if len(raw) > _MAX_FILE_BYTES:
            raise SettingsError(f"POSTFLEET_JWKS_FILE: {file} is far too large for keys")
        entries = json.loads(raw)["keys"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        entries = None
    if not isinstance(entries, list):
        raise SettingsError(f'POSTFLEET_JWKS_FILE: {file} cannot be read as {{"keys": […]}}')
    return entries


class _Unusable(ValueError):
    """A key that is skipped; the text says which and why, and never shows it."""


def _key_id(entry: object, position: int, taken: Container[str]) -> str:
    key_id = entry.get("kid") if isinstance(entry, dict) else None
    if not isinstance(key_id, str) or not key_id:
        raise _Unusable(f"key number {position + 1} has no kid: no token can name it")
    if key_id in taken:
        raise _Unusable(f"key number {position + 1} has the kid '{key_id[:80]}' of another one")
    return key_id


def _usable(key_id: str, entry: dict[str, Any]) -> Key:
    try:
        with warnings.catch_warnings():
            # The library warns of keys that are too short. They are refused below.
            warnings.simplefilter("ignore")
            value = jwt.PyJWK(entry).key
        public = value.public_key() if hasattr(value, "public_key") else value
        algorithm = _algorithm_of(public)
    except Exception:  # noqa: BLE001  a foreign entry may raise anything in the library; the other keys are good
        raise _Unusable(f"key '{key_id[:80]}' cannot be read") from None
    if algorithm is None or entry.get("alg", algorithm) != algorithm:
        raise _Unusable(
            f"key '{key_id[:80]}' is none of: RSA of {_SMALLEST_RSA_BITS} bits or more for RS256, "
            f"P-256 for ES256, Ed25519 for EdDSA, {MIN_SECRET_BYTES} bytes or more for HS256"
        )
    return _key(algorithm, public)


def _key(algorithm: str, value: Any) -> Key:
    return Key(algorithm, value, jwt.get_algorithm_by_name(algorithm))


def _algorithm_of(key: object) -> str | None:
    match key:
        case bytes() if len(key) >= MIN_SECRET_BYTES:
            return "HS256"
        case RSAPublicKey() if key.key_size >= _SMALLEST_RSA_BITS:
            return "RS256"
        case EllipticCurvePublicKey() if isinstance(key.curve, SECP256R1):
            return "ES256"
        case Ed25519PublicKey():
            return "EdDSA"
    return None


def _mark(file: Path) -> tuple[int, int]:
    try:
        status = file.stat()
    except OSError:
        raise SettingsError(f"POSTFLEET_JWKS_FILE: {file} cannot be read") from None
    return status.st_mtime_ns, status.st_ino
