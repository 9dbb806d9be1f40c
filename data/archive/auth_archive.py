"""What an archive holds of `api.sqlite3`, and what happens to tokens when it is restored or begun anew.

An archive cannot know which tokens were ended after it was made. So a restore ends every token, and people log in again
with the passwords that came back.
"""

import contextlib
import sqlite3
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from data.auth_store import EVERYONE, prepare, version_of
from data.disk.files import touch_own
from data.disk.sqlite_files import read_only, translated
from data.disk.strict_json import damaged


def check_auth(path: Path) -> None:
    """Refuse a file that is not a whole database. Changes nothing. Raises StateDamaged."""
    try:
        with read_only(path) as connection:
            if connection.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
                raise damaged(path, "is damaged")
            if version_of(connection) == 0:
                raise damaged(path, "holds no tables of Postfleet")
    except sqlite3.Error as error:
        raise translated(error, path) from error


def forget_answers(path: Path) -> None:
    """Delete the answers to repeated requests from a copy: they serve for a day, and show what was asked."""
    with _opened(path) as connection:
        connection.execute("DELETE FROM answers")
        connection.execute("VACUUM")


def end_every_token(path: Path, at: datetime) -> None:
    """Refuse every token made until then, refresh tokens included. Make the file if there is none."""
    touch_own(path)
    with _opened(path) as connection:
        connection.execute("DELETE FROM families")
        connection.execute("INSERT OR REPLACE INTO cutoffs VALUES (?, ?)", (EVERYONE, at.timestamp()))


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    try:
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
            prepare(connection, path)
            yield connection
            connection.execute("PRAGMA journal_mode=DELETE")  # one file, no log beside it
    except sqlite3.Error as error:
        raise translated(error, path) from error
