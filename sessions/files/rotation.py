"""Seals every file with a new vault key. After an interruption the files still open, and it can run again.

With a key file, the next key is written beside it, every file is sealed with the next key, and then that replaces the
old one. Meanwhile both are tried. With POSTFLEET_VAULT_KEY the operator holds both keys.
"""

from pydantic import SecretStr

from core.errors import SettingsError, StateDamaged, StateNotWritten
from core.settings import Settings
from data.disk.files import Disk, exclusive_daemon_lock
from data.disk.inventory import KEY_FILE, NEXT_KEY_FILE
from data.disk.sealed import sealed_files
from sessions.keys.api_pairs import ApiPairs
from sessions.keys.vault import Vault, key_from_setting, key_is_set, new_key, write_private


def rotate(settings: Settings, next_key: SecretStr | None) -> int:
    """Seal everything with a new key, and return the number of session files.

    `next_key` is required if the settings name the current key, and refused if a key file holds it.

    Raises:
        StateInUse: the daemon is running; stop it first.
        StateDamaged: no key opens a file; nothing was changed.
        SettingsError: a key is missing, malformed or not expected.
        StateNotWritten: the disk refused; run it again.
    """
    with exclusive_daemon_lock(settings.state_dir):
        vault = _both(settings, next_key)
        files = sealed_files(settings.state_dir)
        shut = [str(path) for name, path in files if not vault.opens(name, path.read_bytes())]
        if shut:
            raise StateDamaged(f"no key opens these files; move them away first: {', '.join(shut)}")
        try:
            for name, path in files:
                write_private(path, vault.seal_bytes(name, vault.unseal_bytes(name, path.read_bytes())))
            ApiPairs(settings, vault).reseal(vault)
            if not key_is_set(settings.vault_key):
                Disk().rename(settings.state_dir / NEXT_KEY_FILE, settings.state_dir / KEY_FILE)
                Disk().sync_folder(settings.state_dir)
        except OSError as error:
            raise StateNotWritten(f"the disk refused ({error.strerror}); nothing is lost; run this again") from error
        return len(files)


def _both(settings: Settings, next_key: SecretStr | None) -> Vault:
    """Return a vault that seals with the next key and opens with either."""
    if settings.vault_key is not None and key_is_set(settings.vault_key):
        if next_key is None or not key_is_set(next_key):
            raise SettingsError("POSTFLEET_NEXT_VAULT_KEY is not set; it is the key that replaces POSTFLEET_VAULT_KEY")
        old = key_from_setting("POSTFLEET_VAULT_KEY", settings.vault_key)
        return Vault(key_from_setting("POSTFLEET_NEXT_VAULT_KEY", next_key), old)
    if key_is_set(next_key):
        raise SettingsError("POSTFLEET_NEXT_VAULT_KEY only goes with POSTFLEET_VAULT_KEY, which is not set; unset it")
    Vault.open(settings.state_dir)
    next_file = settings.state_dir / NEXT_KEY_FILE
    if not next_file.exists():
        write_private(next_file, new_key().hex().encode())
    return Vault.open(settings.state_dir)
