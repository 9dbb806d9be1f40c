"""Auth keys at rest: one file an account, sealed with AES-GCM and bound to its name.

Whoever holds an auth key is the account, so a key lies on disk only sealed, and files cannot be swapped: the
session's name is authenticated together with its content. The vault's own key comes from POSTFLEET_VAULT_KEY or
from `vault.key` (0600) in the state folder, made at the first start.
"""

import os
import secrets
from dataclasses import dataclass
from pathlib import Path

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pydantic import SecretStr

from core.errors import SettingsError, StateDamaged
from data.files import Disk, write_whole

SEALED = b"PFS1"
"""How a sealed session file begins."""
_NONCE_BYTES = 12
_KEY_BYTES = 32


@dataclass(frozen=True)
class Credentials:
    """What it takes to be an account: where its data centre is and its auth key (256 bytes)."""

    dc_id: int
    host: str
    port: int
    auth_key: bytes

    def __repr__(self) -> str:  # so that no traceback or log ever shows the key
        return f"Credentials(dc_id={self.dc_id})"


class Vault:
    """Seals and unseals credentials."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)

    @classmethod
    def open(cls, state_dir: Path, key: SecretStr | None = None) -> "Vault":
        """The vault of a state folder; makes its key at the first start.

        Raises:
            SettingsError: POSTFLEET_VAULT_KEY is not 64 hexadecimal digits.
            StateDamaged: `vault.key` is not a key.
        """
        if key is not None and key.get_secret_value():
            try:
                return cls(_from_hex(key.get_secret_value()))
            except ValueError:
                raise SettingsError(
                    "POSTFLEET_VAULT_KEY is not 64 hexadecimal digits; "
                    "make one with: python3 -c 'import secrets; print(secrets.token_hex(32))'"
                ) from None
        path = state_dir / "vault.key"
        if not path.exists():
            write_private(path, secrets.token_hex(_KEY_BYTES).encode())
        try:
            return cls(_from_hex(path.read_text()))
        except ValueError:
            raise StateDamaged(f"{path} is not a vault key: bring it back from a backup") from None

    def seal(self, name: str, credentials: Credentials) -> bytes:
        """The bytes of the session's file."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        content = msgspec.msgpack.encode([credentials.dc_id, credentials.host, credentials.port, credentials.auth_key])
        return SEALED + nonce + self._cipher.encrypt(nonce, content, name.encode())

    def unseal(self, name: str, sealed: bytes) -> Credentials:
        """What `seal` was given.

        Raises:
            StateDamaged: another key, another session's file, or not a session file.
        """
        start = len(SEALED) + _NONCE_BYTES
        try:
            nonce = sealed.removeprefix(SEALED)[:_NONCE_BYTES]
            content = self._cipher.decrypt(nonce, sealed[start:], name.encode())
            dc_id, host, port, auth_key = msgspec.msgpack.decode(content, type=tuple[int, str, int, bytes])
        except (InvalidTag, ValueError):
            raise StateDamaged(
                f"the session file of {name} cannot be opened with this vault key: it is damaged, belongs to "
                "another session, or POSTFLEET_VAULT_KEY (or vault.key) is not the one it was sealed with"
            ) from None
        return Credentials(dc_id, host, port, auth_key)


def _from_hex(text: str) -> bytes:
    key = bytes.fromhex(text.strip())
    if len(key) != _KEY_BYTES:
        raise ValueError
    return key


def write_private(path: Path, content: bytes) -> None:
    """Replace a file durably; only its owner may read it."""
    os.close(write_whole(Disk(), path, [content]))
