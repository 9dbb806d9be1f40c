"""Notes beside the journal, after every commit, how far it had come.

SQLite keeps the newest commits in `journal.sqlite3-wal`. If that file is missing or cut, SQLite opens the journal
without them and reports nothing, and their posts would be made again. The mark (`made/journal.sqlite3`) is written once
a commit is durable and is never synced, so it is never ahead of a whole journal.
"""

import contextlib
import os
import sqlite3
from pathlib import Path
from typing import NamedTuple

from core.errors import StateDamaged
from data.disk.files import make_folder, open_own
from data.disk.inventory import JOURNAL_FILE, MADE
from data.disk.sqlite_files import read_only
from data.disk.traces import counted_in_stats

_WIDTH = 20


class Mark(NamedTuple):
    """How far a journal has come, in numbers that only grow."""

    events: int
    tallies: int
    deliveries: int


def mark_of(connection: sqlite3.Connection) -> Mark:
    """Return how far the journal of this connection has come. Raises sqlite3.Error."""
    row = connection.execute(
        "SELECT COALESCE((SELECT seq FROM sqlite_sequence WHERE name = 'events'), 0),"
        " COALESCE((SELECT seq FROM sqlite_sequence WHERE name = 'tallies'), 0),"
        " COALESCE((SELECT MAX(id) FROM deliveries), 0)"
    ).fetchone()
    return Mark(*row)


class JournalMark:
    """The mark of one open journal. If the disk refuses it, only this proof is missing."""

    def __init__(self, state_dir: Path) -> None:
        self._descriptor: int | None = None
        self._written: Mark | None = None
        with contextlib.suppress(OSError):
            make_folder(state_dir / MADE)
            self._descriptor = open_own(state_dir / MADE / JOURNAL_FILE, os.O_WRONLY | os.O_CREAT)

    def write(self, mark: Mark) -> None:
        """Note how far the journal has come. It costs one small write, and none without news."""
        if self._descriptor is None or mark == self._written:
            return
        with contextlib.suppress(OSError):
            os.pwrite(self._descriptor, b" ".join(b"%0*d" % (_WIDTH, number) for number in mark) + b"\n", 0)
            self._written = mark

    def close(self) -> None:
        """Close the file."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def is_behind(found: Mark, known: Mark) -> bool:
    """Return whether a journal that came as far as `found` lacks something that is known."""
    return any(has < had for has, had in zip(found, known, strict=True))


def mark_in(journal: Path) -> Mark | None:
    """Return how far the journal in that file has come; None: it cannot be read. Changes nothing."""
    with contextlib.suppress(sqlite3.Error), read_only(journal) as connection:
        return mark_of(connection)
    return None


def refuse_step_back(journal: Path) -> None:
    """Refuse a journal that lacks something it held before. Changes nothing.

    Raises:
        StateDamaged: it does.
    """
    # Read the mark first: a daemon that runs meanwhile commits to the journal before it moves the mark.
    known = _read_mark(journal.parent)
    known = known._replace(tallies=max(known.tallies, counted_in_stats(journal.parent)))
    found = mark_in(journal)
    if found is not None and is_behind(found, known):
        raise StateDamaged(
            f"{journal} has lost its newest part: it ends at entry {found.events} and outcome {found.tallies}, and had "
            f"come to entry {known.events} and outcome {known.tallies}. Was {journal.name}-wal removed or cut, or was "
            "an older journal put there? What was posted since would be posted again. It is left as it is. Bring the "
            "missing file back, or see what can be done: python run.py restore"
        )


def _read_mark(state_dir: Path) -> Mark:
    with contextlib.suppress(OSError, ValueError, TypeError):
        return Mark(*map(int, (state_dir / MADE / JOURNAL_FILE).read_bytes().split()))
    return Mark(0, 0, 0)
