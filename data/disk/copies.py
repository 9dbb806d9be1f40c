"""Good copies in `copies/`: users.json at each start, every 1000 commits and before a migration; the journal daily."""

import contextlib
import logging
import os
import re
import shutil
import sqlite3
import time
from pathlib import Path

from core.errors import StateNotWritten
from core.ownership import give_to_owner
from data.disk.files import make_folder

COPIES = "copies"
KEPT = 5
_JOURNALS_KEPT = 2
_JOURNAL_COPY_SECONDS = 24 * 3600
_LARGEST_JOURNAL = 512 * 1024 * 1024
log = logging.getLogger(__name__)


def keep_copy(path: Path, revision: int, *, old_version: int | None = None) -> None:
    """Copy users.json, which the caller has read and found good. A copy of an `old_version` is never removed.

    Raises:
        StateNotWritten: the file is about to be migrated and cannot be copied. Otherwise a copy that fails is only
            logged: it must not stop the daemon.
    """
    folder = path.parent / COPIES
    old = old_version is not None
    target = folder / (f"users-of-version-{old_version}-{revision}.json" if old else f"users-{revision}.json")
    beside = target.with_suffix(".tmp")
    try:
        make_folder(folder)
        shutil.copyfile(path, beside)
        _settle(beside, target)
        _forget_oldest(path, KEPT)
    except (OSError, StateNotWritten) as error:
        with contextlib.suppress(OSError):
            beside.unlink()
        if old:
            raise StateNotWritten(f"no copy of {path} could be kept before its migration ({error})") from error
        log.warning("No copy of %s could be kept: %s", path.name, error, extra={"action": "copy_failed"})


def keep_journal_copy(path: Path, connection: sqlite3.Connection) -> None:
    """Copy the journal, which the caller has opened and found good, unless a copy is less than a day old."""
    newest = newest_copy(path)
    if newest is not None and time.time() - newest.stat().st_mtime < _JOURNAL_COPY_SECONDS:
        return
    beside = path.parent / COPIES / f"{path.stem}-{os.getpid()}.tmp"  # other processes open the journal too
    try:
        if path.stat().st_size > _LARGEST_JOURNAL:
            return  # a start must not wait for so much; backups hold it
        make_folder(beside.parent)
        beside.unlink(missing_ok=True)
        with contextlib.closing(sqlite3.connect(beside)) as copy:
            connection.backup(copy)
            copy.execute("PRAGMA journal_mode=DELETE")
        _settle(beside, beside.with_name(f"{path.stem}-{int(time.time())}{path.suffix}"))
        _forget_oldest(path, _JOURNALS_KEPT)
    except (OSError, StateNotWritten, sqlite3.Error) as error:
        with contextlib.suppress(OSError):
            beside.unlink()
        log.warning("No copy of %s could be kept: %s", path.name, error, extra={"action": "copy_failed"})


def newest_copy(path: Path) -> Path | None:
    """Return the newest copy of the file, if there is one."""
    return next(iter(copies_of(path)), None)


def _settle(beside: Path, target: Path) -> None:
    beside.chmod(0o600)
    give_to_owner(beside)
    with beside.open("rb+") as copied:
        os.fsync(copied.fileno())
    beside.replace(target)


def _forget_oldest(path: Path, kept: int) -> None:
    for superfluous in copies_of(path)[kept:]:
        superfluous.unlink(missing_ok=True)


def copies_of(path: Path) -> list[Path]:
    """Return every copy of the file, newest first."""
    name = re.compile(rf"{re.escape(path.stem)}-(\d+){re.escape(path.suffix)}")
    folder = path.parent / COPIES
    found = [(int(match[1]), file) for file in folder.glob("*") if (match := name.fullmatch(file.name))]
    return [file for _, file in sorted(found, reverse=True)]
