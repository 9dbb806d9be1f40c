"""The key exchange step by step, including what Telethon never does: RSA_PAD, short keys and cheating."""

import os
import secrets
from hashlib import sha1, sha256
from typing import Any

import pytest
from telethon.crypto import AES, Factorization
from telethon.helpers import generate_key_data_from_nonce
from telethon.tl import functions, types

from sandbox.keys import ServerKey, server_key
from sandbox.mtproto.handshake import BadHandshake, Handshake
from sandbox.mtproto.reader import parse


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> ServerKey:
    return server_key(tmp_path_factory.mktemp("key"))


def number(nbytes: int) -> int:
    return int.from_bytes(os.urandom(nbytes), "little", signed=True)


def octets(value: int) -> bytes:
    return value.to_bytes((value.bit_length() + 7) // 8, "big")


def old_wrapping(data: bytes) -> bytes:
    """SHA1, data, random bytes."""
    return sha1(data, usedforsecurity=False).digest() + data + os.urandom(235 - len(data))


def newer_wrapping(data: bytes, modulus: int) -> bytes:
    """RSA_PAD of https://core.telegram.org/mtproto/auth_key"""
    padded = data + os.urandom(192 - len(data))
    while True:
        temporary = os.urandom(32)
        inner = padded[::-1] + sha256(temporary + padded).digest()
        cipher: bytes = AES.encrypt_ige(inner, temporary, bytes(32))
        hidden = bytes(one ^ other for one, other in zip(temporary, sha256(cipher).digest(), strict=True))
        if int.from_bytes(hidden + cipher, "big") < modulus:
            return hidden + cipher


class Client:
    """The client's side of one exchange."""

    def __init__(self, key: ServerKey) -> None:
        self.key = key
        self.exchange = Handshake(key)
        self.nonce, self.new_nonce = number(16), number(32)
        self.offer = self.exchange.answer(functions.ReqPqMultiRequest(self.nonce))

    def prove(self, *, newer: bool = False, fingerprint: int | None = None, spoil: bool = False) -> Any:
        """Step two: send the encrypted factors."""
        p, q = Factorization.factorize(int.from_bytes(self.offer.pq, "big"))
        inner = types.PQInnerDataDc(
            pq=self.offer.pq,
            p=octets(p),
            q=octets(q),
            nonce=self.nonce,
            server_nonce=self.offer.server_nonce,
            new_nonce=self.new_nonce,
            dc=2,
        )
        data = bytes(inner)
        block = newer_wrapping(data, self.key.modulus) if newer else old_wrapping(data)
        if spoil:
            block = os.urandom(len(block))
        cipher = pow(int.from_bytes(block, "big"), self.key.exponent, self.key.modulus).to_bytes(256, "big")
        return self.exchange.answer(
            functions.ReqDHParamsRequest(
                self.nonce,
                self.offer.server_nonce,
                octets(p),
                octets(q),
                self.key.fingerprint if fingerprint is None else fingerprint,
                cipher,
            )
        )

    def params(self, answer: Any) -> Any:
        """Decrypt the Diffie-Hellman parameters of the data centre."""
        self.temporary = generate_key_data_from_nonce(self.offer.server_nonce, self.new_nonce)
        return parse(AES.decrypt_ige(answer.encrypted_answer, *self.temporary)[20:])

    def finish(self, g_b: int) -> Any:
        """Step three: send the client's public value."""
        data = bytes(types.ClientDHInnerData(self.nonce, self.offer.server_nonce, 0, octets(g_b)))
        cipher = AES.encrypt_ige(sha1(data, usedforsecurity=False).digest() + data, *self.temporary)
        return self.exchange.answer(functions.SetClientDHParamsRequest(self.nonce, self.offer.server_nonce, cipher))


@pytest.mark.parametrize("newer", [False, True])
def test_both_wrappings_lead_to_a_shared_key(key: ServerKey, newer: bool) -> None:
    client = Client(key)
    params = client.params(client.prove(newer=newer))
    prime, b = int.from_bytes(params.dh_prime, "big"), secrets.randbits(256)
    answer = client.finish(pow(params.g, b, prime))
    shared = octets(pow(int.from_bytes(params.g_a, "big"), b, prime))
    if isinstance(answer, types.DhGenOk):
        assert client.exchange.key == shared
    else:  # the key is short once in 256 times
        assert len(shared) < 256


def test_a_key_with_leading_zeros_is_tried_again(key: ServerKey) -> None:
    client = Client(key)
    params = client.params(client.prove())
    prime, g_a = int.from_bytes(params.dh_prime, "big"), int.from_bytes(params.g_a, "big")
    b, shared = 1, g_a
    while shared.bit_length() > 2040:
        b, shared = b + 1, shared * g_a % prime
    assert isinstance(client.finish(pow(params.g, b, prime)), types.DhGenRetry)
    assert client.exchange.key == b""


def test_the_next_attempt_after_a_retry_succeeds(key: ServerKey) -> None:
    client = Client(key)
    params = client.params(client.prove())
    prime, g_a = int.from_bytes(params.dh_prime, "big"), int.from_bytes(params.g_a, "big")
    b = next(b for b in range(1_000, 2_000) if pow(g_a, b, prime).bit_length() > 2040)
    assert isinstance(client.finish(pow(params.g, b, prime)), types.DhGenOk)
    assert len(client.exchange.key) == 256


@pytest.mark.parametrize("cheat", [{"fingerprint": 5}, {"spoil": True}])
def test_a_secret_for_another_rsa_key_ends_the_exchange(key: ServerKey, cheat: dict[str, Any]) -> None:
    with pytest.raises(BadHandshake):
        Client(key).prove(**cheat)


@pytest.mark.parametrize("g_b", [0, 1])
def test_a_trivial_public_value_ends_the_exchange(key: ServerKey, g_b: int) -> None:
    client = Client(key)
    client.params(client.prove())
    with pytest.raises(BadHandshake):
        client.finish(g_b)


def test_steps_out_of_order_end_the_exchange(key: ServerKey) -> None:
    client = Client(key)
    request = functions.SetClientDHParamsRequest(client.nonce, client.offer.server_nonce, bytes(32))
    with pytest.raises(BadHandshake):
        client.exchange.answer(request)


def test_a_nonce_of_another_exchange_ends_the_exchange(key: ServerKey) -> None:
    client = Client(key)
    client.nonce += 1
    with pytest.raises(BadHandshake):
        client.prove()
