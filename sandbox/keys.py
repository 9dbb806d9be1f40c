"""Keys: the data centre's own RSA pair, and auth keys that need no handshake because they come from the seed."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from telethon.crypto import AuthKey
from telethon.sessions import SQLiteSession
from telethon.tl import TLObject

AUTH_KEY_BYTES = 256


def derived_auth_key(seed: int, account: str, number: int = 0) -> bytes:
    """The ready-made auth key of an account; `number` tells several sessions of one account apart."""
    key = hashlib.shake_256(f"sandbox auth key/{seed}/{account}/{number}".encode()).digest(AUTH_KEY_BYTES)
    return bytes([key[0] | 0x80]) + key[1:]


def auth_key_id(key: bytes) -> int:
    """The 64-bit name of an auth key, as it leads every encrypted packet."""
    return int.from_bytes(hashlib.sha1(key, usedforsecurity=False).digest()[-8:], "little")


def write_session_file(path: Path, key: bytes, dc_id: int, host: str, port: int) -> Path:
    """Write a Telethon `.session` file (0600) that connects with this key; returns its path."""
    path = path if path.suffix == ".session" else path.with_name(path.name + ".session")
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600))
    session = SQLiteSession(str(path))
    session.set_dc(dc_id, host, port)  # before the key: set_dc() reads the key of that data centre from the file
    session.auth_key = AuthKey(key)
    session.save()
    session.close()
    return path


@dataclass(frozen=True)
class ServerKey:
    """The RSA key clients encrypt the first step of the key exchange with."""

    modulus: int
    exponent: int
    private: rsa.RSAPrivateNumbers
    public_key_path: Path

    @property
    def fingerprint(self) -> int:
        """The signed 64-bit name by which clients choose among their keys."""
        parts = (self.modulus, self.exponent)
        encoded = b"".join(
            TLObject.serialize_bytes(part.to_bytes((part.bit_length() + 7) // 8, "big")) for part in parts
        )
        return int.from_bytes(hashlib.sha1(encoded, usedforsecurity=False).digest()[-8:], "little", signed=True)

    def decrypt(self, cipher: bytes) -> bytes:
        """Raw RSA by the two primes, 256 bytes; MTProto brings its own padding."""
        number = int.from_bytes(cipher, "big")
        numbers = self.private
        from_p = pow(number, numbers.dmp1, numbers.p)
        from_q = pow(number, numbers.dmq1, numbers.q)
        return (from_q + ((from_p - from_q) * numbers.iqmp % numbers.p) * numbers.q).to_bytes(256, "big")


def server_key(folder: Path) -> ServerKey:
    """The pair kept in this folder (`private.pem` 0600, `public.pem`), made on first use."""
    private_path, public_path = folder / "private.pem", folder / "public.pem"
    if private_path.exists():
        key = serialization.load_pem_private_key(private_path.read_bytes(), None)
        if not isinstance(key, rsa.RSAPrivateKey):
            raise ValueError(f"{private_path} is no RSA key; remove it to have a new one made")
    else:
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        handle = os.open(private_path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(
                key.private_bytes(
                    serialization.Encoding.PEM,
                    serialization.PrivateFormat.TraditionalOpenSSL,
                    serialization.NoEncryption(),
                )
            )
    public = key.public_key()
    public_path.write_bytes(public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.PKCS1))
    numbers = key.private_numbers()
    return ServerKey(numbers.public_numbers.n, numbers.public_numbers.e, numbers, public_path)
