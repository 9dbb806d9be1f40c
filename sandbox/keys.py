"""The data centre's RSA key pair, and auth keys derived from the seed, which need no key exchange."""

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
    """Return an account's derived auth key. `number` tells several sessions of one account apart."""
    key = hashlib.shake_256(f"sandbox auth key/{seed}/{account}/{number}".encode()).digest(AUTH_KEY_BYTES)
    return bytes([key[0] | 0x80]) + key[1:]


def auth_key_id(key: bytes) -> int:
    """Return the 64-bit id of an auth key, which begins every encrypted packet."""
    return int.from_bytes(hashlib.sha1(key, usedforsecurity=False).digest()[-8:], "little")


def write_session_file(path: Path, key: bytes, dc_id: int, host: str, port: int) -> Path:
    """Write a Telethon `.session` file (mode 0600) that connects with this key, and return its path."""
    path = path if path.suffix == ".session" else path.with_name(path.name + ".session")
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600))
    session = SQLiteSession(str(path))
    session.set_dc(dc_id, host, port)  # must come first: set_dc() replaces the key with the one in the file
    session.auth_key = AuthKey(key)
    session.save()
    session.close()
    return path


@dataclass(frozen=True)
class ServerKey:
    """The RSA key with which clients encrypt the first step of the key exchange."""

    modulus: int
    exponent: int
    private: rsa.RSAPrivateNumbers
    public_key_path: Path

    @property
    def fingerprint(self) -> int:
        """Return the signed 64-bit fingerprint by which clients choose the key."""
        parts = (self.modulus, self.exponent)
        encoded = b"".join(
            TLObject.serialize_bytes(part.to_bytes((part.bit_length() + 7) // 8, "big")) for part in parts
        )
        return int.from_bytes(hashlib.sha1(encoded, usedforsecurity=False).digest()[-8:], "little", signed=True)

    def decrypt(self, cipher: bytes) -> bytes:
        """Decrypt to 256 bytes with raw RSA, because MTProto has its own padding."""
        number = int.from_bytes(cipher, "big")
        numbers = self.private
        from_p = pow(number, numbers.dmp1, numbers.p)
        from_q = pow(number, numbers.dmq1, numbers.q)
        return (from_q + ((from_p - from_q) * numbers.iqmp % numbers.p) * numbers.q).to_bytes(256, "big")


def server_key(folder: Path) -> ServerKey:
    """Load the key pair of a folder (`private.pem`, mode 0600, and `public.pem`), or create it.

    Raises ValueError if `private.pem` holds another kind of key.
    """
    private_path, public_path = folder / "private.pem", folder / "public.pem"
    if private_path.exists():
        key = serialization.load_pem_private_key(private_path.read_bytes(), None)
        if not isinstance(key, rsa.RSAPrivateKey):
            raise ValueError(f"{private_path} does not hold an RSA key; remove it, and a new one is created")
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
