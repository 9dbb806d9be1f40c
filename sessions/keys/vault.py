"""Auth keys at rest: one file per account, sealed with AES-GCM and bound to its name.

Whoever holds an auth key is the account, so keys are on disk only sealed. Files cannot be swapped, because the name of
the session is authenticated together with its content. The vault's own key comes from POSTFLEET_VAULT_KEY, or from
`vault.key` (0600) in the state folder, which the first start makes.
"""

import contextlib
import os
import secrets
from pathlib import Path

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pydantic import SecretStr

from core.errors import SealBroken, SettingsError, StateDamaged
from data.disk.files import Disk, write_whole
from data.disk.inventory import KEY_FILE, NEXT_KEY_FILE
from data.disk.sealed import SEALED, sealed_files, sealed_hashes
from data.disk.traces import refuse_new_beginning
from sessions.foreign.credentials import Credentials

_NONCE_BYTES = 12
_KEY_BYTES = 32


class Vault:
    """Seals with its key. Unseals with it and, during a rotation, with an older one."""

    def __init__(self, key: bytes, *older: bytes) -> None:
        self._ciphers = [AESGCM(one) for one in (key, *older)]

    @classmethod
    def open(cls, state_dir: Path, key: SecretStr | None = None) -> "Vault":
        """Return the vault of a state folder. The first start makes its key.

        Raises:
            SettingsError: POSTFLEET_VAULT_KEY is not 64 hexadecimal digits.
            StateDamaged: `vault.key` is not a key, is missing beside files that were sealed with it, or opens none.
        """
        if key is not None and key_is_set(key):
            vault, named = cls(key_from_setting("POSTFLEET_VAULT_KEY", key)), "POSTFLEET_VAULT_KEY"
        else:
            path = state_dir / KEY_FILE
            if not path.exists():
                refuse_new_beginning(path)
                write_private(path, new_key().hex().encode())
            # The next key comes first, because a rotation that was cut off has sealed some files with it.
            files = [state_dir / NEXT_KEY_FILE, path]
            vault, named = cls(*(read_key_file(file) for file in files if file.exists())), str(path)
        vault.refuse_foreign_files(state_dir, named)
        return vault

    def refuse_foreign_files(self, state_dir: Path, named: str) -> None:
        """Check that this vault, whose key is `named`, opens something sealed in the folder. Raises StateDamaged."""
        files, hashes = sealed_files(state_dir), sealed_hashes(state_dir)
        opens = any(self.opens(label, sealed) for label, sealed in hashes) or any(
            self.opens(name, path.read_bytes()) for name, path in files
        )
        if (files or hashes) and not opens:
            raise StateDamaged(
                f"{named} opens none of the {len(files)} sealed session files in {state_dir}: it is not the key they "
                "were sealed with. Bring that key back, or see what can be done: python run.py restore"
            )

    def opens(self, name: str, sealed: bytes) -> bool:
        """Return whether this vault opens what was sealed for the name."""
        try:
            self.unseal_bytes(name, sealed)
        except ValueError:
            return False
        return True

    def seal(self, name: str, credentials: Credentials) -> bytes:
        """Return the content of the session's file."""
        content = msgspec.msgpack.encode([credentials.dc_id, credentials.host, credentials.port, credentials.auth_key])
        return self.seal_bytes(name, content)

    def seal_bytes(self, name: str, content: bytes) -> bytes:
        """Return the content sealed, bound to a name."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return SEALED + nonce + self._ciphers[0].encrypt(nonce, content, name.encode())

    def unseal(self, name: str, sealed: bytes) -> Credentials:
        """Return the account that `seal` was given.

        Raises:
            SealBroken: another key, another session's file, or not a session file.
        """
        try:
            content = self.unseal_bytes(name, sealed)
            dc_id, host, port, auth_key = msgspec.msgpack.decode(content, type=tuple[int, str, int, bytes])
        except ValueError:
            raise SealBroken(
                f"the session file of {name} cannot be opened with this vault key: it is damaged, belongs to "
                "another session, or POSTFLEET_VAULT_KEY (or vault.key) is not the one it was sealed with"
            ) from None
        return Credentials(dc_id, host, port, auth_key)

    def unseal_bytes(self, name: str, sealed: bytes) -> bytes:
        """Return the bytes that `seal_bytes` was given. Raises ValueError."""
        start = len(SEALED) + _NONCE_BYTES
        nonce = sealed.removeprefix(SEALED)[:_NONCE_BYTES]
        for cipher in self._ciphers:
            with contextlib.suppress(InvalidTag):
                return cipher.decrypt(nonce, sealed[start:], name.encode())
        raise ValueError("no key opens it")


def key_is_set(key: SecretStr | None) -> bool:
    """Return whether a setting names a key."""
    return key is not None and bool(key.get_secret_value())


def new_key() -> bytes:
    """Return a fresh vault key."""
    return secrets.token_bytes(_KEY_BYTES)


def read_key_file(path: Path) -> bytes:
    """Return the key in a key file. Raises StateDamaged."""
    try:
        return _from_hex(path.read_text())
    except ValueError:
        raise StateDamaged(
            f"{path} is not a vault key: bring it back from a backup, or see what can be done: python run.py restore"
        ) from None


def key_from_setting(setting: str, key: SecretStr) -> bytes:
    """Return the key an operator set. Raises SettingsError naming the setting, never showing the key."""
    try:
        return _from_hex(key.get_secret_value())
    except ValueError:
        raise SettingsError(
            f"{setting} is not 64 hexadecimal digits; "
            "make one with: python3 -c 'import secrets; print(secrets.token_hex(32))'"
        ) from None


def _from_hex(text: str) -> bytes:
    key = bytes.fromhex(text.strip())
    if len(key) != _KEY_BYTES:
        raise ValueError
    return key


def write_private(path: Path, content: bytes) -> None:
    """Replace a file durably; only its owner may read it."""
    os.close(write_whole(Disk(), path, [content]))
