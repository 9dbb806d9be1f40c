"""How SQLite files of the state are opened, and SQLite's errors as ours."""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from core.errors import StateError, StateLocked, StateNotWritten
from data.disk.strict_json import damaged

_BUSY_SECONDS = 10.0
_NOT_UTF8 = "Could not decode to UTF-8"
"""How the sqlite3 module begins its error for a text that is not UTF-8. The error has no code of its own."""


def connect(path: Path) -> sqlite3.Connection:
    """Return a connection that commits durably (WAL, synchronous FULL) and leaves transactions to us.

    Raises:
        StateDamaged: it is no SQLite file.
        StateNotWritten: it cannot be opened.
    """
    try:
        connection = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA journal_size_limit=8388608")
    except sqlite3.Error as error:
        raise translated(error, path) from error
    return connection


@contextlib.contextmanager
def read_only(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a connection that changes neither the file nor the log beside it, not even when it is the last to close.

    Raises:
        sqlite3.Error: the file does not exist or cannot be opened.
    """
    uri = f"{path.resolve().as_uri()}?mode=ro"
    with contextlib.closing(sqlite3.connect(uri, uri=True, timeout=_BUSY_SECONDS)) as connection:
        yield connection


def translated(error: sqlite3.Error, path: Path) -> StateError:
    """Return our error for one of SQLite."""
    if type(error) is sqlite3.DatabaseError or str(error).startswith(_NOT_UTF8):
        return damaged(path, f"cannot be read ({str(error).encode(errors='backslashreplace').decode()})")
    if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY:
        return StateLocked(f"another process has held {path} for more than {_BUSY_SECONDS:g} s")
    return StateNotWritten(f"{path} could not be written ({error}); the change was not made")
