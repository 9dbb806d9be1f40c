"""Reads the session formats people bring: Telethon's and Pyrogram's (Kurigram's) files and strings; writes one of them.

Facts of the formats, checked against Telethon 1.45.0 and Kurigram 2.2.26: a Telethon file is SQLite with a table
`sessions` that names server_address and takeout_id (versions 5 to 8; since version 8 tmp_auth_key too) and keeps the
account's own id as `hash` of entity 0; a Pyrogram file has test_mode and user_id there (server_address and port since
version 7). A Telethon string is "1" and base64 of dc, address, port, key; a Pyrogram string base64 of dc, api_id,
test mode, key, user id, is-bot, and two older layouts without api_id.
"""

import base64
import binascii
import contextlib
import ipaddress
import itertools
import sqlite3
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from core.errors import InvalidInput
from sessions.vault import Credentials

SQLITE = b"SQLite format 3\0"
_KEY_BYTES = 256
_PYROGRAM = {362: ">BI?256sQ?", 356: ">B?256sQ?", 351: ">B?256sI?"}
_TELETHON = {352: ">B4sH256s", 368: ">B16sH256s"}
_LONGEST_STRING = 400
_STEPS_A_ROUND, _MOST_ROUNDS = 10_000, 200
"""Of SQLite's machine; a real file takes a few hundred steps."""
_LONGEST_VALUE = 1_000_000
# Where Telegram's data centres are, for formats that only number them.
_PRODUCTION = {
    1: "149.154.175.53",
    2: "149.154.167.51",
    3: "149.154.175.100",
    4: "149.154.167.91",
    5: "91.108.56.130",
    203: "91.105.192.100",
}
_TEST = {1: "149.154.175.10", 2: "149.154.167.40", 3: "149.154.175.117"}


_NETWORKS = tuple(
    ipaddress.ip_network(network)
    for network in (
        "91.105.192.0/23",
        "91.108.4.0/22",
        "91.108.8.0/21",
        "91.108.16.0/21",
        "91.108.56.0/22",
        "149.154.160.0/20",
        "185.76.151.0/24",
        "2001:67c:4e8::/48",
        "2001:b28:f23c::/47",
        "2001:b28:f23f::/48",
        "2a0a:f280::/32",
    )
)
"""core.telegram.org/resources/cidr.txt"""


class Format(StrEnum):
    """How a session was brought."""

    TELETHON_FILE = "telethon file"
    TELETHON_STRING = "telethon string"
    PYROGRAM_FILE = "pyrogram file"
    PYROGRAM_STRING = "pyrogram string"


@dataclass(frozen=True)
class Found:
    """A session somebody brought. `telegram_id` and `api_id` where the format tells them."""

    format: Format
    credentials: Credentials
    telegram_id: int | None = None
    api_id: int | None = None


def read_session_file(path: Path) -> Found:
    """The account in a session file that Telethon or Pyrogram wrote.

    Raises:
        InvalidInput: it is not one, or nobody is logged in with it.
        OSError: it cannot be read.
    """
    if path.with_name(path.name + "-wal").exists():  # what it says last is not in the file itself yet
        with _database(path.name) as database:
            database.execute("ATTACH DATABASE ? AS there", (f"{path.resolve().as_uri()}?mode=ro",))
            return _from_database(database, path.name, "there.")
    return read_session_bytes(path.read_bytes(), path.name)


def read_session_bytes(content: bytes, name: str) -> Found:
    """The same for a file's content; `name` is for the message.

    Raises:
        InvalidInput: it is not one, or nobody is logged in with it.
    """
    if not content.startswith(SQLITE):
        raise InvalidInput(name, "not a session file of Telethon or Pyrogram; log the account in again")
    if content[18:20] == b"\2\2":  # written in WAL mode: says only that a -wal file may lie beside it
        content = content[:18] + b"\1\1" + content[20:]
    with _database(name) as database:
        database.deserialize(content)
        return _from_database(database, name, "")


@contextlib.contextmanager
def _database(name: str) -> Iterator[sqlite3.Connection]:
    try:
        with contextlib.closing(sqlite3.connect("file::memory:", uri=True)) as database:
            # Whoever made the file may have put views into it that never end, or fill the memory.
            rounds = itertools.count(1)
            database.set_progress_handler(lambda: next(rounds) > _MOST_ROUNDS, _STEPS_A_ROUND)
            database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LONGEST_VALUE)
            yield database
    except sqlite3.Error as error:
        raise InvalidInput(name, f"not a Telethon session file ({error}); log the account in again") from None


def _from_database(database: sqlite3.Connection, name: str, schema: str) -> Found:
    pragma = f"PRAGMA {schema}table_info(sessions)"
    columns = {row[1] for row in database.execute(pragma)}
    if not {"dc_id", "auth_key"} <= columns:
        raise InvalidInput(name, "not a Telethon session file (it has no sessions in it); log the account in again")
    wanted = [column for column in _COLUMNS if column in columns]
    row = database.execute(f"SELECT {', '.join(wanted)} FROM {schema}sessions").fetchone()  # noqa: S608  our own words
    facts = dict(zip(wanted, row, strict=True)) if row is not None else {}
    key = facts.get("auth_key")
    if not isinstance(key, bytes) or len(key) != _KEY_BYTES or not any(key):
        raise InvalidInput(name, "nobody is logged in with this session file; log the account in again")
    try:
        if "user_id" not in columns:
            return _telethon(facts, key, _own_id(database, schema))
        return _pyrogram_file(facts, key, name)
    except (TypeError, ValueError):
        raise InvalidInput(name, "its data centre or address cannot be understood; log the account in again") from None


_COLUMNS = ("dc_id", "server_address", "port", "auth_key", "api_id", "test_mode", "user_id", "is_bot")


def _telethon(facts: dict[str, object], key: bytes, telegram_id: int | None) -> Found:
    credentials = Credentials(_int(facts["dc_id"]), str(facts["server_address"]), _int(facts["port"]), key)
    return Found(Format.TELETHON_FILE, credentials, telegram_id)


def _own_id(database: sqlite3.Connection, schema: str) -> int | None:
    with contextlib.suppress(sqlite3.Error):
        row = database.execute(f"SELECT hash FROM {schema}entities WHERE id = 0").fetchone()  # noqa: S608  our own words
        if row is not None and isinstance(row[0], int) and row[0] > 0:
            return row[0]
    return None


def _pyrogram_file(facts: dict[str, object], key: bytes, name: str) -> Found:
    if facts.get("is_bot"):
        raise _a_bot(name)
    dc_id = _int(facts["dc_id"])
    host, port = _address(dc_id, bool(facts.get("test_mode")), name)
    if facts.get("server_address") and facts.get("port"):
        host, port = str(facts["server_address"]), _int(facts["port"])
    return Found(
        Format.PYROGRAM_FILE,
        Credentials(dc_id, host, port, key),
        _int(facts["user_id"]) if facts.get("user_id") else None,
        _int(facts["api_id"]) if facts.get("api_id") else None,
    )


def _int(value: object) -> int:
    if not isinstance(value, int):
        raise TypeError
    return value


def is_session_string(text: str) -> bool:
    """Whether it has the length of one."""
    text = text.strip()
    return len(text.rstrip("=")) in _PYROGRAM or (text[:1] == "1" and len(text) - 1 in _TELETHON)


def read_session_string(text: str, name: str = "session string") -> Found:
    """The account in a session string of Telethon or Pyrogram.

    Raises:
        InvalidInput: it is none; never shows it.
    """
    text = text.strip()
    try:
        if text[:1] == "1" and len(text) - 1 in _TELETHON:
            return _telethon_string(text[1:])
        layout = _PYROGRAM.get(len(text.rstrip("=")))
        if layout is not None:
            return _pyrogram_string(text.rstrip("="), layout, name)
    except (binascii.Error, struct.error, ValueError) as error:
        if isinstance(error, InvalidInput):
            raise
    raise InvalidInput(name, "not a session string of Telethon or Pyrogram; was all of it copied?")


def _telethon_string(text: str) -> Found:
    packed = base64.b64decode(text, altchars=b"-_", validate=True)
    dc_id, address, port, key = struct.unpack(_TELETHON[len(text)], packed)
    if not any(key):
        raise ValueError
    return Found(Format.TELETHON_STRING, Credentials(dc_id, ipaddress.ip_address(address).compressed, port, key))


def _pyrogram_string(text: str, layout: str, name: str) -> Found:
    packed = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    dc_id, *api_id, test_mode, key, user_id, is_bot = struct.unpack(layout, packed)
    if not any(key):
        raise ValueError
    if is_bot:
        raise _a_bot(name)
    host, port = _address(dc_id, test_mode, name)
    return Found(
        Format.PYROGRAM_STRING,
        Credentials(dc_id, host, port, key),
        user_id or None,
        api_id[0] if api_id and api_id[0] else None,
    )


def _address(dc_id: int, test_mode: bool, name: str) -> tuple[str, int]:
    host = (_TEST if test_mode else _PRODUCTION).get(dc_id)
    if host is None:
        raise InvalidInput(name, f"it names a data centre {dc_id} that Telegram does not have")
    return host, 80 if test_mode else 443


def _a_bot(name: str) -> InvalidInput:
    return InvalidInput(name, "it is a bot's session; Postfleet posts with people's accounts only")


def is_telegrams(host: str) -> bool:
    """Whether the address is one of Telegram's own."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return any(address in network for network in _NETWORKS)


def telethon_string(credentials: Credentials) -> str:
    """The session as a Telethon StringSession. Whoever has it is the account."""
    address = ipaddress.ip_address(credentials.host).packed
    packed = struct.pack(f">B{len(address)}sH256s", credentials.dc_id, address, credentials.port, credentials.auth_key)
    return "1" + base64.urlsafe_b64encode(packed).decode()
