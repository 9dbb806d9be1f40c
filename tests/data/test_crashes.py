"""kill -9 in the middle of everything; the full run is `python -m bench crash_store`."""

import asyncio
import contextlib
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from bench.support.crash_variants import VARIANTS
from core.clock import SystemClock
from core.errors import StateError
from data.disk.files import Disk
from data.journal.journal import Journal
from data.users.data_manager import DataManager
from tests.data.conftest import OpenStore
from tests.data.support import add, count, event

ROOT = Path(__file__).parents[2]


def crash(*options: str) -> dict[str, float]:
    """Run the bench in a process of its own: it forks, and a test runner has threads."""
    ran = subprocess.run(
        [sys.executable, "-m", "bench", "crash_store", *options], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ran.returncode in (0, 1), ran.stderr
    return {target["name"]: target["value"] for target in json.loads(ran.stdout.splitlines()[-1])["targets"]}


def test_two_writing_processes_lose_nothing_they_answered_when_killed_at_any_moment_and_in_every_step() -> None:
    found = crash("--kills", "40", "--seed", "7", "--no-variants", "--traced", "0")
    assert found == {"kills": found["kills"], "lost_acks": 0, "unparsable": 0, "broken_invariants": 0}
    assert found["kills"] >= 40


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_store_broken_on_purpose_is_noticed(variant: str) -> None:
    found = crash("--kills", "12", "--seed", "7", "--variant", variant)
    assert found["lost_acks"] or found["unparsable"] or found["broken_invariants"]


class PowerCut(BaseException):
    """The machine is off."""


class UnsureDisk(Disk):
    """Keeps what was never synced only in its cache: a power cut takes it away, as a real disk may."""

    def __init__(self, steps_left: int, *, skip: str = "") -> None:
        self._left = steps_left
        self._skip = skip
        self._unsynced: dict[int, Path] = {}
        self._renamed: list[tuple[Path, bytes | None]] = []

    def _step(self) -> None:
        if self._left == 0:
            self.cut()
            raise PowerCut
        self._left -= 1

    def cut(self) -> None:
        """Forget everything that was not made durable."""
        for path in self._unsynced.values():
            if path.exists():
                path.write_bytes(path.read_bytes()[:10])
        for path, before in reversed(self._renamed):
            if before is None:
                path.unlink(missing_ok=True)
            else:
                path.write_bytes(before)

    def create(self, path: Path) -> int:
        self._step()
        descriptor = super().create(path)
        self._unsynced[descriptor] = path
        return descriptor

    def write(self, descriptor: int, chunks: Sequence[bytes | memoryview]) -> int:
        self._step()
        return super().write(descriptor, chunks)

    def sync(self, descriptor: int) -> None:
        self._step()
        if self._skip != "sync":
            super().sync(descriptor)
            self._unsynced.pop(descriptor)

    def rename(self, source: Path, target: Path) -> None:
        self._step()
        self._renamed.append((target, target.read_bytes() if target.exists() else None))
        super().rename(source, target)
        self._unsynced = {number: target if path == source else path for number, path in self._unsynced.items()}

    def sync_folder(self, folder: Path) -> None:
        self._step()
        if self._skip != "sync_folder":
            super().sync_folder(folder)
            self._renamed.clear()


def promises_kept(state_dir: Path, skip: str, steps: int) -> bool:
    """Whether what was answered before the power cut is there after it."""
    store = DataManager.open(state_dir, SystemClock(), disk=UnsureDisk(steps, skip=skip))
    answered = 0
    with contextlib.suppress(PowerCut):
        while answered < steps:
            answered = store.transact_now(add("alice"))
    try:
        stands = count(DataManager.open(state_dir, SystemClock()).snapshot, "alice")
    except StateError:
        return False
    return stands in (answered, answered + 1)


@pytest.mark.parametrize("steps", range(5, 25))
async def test_a_power_cut_at_any_step_takes_nothing_that_was_answered(state_dir: Path, steps: int) -> None:
    assert promises_kept(state_dir, "", steps)


@pytest.mark.parametrize("skip", ["sync", "sync_folder"])
def test_a_store_that_did_not_wait_for_the_disk_would_be_noticed(tmp_path: Path, skip: str) -> None:
    assert not all(promises_kept(tmp_path / str(steps), skip, steps) for steps in range(5, 25))


async def test_a_journal_survives_two_processes_that_make_it_at_once(state_dir: Path) -> None:
    journals = await asyncio.gather(*(asyncio.to_thread(Journal.open, state_dir) for _ in range(8)))
    await asyncio.gather(*(journal.add_event(event(str(number))) for number, journal in enumerate(journals)))
    assert sorted(line.text for line in await journals[0].events("alice")) == [str(number) for number in range(8)]
    for journal in journals:
        await journal.close()


async def test_a_killed_writers_half_written_file_is_nobodys_business(open_store: OpenStore, state_dir: Path) -> None:
    await open_store().transact(add("alice"))
    (state_dir / "users.json.tmp").write_bytes(b'{"version":1,"rev')
    store = open_store()
    assert await store.transact(add("alice")) == 2
    assert not (state_dir / "users.json.tmp").exists()
