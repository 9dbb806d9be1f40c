"""A new vault key, cut off at any point."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from core.clock import SystemClock
from core.errors import SettingsError, StateDamaged, StateInUse
from core.settings import Settings, load_settings
from data.disk.files import exclusive_daemon_lock
from data.users.data_manager import DataManager
from sessions.files import rotation
from sessions.files.pool import Pool
from sessions.files.rotation import rotate
from sessions.foreign.credentials import Credentials
from sessions.keys.api_pairs import ApiPairs
from sessions.keys.vault import Vault, write_private

NAMES = ("ann", "bob", "cat")
OLD, NEW = SecretStr("ab" * 32), SecretStr("cd" * 32)


def key_of(name: str) -> Credentials:
    return Credentials(2, "127.0.0.1", 443, name.encode().ljust(256, b"."))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(state_dir=tmp_path, api_pairs="1001:" + "ab" * 16)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[DataManager]:
    store = DataManager.open(tmp_path, SystemClock())
    yield store
    asyncio.run(store.close())


def fill(settings: Settings, store: DataManager) -> None:
    """Make a pool with three sealed files, and a pair whose hash is sealed too."""
    vault = Vault.open(settings.state_dir, settings.vault_key)
    Pool(settings.state_dir, vault, store, SystemClock())
    for name in NAMES:
        path = settings.state_dir / "sessions" / "available" / f"{name}.session"
        path.write_bytes(vault.seal(name, key_of(name)))
    ApiPairs(settings, vault).add(7, SecretStr("cd" * 16), SystemClock().now())


def everything_opens(settings: Settings) -> bool:
    vault = Vault.open(settings.state_dir, settings.vault_key)
    folder = settings.state_dir / "sessions" / "available"
    pair = ApiPairs(settings, vault).hash_of(7)
    return pair == SecretStr("cd" * 16) and all(
        vault.unseal(name, (folder / f"{name}.session").read_bytes()) == key_of(name) for name in NAMES
    )


def test_everything_opens_with_the_new_key_and_nothing_with_the_old_one(settings: Settings, store: DataManager) -> None:
    fill(settings, store)
    old = Vault.open(settings.state_dir)
    assert rotate(settings, None) == 3
    assert everything_opens(settings)
    path = settings.state_dir / "sessions" / "available" / "ann.session"
    with pytest.raises(StateDamaged):
        old.unseal("ann", path.read_bytes())
    assert not (settings.state_dir / "vault.key.next").exists()


@pytest.mark.parametrize("writes", range(5))
def test_a_rotation_that_is_cut_off_leaves_everything_readable_and_is_finished_later(
    settings: Settings, store: DataManager, monkeypatch: pytest.MonkeyPatch, writes: int
) -> None:
    fill(settings, store)
    real, left = write_private, [writes]

    def cut_off(path: Path, content: bytes) -> None:
        if left[0] == 0:
            raise KeyboardInterrupt
        left[0] -= 1
        real(path, content)

    with monkeypatch.context() as patch:
        patch.setattr(rotation, "write_private", cut_off)
        patch.setattr(ApiPairs, "reseal", lambda *_: cut_off(Path(), b""))
        with pytest.raises(KeyboardInterrupt):
            rotate(settings, None)
    assert everything_opens(settings)
    assert rotate(settings, None) == 3
    assert everything_opens(settings)


def test_a_key_from_the_settings_is_rotated_to_the_next_one(settings: Settings, store: DataManager) -> None:
    named = settings.model_copy(update={"vault_key": OLD})
    fill(named, store)
    with pytest.raises(SettingsError, match="POSTFLEET_NEXT_VAULT_KEY is not set"):
        rotate(named, None)
    assert rotate(named, NEW) == 3
    assert everything_opens(settings.model_copy(update={"vault_key": NEW}))


def test_a_file_that_no_key_opens_stops_the_rotation_before_it_begins(settings: Settings, store: DataManager) -> None:
    fill(settings, store)
    folder = settings.state_dir / "sessions" / "available"
    (folder / "bad.session").write_bytes(b"PFS1" + bytes(60))
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(StateDamaged, match=r"bad\.session"):
        rotate(settings, None)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_no_rotation_under_a_running_daemon(settings: Settings, store: DataManager) -> None:
    fill(settings, store)
    with exclusive_daemon_lock(settings.state_dir), pytest.raises(StateInUse):
        rotate(settings, None)
