"""Stores that are broken on purpose, each in one way, to prove that the crash rig notices; and disks that kill."""

import contextlib
import os
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path

from data.disk.files import Disk
from data.disk.group_commit import WorkResult
from data.journal.journal import Journal
from data.journal.writes import Work
from data.users.data_manager import DataManager
from data.users.transaction import CommitDraft

STEPS = ("create", "write", "sync", "rename", "sync_folder")
WHEN = ("before", "half-way", "after")


class KillingDisk(Disk):
    """Kills the process at a call of one step, the `countdown`-th: before it, after it, or in the middle of a write."""

    def __init__(self, disk: Disk, step: str, when: str, countdown: int) -> None:
        self._disk = disk
        self._step, self._when, self._countdown = step, when, countdown

    @contextlib.contextmanager
    def _around(self, step: str) -> Iterator[None]:
        mine = step == self._step
        self._countdown -= mine
        if mine and self._countdown == 0 and self._when == "before":
            _die()
        yield
        if mine and self._countdown == 0:
            _die()

    def create(self, path: Path) -> int:
        """Open a new, empty file for writing."""
        with self._around("create"):
            return self._disk.create(path)

    def write(self, descriptor: int, chunks: Sequence[bytes | memoryview]) -> int:
        """Append the chunks, or half of them before the kill."""
        with self._around("write"):
            if self._step == "write" and self._when == "half-way" and self._countdown == 0:
                return self._disk.write(descriptor, chunks[: max(1, len(chunks) // 2)])
            return self._disk.write(descriptor, chunks)

    def sync(self, descriptor: int) -> None:
        """Make the file durable."""
        with self._around("sync"):
            self._disk.sync(descriptor)

    def rename(self, source: Path, target: Path) -> None:
        """Put one file in the place of another."""
        with self._around("rename"):
            self._disk.rename(source, target)

    def sync_folder(self, folder: Path) -> None:
        """Make the folder's names durable."""
        with self._around("sync_folder"):
            self._disk.sync_folder(folder)


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class InPlace(Disk):
    """Overwrites the file itself, so that a crash in the middle leaves half of it."""

    def create(self, path: Path) -> int:
        """Open the file itself."""
        return super().create(path.with_suffix(""))

    def rename(self, source: Path, target: Path) -> None:
        """Do nothing: there is one file only."""


class WriteBehind(DataManager):
    """Confirms commits that are in memory only, and writes every third."""

    _commits = 0

    def _write(self, draft: CommitDraft) -> None:
        self._commits += 1
        if self._commits % 3 == 0:
            super()._write(draft)
            return
        for name, line in draft.users.lines.items():
            self._document.users.set_line(name, line)
        self._document.revision = draft.revision
        self._document.users.values = draft.users.values
        self._publish()


class NeverReadsAgain(DataManager):
    """Trusts its memory and overwrites what another process wrote."""

    def _read_if_others_wrote(self) -> None:
        return


class NoFileLock(DataManager):
    """Locks out its own threads, but no other process."""

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        with self._thread_lock:
            yield


class JournalBehind(Journal):
    """Confirms changes before they are committed."""

    def _commit(self, batch: Sequence[Work]) -> Sequence[WorkResult]:
        waiting: list[Work] = [*getattr(self, "_behind", ()), *batch]
        self._behind: list[Work] = [] if len(waiting) > 40 else waiting
        if len(waiting) > 40:
            return super()._commit(waiting)[-len(batch) :]
        return [WorkResult() for _ in batch]


def open_journal_of(variant: str) -> type[Journal]:
    """Return the journal that a variant uses."""
    return JournalBehind if variant == "journal behind" else Journal


STORES: dict[str, type[DataManager]] = {
    "write behind": WriteBehind,
    "never reads again": NeverReadsAgain,
    "no file lock": NoFileLock,
}
DISKS: dict[str, type[Disk]] = {"in place": InPlace}
VARIANTS = (*STORES, *DISKS, "journal behind")
