"""Replaces files of the state: new ones are staged beside it, then moved in, and the old ones are set aside.

Once the mark is written there is no way back: the next run completes a move that was cut off, and nothing opens the
state before that (`data.disk.files.refuse_half_restored`).
"""

import contextlib
import io
import os
import re
import shutil
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import IO

from core.errors import StateNotWritten
from data.disk.copies import COPIES
from data.disk.files import HALF_RESTORED, Disk, make_folder, write_whole
from data.disk.inventory import AUTH_FILE, JOURNAL_FILE, MADE

_STAGED = "restore.new"
_NONE = ".none"
_LOGS = ("-wal", "-shm")
_BESIDES = {
    JOURNAL_FILE: (*(JOURNAL_FILE + log for log in _LOGS), f"{MADE}/{JOURNAL_FILE}"),
    AUTH_FILE: tuple(AUTH_FILE + log for log in _LOGS),
}
"""File → the files that belong to it and are set aside with it."""


def is_cut_off(state_dir: Path) -> bool:
    """Return whether a move was cut off here."""
    return (state_dir / HALF_RESTORED).exists()


def empty_stage(state_dir: Path) -> Path:
    """Return an empty folder for new files. `put_in_place` removes what a check of them leaves there."""
    staged = state_dir / _STAGED
    if staged.exists():
        shutil.rmtree(staged)
    make_folder(staged)
    return staged


def stage(path: Path, content: bytes | IO[bytes]) -> None:
    """Write a new file of the stage, durably."""
    make_folder(path.parent)
    disk = Disk()
    with os.fdopen(disk.create(path), "wb") as file:
        shutil.copyfileobj(io.BytesIO(content) if isinstance(content, bytes) else content, file)
        file.flush()
        disk.sync(file.fileno())
    disk.sync_folder(path.parent)


def stage_none(path: Path) -> None:
    """Have the file of that name set aside without a new one in its place."""
    stage(path.with_name(path.name + _NONE), b"")


def put_in_place(state_dir: Path, now: datetime) -> Path:
    """Move the staged files in. Return the folder where the old ones are set aside."""
    staged = state_dir / _STAGED
    for leftover in (*staged.glob("*-wal"), *staged.glob("*-shm"), *staged.glob("*.lock")):
        leftover.unlink()
    for path in staged.iterdir():
        _sync(path)
    aside = f"{COPIES}/before-restore-{now:%Y%m%d-%H%M%S-%f}"
    os.close(write_whole(Disk(), state_dir / HALF_RESTORED, [aside.encode()]))
    return carry_on(state_dir)


def carry_on(state_dir: Path) -> Path:
    """Do the rest of a move. Return the folder where the old files are set aside."""
    mark = state_dir / HALF_RESTORED
    named = mark.read_bytes()
    # No move of ours wrote any other mark; the old files then go to a folder without a date.
    aside = state_dir / (named.decode() if re.fullmatch(rb"copies/before-restore-[0-9-]+", named) else _ELSEWHERE)
    make_folder(aside)
    staged = state_dir / _STAGED
    for new in sorted(staged.iterdir()) if staged.exists() else ():
        name = new.name.removesuffix(_NONE)
        for old in (*_BESIDES.get(name, ()), name):
            if (state_dir / old).exists():
                make_folder((aside / old).parent)
                (state_dir / old).rename(aside / old)
        if new.name == name:
            new.rename(state_dir / name)
        else:
            new.unlink()
    for folder in (aside, staged, state_dir):
        if folder.exists():
            Disk().sync_folder(folder)
    mark.unlink()
    with contextlib.suppress(FileNotFoundError):
        staged.rmdir()
    Disk().sync_folder(state_dir)
    return aside


_ELSEWHERE = f"{COPIES}/before-restore-unnamed"


@contextlib.contextmanager
def telling(state_dir: Path) -> Iterator[None]:
    """Turn what the disk refuses into an error of ours. Raises StateNotWritten."""
    try:
        yield
    except OSError as error:
        raise StateNotWritten(
            f"{state_dir} could not be written ({error.strerror or error}); make room and run it again"
        ) from error


def _sync(path: Path) -> None:
    """Make durable a staged file that something other than `stage` wrote last."""
    if path.is_file():
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            Disk().sync(descriptor)
        finally:
            os.close(descriptor)
