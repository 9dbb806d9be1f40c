"""The server side of two-step verification: SRP as Telegram uses it. https://core.telegram.org/api/srp"""

import secrets
from hashlib import sha256
from typing import Any

from telethon.password import compute_hash
from telethon.tl import types

from sandbox.mtproto.primes import DH_PRIME, DH_PRIME_BYTES

GENERATOR = 3
_SIZE = 256


def _padded(number: int) -> bytes:
    return number.to_bytes(_SIZE, "big")


def _hash(*parts: bytes) -> bytes:
    return sha256(b"".join(parts)).digest()


def new_algorithm(salt_bytes: int) -> Any:
    """Return the parameters for a new password. Clients append their own bytes to the first salt."""
    return types.PasswordKdfAlgoSHA256SHA256PBKDF2HMACSHA512iter100000SHA256ModPow(
        salt1=secrets.token_bytes(salt_bytes), salt2=secrets.token_bytes(16), g=GENERATOR, p=DH_PRIME_BYTES
    )


class Verifier:
    """What a server stores to check a password without knowing it."""

    def __init__(self, algorithm: Any, v: int, hint: str = "") -> None:
        self.algorithm = algorithm
        self.hint = hint
        self._v = v

    @classmethod
    def from_password(cls, password: str) -> "Verifier":
        """Return the verifier of a password. This takes a tenth of a second."""
        algorithm = new_algorithm(40)
        v = pow(GENERATOR, int.from_bytes(compute_hash(algorithm, password), "big"), DH_PRIME)
        return cls(algorithm, v)

    def challenge(self) -> "Challenge":
        """Return a fresh challenge."""
        return Challenge(self.algorithm, self._v)


class Challenge:
    """One SRP exchange, valid for one check."""

    def __init__(self, algorithm: Any, v: int) -> None:
        self._algorithm = algorithm
        self._v = v
        self.id = secrets.randbits(62)
        multiplier = int.from_bytes(_hash(DH_PRIME_BYTES, _padded(GENERATOR)), "big")
        while True:
            self._secret = secrets.randbits(2048)
            self._public = (multiplier * v + pow(GENERATOR, self._secret, DH_PRIME)) % DH_PRIME
            if self._public.bit_length() > 2048 - 64:
                break

    @property
    def public(self) -> bytes:
        """Return the server's public value, srp_B."""
        return _padded(self._public)

    def accepts(self, client_public: bytes, proof: bytes) -> bool:
        """Return whether the proof (M1) shows knowledge of the password."""
        a = int.from_bytes(client_public, "big")
        if not 1 < a < DH_PRIME - 1:
            return False
        u = int.from_bytes(_hash(_padded(a), self.public), "big")
        shared = pow(a * pow(self._v, u, DH_PRIME), self._secret, DH_PRIME)
        mixed = bytes(one ^ other for one, other in zip(_hash(DH_PRIME_BYTES), _hash(_padded(GENERATOR)), strict=True))
        expected = _hash(
            mixed,
            _hash(self._algorithm.salt1),
            _hash(self._algorithm.salt2),
            _padded(a),
            self.public,
            _hash(_padded(shared)),
        )
        return secrets.compare_digest(expected, proof)
