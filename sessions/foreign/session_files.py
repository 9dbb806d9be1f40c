"""Session files of Telethon and of Pyrogram and its kin (Kurigram), which are SQLite.

Both have a table `sessions`. Telethon's has the columns server_address and takeout_id (versions 5 to 8; since version 8
tmp_auth_key too), Pyrogram's test_mode and user_id (server_address and port since version 7). A file may be made to
harm its reader: a view, a generated column or a virtual table could run code. So only plain tables are read, in a
process of their own (core.confined).
"""

import contextlib
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from core.errors import InvalidInput
from sessions.foreign.formats import KEY_BYTES, Claims, Format, Found, check_claims
from sessions.foreign.sqlite_bytes import SQLITE, recovered

COMPANIONS = ("-wal", "-journal")
"""Endings of the files that SQLite keeps beside a database in use: its newest pages, or its old ones."""
MOST_BYTES = 64 * 2**20
"""The size limit of a session file. One with a large cache of names has a few MB."""
MOST_COMPANION_BYTES = 16 * 2**20
_STEPS_A_ROUND, _MOST_ROUNDS = 10_000, 200
"""The limit on steps of SQLite's virtual machine. A real file takes a few hundred."""
_LONGEST_VALUE = 1_000_000
_COLUMNS = ("dc_id", "server_address", "port", "auth_key", "api_id", "test_mode", "user_id", "is_bot")
_TABLES = frozenset({"sessions", "sqlite_master"})


@dataclass(frozen=True)
class Companions:
    """The contents of the files that SQLite left beside a session file; empty if there are none."""

    wal: bytes = b""
    journal: bytes = b""


def read_session_file(path: Path) -> Found:
    """Return the session in a file and its companions. Only for core.confined.

    Raises:
        InvalidInput: it cannot be read, is no session file, or nobody is logged in with it.
    """
    try:
        content = _bounded(path, MOST_BYTES)
        beside = [path.with_name(path.name + end) for end in COMPANIONS]
        wal, journal = (_bounded(one, MOST_COMPANION_BYTES) if one.exists() else b"" for one in beside)
    except OSError as error:
        raise InvalidInput(path.name, f"cannot be read ({error.strerror})") from None
    if len(content) > MOST_BYTES:
        raise InvalidInput(path.name, "larger than any session file")
    return read_session_bytes(content, path.name, Companions(wal, journal))


def _bounded(path: Path, most: int) -> bytes:
    with path.open("rb") as file:
        return file.read(most + 1)


def read_session_bytes(content: bytes, name: str, companions: Companions | None = None) -> Found:
    """Return the session in a file's content; `name` is for the message.

    Raises:
        InvalidInput: it is no session file, or nobody is logged in with it.
    """
    if not content.startswith(SQLITE):
        raise InvalidInput(name, "not a session file of Telethon or Pyrogram; log the account in again")
    beside = companions or Companions()
    if max(len(beside.wal), len(beside.journal)) > MOST_COMPANION_BYTES:
        raise InvalidInput(name, "its -wal or -journal file is far too large; open and close the session once")
    try:
        content = recovered(content, beside.wal, beside.journal)
    except ValueError:
        raise InvalidInput(name, "its -wal or -journal file does not belong to it; import the file alone") from None
    with _opened(content, name) as database:
        return _from_database(database, name)


@contextlib.contextmanager
def _opened(content: bytes, name: str) -> Iterator[sqlite3.Connection]:
    try:
        with contextlib.closing(sqlite3.connect(":memory:")) as database:
            rounds = iter(range(_MOST_ROUNDS))
            database.set_progress_handler(lambda: next(rounds, None) is None, _STEPS_A_ROUND)
            database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LONGEST_VALUE)
            for setting in ("trusted_schema = OFF", "cell_size_check = ON", "temp_store = MEMORY", "mmap_size = 0"):
                database.execute(f"PRAGMA {setting}")
            database.deserialize(content)
            database.set_authorizer(_allowed)
            yield database
    except (sqlite3.Error, UnicodeError, OverflowError, ValueError) as error:
        if isinstance(error, InvalidInput):
            raise
        raise InvalidInput(
            name, "damaged, or not a session file of Telethon or Pyrogram; log the account in again"
        ) from None


def _allowed(action: int, what: str | None, column: str | None, _: str | None, inside: str | None) -> int:
    """Allow a statement to read the table `sessions` and its definition, and nothing else."""
    if inside is None and (
        action == sqlite3.SQLITE_SELECT
        or (action == sqlite3.SQLITE_READ and what in _TABLES)
        or (action == sqlite3.SQLITE_PRAGMA and what == "table_xinfo" and column == "sessions")
    ):
        return sqlite3.SQLITE_OK
    return sqlite3.SQLITE_DENY


def _from_database(database: sqlite3.Connection, name: str) -> Found:
    columns = _plain_columns(database)
    if not {"dc_id", "auth_key"} <= columns:
        raise InvalidInput(name, "not a Telethon session file (it has no sessions in it); log the account in again")
    wanted = [column for column in _COLUMNS if column in columns]
    row = database.execute(f"SELECT {', '.join(wanted)} FROM sessions NOT INDEXED").fetchone()  # noqa: S608  our own words
    facts = dict(zip(wanted, row, strict=True)) if row is not None else {}
    key = facts.get("auth_key")
    if not isinstance(key, bytes) or len(key) != KEY_BYTES or not any(key):
        raise InvalidInput(name, "nobody is logged in with this session file; log the account in again")
    is_pyrogram = "user_id" in columns
    claims = Claims(
        format=Format.PYROGRAM_FILE if is_pyrogram else Format.TELETHON_FILE,
        dc_id=_number(facts["dc_id"]) or 0,
        key=key,
        host=_host(facts, name, needed=not is_pyrogram),
        port=_number(facts.get("port")),
        test=bool(facts.get("test_mode")),
        api_id=_number(facts.get("api_id")),
        is_bot=bool(facts.get("is_bot")),
    )
    return check_claims(claims, name)


def _plain_columns(database: sqlite3.Connection) -> set[str]:
    """Return the columns of the table `sessions`; none if it is no plain table or has generated columns."""
    made = database.execute("SELECT type, rootpage, sql FROM sqlite_master WHERE name = 'sessions'").fetchall()
    if len(made) != 1 or made[0][0] != "table" or not made[0][1] or not str(made[0][2]).startswith("CREATE TABLE"):
        return set()
    facts = database.execute("PRAGMA table_xinfo(sessions)").fetchall()
    return {fact[1] for fact in facts} if not any(fact[6] for fact in facts) else set()


def _host(facts: dict[str, object], name: str, *, needed: bool) -> str | None:
    host = facts.get("server_address")
    if isinstance(host, str) and host and facts.get("port"):
        return host
    if needed:
        raise InvalidInput(name, "the address of its data centre cannot be understood; log the account in again")
    return None


def _number(value: object) -> int | None:
    return value if isinstance(value, int) else None
