"""The server side of the key exchange. https://core.telegram.org/mtproto/auth_key

Telethon wraps its first secret in the old form, SHA1 + data + random bytes; newer clients use RSA_PAD. Both are
accepted.
"""

import os
import secrets
import time
from dataclasses import dataclass, field
from hashlib import sha1, sha256
from typing import Any

from telethon.crypto import AES
from telethon.helpers import generate_key_data_from_nonce
from telethon.tl import functions, types

from sandbox.keys import ServerKey
from sandbox.mtproto.primes import DH_PRIME, DH_PRIME_BYTES, random_pq
from sandbox.mtproto.reader import BadBody, parse

GENERATOR = 3
INNER_DATA = (
    types.PQInnerData,
    types.PQInnerDataDc,
    types.PQInnerDataTemp,
    types.PQInnerDataTempDc,
)


class BadHandshake(ValueError):
    """The client broke the protocol. The connection is closed with -404, as Telegram does."""


def _bytes(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) // 8, "big")


def _nonce(nbytes: int) -> int:
    return int.from_bytes(os.urandom(nbytes), "little", signed=True)


@dataclass
class Handshake:
    """One client's key exchange. `key` is empty until the exchange is complete."""

    server: ServerKey
    nonce: int = 0
    server_nonce: int = field(default_factory=lambda: _nonce(16))
    new_nonce: int = 0
    pq: int = 0
    secret: int = 0
    temporary: tuple[bytes, bytes] = (b"", b"")
    key: bytes = b""

    def answer(self, request: Any) -> Any:
        """Return the answer to one step. Raises BadHandshake."""
        if isinstance(request, functions.ReqPqMultiRequest | functions.ReqPqRequest):
            return self._pq(request)
        if not isinstance(request, functions.ReqDHParamsRequest | functions.SetClientDHParamsRequest):
            raise BadHandshake("not part of a key exchange")
        if request.nonce != self.nonce or request.server_nonce != self.server_nonce or not self.pq:
            raise BadHandshake("the nonces belong to another exchange")
        if isinstance(request, functions.ReqDHParamsRequest):
            return self._dh_params(request)
        if isinstance(request, functions.SetClientDHParamsRequest) and self.secret:
            return self._dh_done(request)
        raise BadHandshake("the steps are out of order")

    def _pq(self, request: Any) -> Any:
        self.nonce = request.nonce
        self.pq = random_pq()
        return types.ResPQ(self.nonce, self.server_nonce, _bytes(self.pq), [self.server.fingerprint])

    def _dh_params(self, request: Any) -> Any:
        if request.public_key_fingerprint != self.server.fingerprint or len(request.encrypted_data) != 256:
            raise BadHandshake("encrypted with another RSA key")
        inner = self._inner(self.server.decrypt(request.encrypted_data))
        p, q = int.from_bytes(request.p, "big"), int.from_bytes(request.q, "big")
        if (inner.nonce, inner.server_nonce) != (self.nonce, self.server_nonce) or p * q != self.pq or p >= q:
            raise BadHandshake("the inner message does not match")
        self.new_nonce = inner.new_nonce
        self.secret = secrets.randbits(256) | 1 << 255  # as safe as a full-length exponent, at an eighth of the cost
        self.temporary = generate_key_data_from_nonce(self.server_nonce, self.new_nonce)
        data = bytes(
            types.ServerDHInnerData(
                nonce=self.nonce,
                server_nonce=self.server_nonce,
                g=GENERATOR,
                dh_prime=DH_PRIME_BYTES,
                g_a=_bytes(pow(GENERATOR, self.secret, DH_PRIME)),
                server_time=int(time.time()),
            )
        )
        data = sha1(data, usedforsecurity=False).digest() + data
        data += os.urandom(-len(data) % 16)
        return types.ServerDHParamsOk(self.nonce, self.server_nonce, AES.encrypt_ige(data, *self.temporary))

    @staticmethod
    def _inner(plain: bytes) -> Any:
        try:
            digest, data = plain[1:21], plain[21:]
            inner = parse(data)
            if digest == sha1(bytes(inner), usedforsecurity=False).digest() and isinstance(inner, INNER_DATA):
                return inner
        except BadBody:
            pass  # not the old form
        wrapped_key, cipher = plain[:32], plain[32:]
        temporary = bytes(a ^ b for a, b in zip(wrapped_key, sha256(cipher).digest(), strict=True))
        padded = AES.decrypt_ige(cipher, temporary, bytes(32))
        data, digest = padded[:192][::-1], padded[192:]
        try:
            inner = parse(data)
        except BadBody as error:
            raise BadHandshake("the inner message cannot be read") from error
        if digest != sha256(temporary + data).digest() or not isinstance(inner, INNER_DATA):
            raise BadHandshake("the hash is wrong")
        return inner

    def _dh_done(self, request: Any) -> Any:
        if not request.encrypted_data or len(request.encrypted_data) % 16:
            raise BadHandshake("not a multiple of 16 bytes")
        plain = AES.decrypt_ige(request.encrypted_data, *self.temporary)
        try:
            inner = parse(plain[20:])
        except BadBody as error:
            raise BadHandshake("the inner message cannot be read") from error
        if (
            not isinstance(inner, types.ClientDHInnerData)
            or plain[:20] != sha1(bytes(inner), usedforsecurity=False).digest()
        ):
            raise BadHandshake("the hash is wrong")
        g_b = int.from_bytes(inner.g_b, "big")
        if not 1 < g_b < DH_PRIME - 1:
            raise BadHandshake("g_b is out of range")
        shared = _bytes(pow(g_b, self.secret, DH_PRIME))
        if len(shared) != 256:  # Telethon strips leading zeros and would have another key, so let it try again
            return types.DhGenRetry(self.nonce, self.server_nonce, self._hash(2, shared))
        self.key = shared
        return types.DhGenOk(self.nonce, self.server_nonce, self._hash(1, shared))

    def _hash(self, number: int, key: bytes) -> int:
        auxiliary = sha1(key, usedforsecurity=False).digest()[:8]
        data = self.new_nonce.to_bytes(32, "little", signed=True) + bytes([number]) + auxiliary
        return int.from_bytes(sha1(data, usedforsecurity=False).digest()[4:20], "little", signed=True)
