"""Tests whether the disk under the state accepts a write: a new file, made durable and removed again.

Free space says nothing of a disk that was remounted read-only, has no inode left, or does not respond at all.
"""

import asyncio
import contextlib
import os
import shutil
import threading
from enum import StrEnum
from pathlib import Path

from core.clock import Clock
from data.disk.files import Disk

PROBE_FILE = "write.probe"
GOOD_FOR_SECONDS = 10.0
"""A good result is repeated for this long, so that polling does not write each time."""
BAD_FOR_SECONDS = 1.0
PATIENCE_SECONDS = 2.0
"""A disk that has not responded by then counts as silent. It is asked again only once it has responded."""


class DiskState(StrEnum):
    """The result of the write."""

    OK = "ok"
    NEARLY_FULL = "nearly full"
    NOT_WRITABLE = "not writable"
    SILENT = "does not answer"


class DiskProbe:
    """Writes at most once at a time, in a thread of its own that nobody waits for at the end."""

    def __init__(self, state_dir: Path, clock: Clock, least_free_megabytes: int, disk: Disk | None = None) -> None:
        self._path = state_dir / PROBE_FILE
        self._clock = clock
        self._least_free = least_free_megabytes * 1_000_000
        self._disk = disk or Disk()
        self._found: DiskState | None = None
        self._good_until = 0.0
        self._asking: asyncio.Future[DiskState] | None = None
        self._silent_from = 0.0

    async def state(self) -> DiskState:
        """Return the last result, or that of a new write if it is too old."""
        if self._asking is None:
            if self._found is not None and self._clock.monotonic() < self._good_until:
                return self._found
            self._ask()
        return await self._answer()

    def _ask(self) -> None:
        loop = asyncio.get_running_loop()
        asking = self._asking = loop.create_future()
        self._silent_from = loop.time() + PATIENCE_SECONDS

        def work() -> None:
            found = self._write()
            with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
                loop.call_soon_threadsafe(self._note, asking, found)

        threading.Thread(target=work, name="postfleet-disk-probe", daemon=True).start()

    async def _answer(self) -> DiskState:
        asking = self._asking
        if asking is None:
            return self._found or DiskState.SILENT
        await asyncio.wait({asking}, timeout=max(0.0, self._silent_from - asyncio.get_running_loop().time()))
        return asking.result() if asking.done() else DiskState.SILENT

    def _note(self, asking: asyncio.Future[DiskState], found: DiskState) -> None:
        self._asking = None
        self._found = found
        self._good_until = self._clock.monotonic() + (GOOD_FOR_SECONDS if found is DiskState.OK else BAD_FOR_SECONDS)
        if not asking.done():
            asking.set_result(found)

    def _write(self) -> DiskState:
        try:
            self._path.unlink(missing_ok=True)  # a crash left it; only a new file proves that one can be made
            descriptor = self._disk.create(self._path)
            try:
                self._disk.write(descriptor, [bytes(4096)])
                self._disk.sync(descriptor)
            finally:
                os.close(descriptor)
                self._path.unlink(missing_ok=True)
            free = shutil.disk_usage(self._path.parent).free
        except OSError:
            return DiskState.NOT_WRITABLE
        return DiskState.OK if free >= self._least_free else DiskState.NEARLY_FULL
