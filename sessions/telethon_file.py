"""Reads the plain `.session` files that Telethon writes (SQLite), so that they can be sealed and taken in."""

import contextlib
import sqlite3
from pathlib import Path

from core.errors import InvalidInput
from sessions.vault import Credentials

SQLITE = b"SQLite format 3\0"
_AUTH_KEY_BYTES = 256


def read_telethon_file(path: Path) -> Credentials:
    """The account in a Telethon session file.

    Raises:
        InvalidInput: it is not one, or nobody is logged in with it.
    """
    try:
        with contextlib.closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as database:
            row = database.execute("SELECT dc_id, server_address, port, auth_key FROM sessions").fetchone()
    except sqlite3.Error as error:
        raise InvalidInput(path.name, f"not a Telethon session file ({error}); log the account in again") from None
    if row is None or row[3] is None or len(row[3]) != _AUTH_KEY_BYTES:
        raise InvalidInput(path.name, "nobody is logged in with this session file; log the account in again")
    dc_id, host, port, auth_key = row
    return Credentials(int(dc_id), str(host), int(port), bytes(auth_key))
