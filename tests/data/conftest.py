"""A state folder of its own for each test, and stores that are closed whatever happens."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from core.clock import SystemClock
from data.disk.files import Disk
from data.journal.journal import Journal
from data.users.data_manager import DataManager

OpenStore = Callable[..., DataManager]


@pytest.fixture
def state_dir(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
async def open_store(state_dir: Path) -> AsyncIterator[OpenStore]:
    """Opens stores on the same folder, as several processes would."""
    opened: list[DataManager] = []

    def open_one(*, disk: Disk | None = None, lock_timeout: float = 10.0) -> DataManager:
        opened.append(DataManager.open(state_dir, SystemClock(), disk=disk, lock_timeout=lock_timeout))
        return opened[-1]

    yield open_one
    for store in opened:
        await store.close()


@pytest.fixture
async def journal(state_dir: Path) -> AsyncIterator[Journal]:
    journal = Journal.open(state_dir)
    yield journal
    await journal.close()
