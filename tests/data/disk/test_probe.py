"""Whether the disk takes a write: asked by one, seldom, and never waited for without end."""

import asyncio
import errno
import os
import subprocess
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import pytest

from data.disk import probe as disk_probe
from data.disk.files import Disk
from data.disk.probe import BAD_FOR_SECONDS, GOOD_FOR_SECONDS, DiskProbe, DiskState
from data.journal.journal import Journal
from tests.data.support import event
from tests.support.clock import MovableClock


class CountingDisk(Disk):
    """Counts new files; refuses them while `code` is set."""

    def __init__(self) -> None:
        self.made = 0
        self.code = 0

    def create(self, path: Path) -> int:
        self.made += 1
        if self.code:
            raise OSError(self.code, os.strerror(self.code))
        return super().create(path)


class HangingDisk(Disk):
    """Takes no byte until it is let go."""

    def __init__(self) -> None:
        self.hangs = threading.Event()
        self.let_go = threading.Event()
        self.writes = 0

    def write(self, descriptor: int, chunks: Sequence[bytes | memoryview]) -> int:
        self.writes += 1
        self.hangs.set()
        assert self.let_go.wait(60)
        return super().write(descriptor, chunks)


@pytest.fixture
async def hanging() -> AsyncIterator[HangingDisk]:
    disk = HangingDisk()
    yield disk
    disk.let_go.set()


async def test_a_good_disk_is_written_to_once_however_many_ask(tmp_path: Path) -> None:
    disk, clock = CountingDisk(), MovableClock()
    probe = DiskProbe(tmp_path, clock, 0, disk)
    assert set(await asyncio.gather(*(probe.state() for _ in range(50)))) == {DiskState.OK}
    for _ in range(50):
        assert await probe.state() is DiskState.OK
    assert disk.made == 1
    await clock.advance(GOOD_FOR_SECONDS)
    assert await probe.state() is DiskState.OK
    assert disk.made == 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("code", [errno.EROFS, errno.ENOSPC, errno.EIO, errno.EACCES], ids=errno.errorcode.get)
async def test_a_disk_that_refuses_is_told_and_asked_again_soon(tmp_path: Path, code: int) -> None:
    disk, clock = CountingDisk(), MovableClock()
    probe = DiskProbe(tmp_path, clock, 0, disk)
    disk.code = code
    assert await probe.state() is DiskState.NOT_WRITABLE
    disk.code = 0
    await clock.advance(BAD_FOR_SECONDS)
    assert await probe.state() is DiskState.OK


async def test_what_a_crash_left_of_a_probe_proves_nothing(tmp_path: Path) -> None:
    (tmp_path / "write.probe").write_bytes(b"left")
    assert await DiskProbe(tmp_path, MovableClock(), 0).state() is DiskState.OK
    assert list(tmp_path.iterdir()) == []


async def test_a_disk_that_hangs_is_silent_holds_one_thread_and_is_good_again_once_it_answers(
    tmp_path: Path, hanging: HangingDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk_probe, "PATIENCE_SECONDS", 0.05)
    clock = MovableClock()
    probe = DiskProbe(tmp_path, clock, 0, hanging)
    for _ in range(20):
        assert await probe.state() is DiskState.SILENT
        await clock.advance(GOOD_FOR_SECONDS)
    assert hanging.writes == 1
    hanging.let_go.set()
    while await probe.state() is not DiskState.OK:  # noqa: ASYNC110  what it waits for sets no event
        await asyncio.sleep(0.01)


async def test_reads_of_the_journal_wait_for_no_write_of_stats_json(state_dir: Path, hanging: HangingDisk) -> None:
    hanging.let_go.set()
    journal = Journal.open(state_dir, disk=hanging)
    hanging.let_go.clear()
    hanging.hangs.clear()
    await journal.update(event=event("Told to wait"), floods=1)
    await asyncio.to_thread(hanging.hangs.wait, 30)  # stats.json is being written, and hangs
    assert hanging.hangs.is_set()
    async with asyncio.timeout(30):
        assert [line.text for line in await journal.events("alice")] == ["Told to wait"]
        await journal.add_event(event("Another"))
        assert journal.last_events("alice")[0].text == "Another"
        assert journal.stats("alice").total_flood_waits == 1
    hanging.let_go.set()
    await journal.close()


@pytest.fixture
def without_inodes(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own that has no inode left; there is room for bytes."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m,nr_inodes=3", "tmpfs", place],  # noqa: S607
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode != 0:
        pytest.skip(f"this machine lets nobody mount a file system here: {mounted.stderr.strip()}")
    try:
        (place / "users.json").write_bytes(b"{}")
        (place / "journal.sqlite3").write_bytes(b"")
        yield place
    finally:
        subprocess.run(["umount", place], check=True)  # noqa: S607


async def test_a_disk_without_inodes_is_not_writable(without_inodes: Path) -> None:
    assert await DiskProbe(without_inodes, MovableClock(), 0).state() is DiskState.NOT_WRITABLE
