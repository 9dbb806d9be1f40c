"""Seals every file with a new vault key. If it is cut off, the files still open, and it can run again.

With a key file, the next key is written down first. Each file is then replaced by one sealed with it, and at last it
takes the old key's place. Meanwhile both are tried. With POSTFLEET_VAULT_KEY the operator holds both keys.
"""

from pydantic import SecretStr

from core.errors import SettingsError, StateDamaged, StateNotWritten
from core.settings import Settings
from data.disk.files import Disk, exclusive_daemon_lock
from data.disk.inventory import KEY_FILE, NEXT_KEY_FILE
from sessions.files.pool import Pool
from sessions.keys.api_pairs import ApiPairs
from sessions.keys.vault import Vault, key_from_setting, key_is_set, new_key, write_private


def rotate(settings: Settings, next_key: SecretStr | None, pool: Pool) -> int:
    """Seal everything with a new key, and return how many files that were.

    `next_key` is required if the settings name the key, and refused if a key file holds it.

    Raises:
        StateInUse: the daemon runs; stop it first.
        StateDamaged: a file opens with no key; nothing was changed.
        SettingsError: a key is missing, wrong or not wanted.
        StateNotWritten: the disk refused; run it again.
    """
    with exclusive_daemon_lock(settings.state_dir):
        vault = _both(settings, next_key)
        files = pool.sealed_files()
        shut = [str(path) for name, path in files if not _opens(vault, name, path.read_bytes())]
        if shut:
            raise StateDamaged(f"these open with no key; move them away first: {', '.join(shut)}")
        try:
            for name, path in files:
                write_private(path, vault.seal_bytes(name, vault.unseal_bytes(name, path.read_bytes())))
            ApiPairs(settings, vault).reseal(vault)
            if not key_is_set(settings.vault_key):
                Disk().rename(settings.state_dir / NEXT_KEY_FILE, settings.state_dir / KEY_FILE)
                Disk().sync_folder(settings.state_dir)
        except OSError as error:
            raise StateNotWritten(f"the disk refused ({error.strerror}); nothing is lost, run it again") from error
        return len(files)


def _both(settings: Settings, next_key: SecretStr | None) -> Vault:
    """Seals with the next key, opens with either."""
    if settings.vault_key is not None and key_is_set(settings.vault_key):
        if next_key is None or not key_is_set(next_key):
            raise SettingsError(
                "POSTFLEET_NEXT_VAULT_KEY is not set: the key that is to take POSTFLEET_VAULT_KEY's place"
            )
        old = key_from_setting("POSTFLEET_VAULT_KEY", settings.vault_key)
        return Vault(key_from_setting("POSTFLEET_NEXT_VAULT_KEY", next_key), old)
    if key_is_set(next_key):
        raise SettingsError("POSTFLEET_NEXT_VAULT_KEY is only for a key that POSTFLEET_VAULT_KEY names; unset it")
    Vault.open(settings.state_dir)
    beside = settings.state_dir / NEXT_KEY_FILE
    if not beside.exists():
        write_private(beside, new_key().hex().encode())
    return Vault.open(settings.state_dir)


def _opens(vault: Vault, name: str, content: bytes) -> bool:
    try:
        vault.unseal_bytes(name, content)
    except ValueError:
        return False
    return True
