"""Files and strings as others make them: of every client, with every damage, and some that were made to do harm."""

import base64
import contextlib
import io
import ipaddress
import sqlite3
import struct
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

from telethon.crypto import AuthKey
from telethon.sessions import SQLiteSession

from sessions.foreign.credentials import Credentials

SLOW = "instr(zeroblob(990000), CAST(zeroblob(490000) || 'b' AS BLOB)) > 0"
"""One call of one function that takes very long: nothing that counts steps of SQLite's machine sees it end."""
_TELETHON = "dc_id INTEGER PRIMARY KEY, server_address TEXT, port INTEGER, auth_key BLOB, takeout_id INTEGER"


def some_key(number: int) -> Credentials:
    return Credentials(2, "149.154.167.51", 443, struct.pack(">I", number + 1) * 64)


def telethon_file(path: Path, credentials: Credentials, version: int = 8) -> Path:
    session = SQLiteSession(str(path))
    session.set_dc(credentials.dc_id, credentials.host, credentials.port)
    session.auth_key = AuthKey(credentials.auth_key)
    session.save()
    session.close()
    if version < 8:  # what older Telethons wrote had no column for temporary keys
        with sqlite3.connect(path) as database:
            database.execute("ALTER TABLE sessions DROP COLUMN tmp_auth_key")
            database.execute("UPDATE version SET version = ?", (version,))
        database.close()
    return path


def telethon_bytes(credentials: Credentials) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        return telethon_file(Path(folder) / "a.session", credentials).read_bytes()


def sqlite_bytes(*statements: str | tuple[str, tuple[object, ...]]) -> bytes:
    """A database after some statements."""
    with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as database:
        for statement in statements:
            database.execute(*((statement,) if isinstance(statement, str) else statement))
        return database.serialize()


def telethon_like(
    dc_id: object = 2, host: object = "149.154.167.51", port: object = 443, key: object = b"k" * 256
) -> bytes:
    return sqlite_bytes(
        f"CREATE TABLE sessions ({_TELETHON.replace('INTEGER PRIMARY KEY', '')})",
        ("INSERT INTO sessions VALUES (?, ?, ?, ?, NULL)", (dc_id, host, port, key)),
    )


def in_use(folder: Path, old: Credentials, new: Credentials) -> dict[str, bytes]:
    """A Telethon file in WAL mode as it lies there while its program runs: the new key is in the -wal file alone."""
    path = telethon_file(folder / "in_use.session", old)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA wal_autocheckpoint = 0")
        database.execute("UPDATE sessions SET auth_key = ?", (new.auth_key,))
        return {end: path.with_name(path.name + end).read_bytes() for end in ("", "-wal", "-shm")}


def with_wal(name: str, old: Credentials, new: Credentials) -> list[tuple[str, bytes]]:
    """The same by their names, as they would stand in a zip."""
    with tempfile.TemporaryDirectory() as folder:
        return [(f"{name}{end}", content) for end, content in in_use(Path(folder), old, new).items()]


def cut_off(folder: Path, old: Credentials, new: Credentials) -> dict[str, bytes]:
    """A Telethon file whose program was killed in a transaction: the old key is in the -journal file alone."""
    path = telethon_file(folder / "cut_off.session", old)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("PRAGMA cache_size = 1")
        database.execute("BEGIN IMMEDIATE")
        database.execute("UPDATE sessions SET auth_key = ?", (new.auth_key,))
        database.executemany("INSERT INTO entities (id, hash) VALUES (?, 1)", [(number,) for number in range(1, 3000)])
        files = {end: path.with_name(path.name + end).read_bytes() for end in ("", "-journal")}
        database.execute("ROLLBACK")
    assert new.auth_key in files[""]
    return files


def harmful_files() -> Iterator[tuple[str, bytes]]:
    """SQLite files that were made to keep their reader busy, or to make it run something."""
    columns = "2 AS dc_id, 'x' AS server_address, 443 AS port, zeroblob(256) AS auth_key, 0 AS takeout_id"
    yield "view", sqlite_bytes(f"CREATE VIEW sessions AS SELECT {columns} WHERE {SLOW}")
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n"
    yield "endless view", sqlite_bytes(f"CREATE VIEW sessions AS SELECT {columns} WHERE 0 IN ({endless})")
    yield (
        "generated",
        sqlite_bytes(
            f"CREATE TABLE sessions (dc_id, server_address, port, takeout_id, auth_key AS ({SLOW}))",
            "INSERT INTO sessions VALUES (2, '149.154.167.51', 443, NULL)",
        ),
    )
    yield "virtual", sqlite_bytes("CREATE VIRTUAL TABLE sessions USING fts5(dc_id, server_address, port, auth_key)")
    yield (
        "a view that says it is a table",
        sqlite_bytes(
            "CREATE TABLE other (a)",
            "PRAGMA writable_schema = ON",
            (
                "INSERT INTO sqlite_master VALUES ('table', 'sessions', 'sessions', 2, ?)",
                (f"CREATE VIEW sessions AS SELECT {columns} WHERE {SLOW}",),
            ),
        ),
    )
    yield "a large value", sqlite_bytes(f"CREATE TABLE sessions ({_TELETHON})", *_large())
    yield "a thousand tables", sqlite_bytes(*(f"CREATE TABLE t{number} (a)" for number in range(1000)))


def computing_beside(credentials: Credentials) -> bytes:
    """A good session file in which another table computes for very long whatever is read of it."""
    return sqlite_bytes(
        f"CREATE TABLE sessions ({_TELETHON})",
        (
            "INSERT INTO sessions VALUES (?, ?, ?, ?, NULL)",
            (credentials.dc_id, credentials.host, credentials.port, credentials.auth_key),
        ),
        f"CREATE TABLE entities (id INTEGER PRIMARY KEY, hash AS ({SLOW}))",
        "INSERT INTO entities VALUES (0)",
    )


def _large() -> tuple[str, ...]:
    return ("INSERT INTO sessions VALUES (2, '149.154.167.51', 443, zeroblob(2000000), NULL)",)


def damaged_files() -> Iterator[tuple[str, bytes]]:
    """Files that hold no account that can be reached."""
    whole = telethon_bytes(some_key(1))
    yield "empty", b"SQLite format 3\0"
    yield "cut", whole[:5000]
    yield "its schema overwritten", whole[:100] + b"\xff" * 1000 + whole[1100:]
    wrongs: dict[str, dict[str, object]] = {
        "a port too high": {"port": 99999},
        "a port below": {"port": -1},
        "a port of 2**70": {"port": float(2**70)},
        "a port in words": {"port": "https"},
        "no port": {"port": None},
        "data centre 0": {"dc_id": 0},
        "data centre 2**40": {"dc_id": 2**40},
        "a data centre in words": {"dc_id": "two"},
        "a host that is none": {"host": "nowhere"},
        "a host in bytes": {"host": b"\xff\xfe"},
        "a host with a scope": {"host": "fe80::1%eth0"},
        "a short key": {"key": b"short"},
        "a key in text": {"key": "k" * 256},
        "nobody's key": {"key": bytes(256)},
    }
    for name, wrong in wrongs.items():
        yield name, telethon_like(**wrong)
    yield (
        "text that is none",
        sqlite_bytes(
            f"CREATE TABLE sessions ({_TELETHON})",
            "INSERT INTO sessions VALUES (2, CAST(x'ff00fe' AS TEXT), 443, zeroblob(256), NULL)",
        ),
    )


def zipped(*entries: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return file.getvalue()


METHODS = {
    "stored": zipfile.ZIP_STORED,
    "deflated": zipfile.ZIP_DEFLATED,
    "bzip2": zipfile.ZIP_BZIP2,
    "lzma": zipfile.ZIP_LZMA,
}


def damaged_zips(good: bytes) -> Iterator[tuple[str, bytes]]:
    """Zips of three entries, of which the one in the middle is damaged."""
    for name, method in METHODS.items():
        whole = bytearray(zipped(("a.session", good), ("b.session", good), ("c.txt", b"x"), method=method))
        with zipfile.ZipFile(io.BytesIO(whole)) as archive:
            middle = archive.getinfo("b.session")
        start = middle.header_offset + 30 + len(middle.filename)
        for what, at in {"its beginning": 0, "its middle": middle.compress_size // 2}.items():
            broken = bytearray(whole)
            broken[start + at : start + at + 12] = b"\xff" * 12
            yield f"{name}, {what}", bytes(broken)
    whole = bytearray(zipped(("a.session", good), ("b.session", good), ("c.txt", b"x")))
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        middle = archive.getinfo("b.session")
    directory = whole.index(b"PK\1\2", whole.index(b"PK\1\2") + 1)
    for name, place, value in (("a password", 6, 1), ("an unknown method", 8, 99), ("deflate64", 8, 9)):
        broken = bytearray(whole)
        struct.pack_into("<H", broken, middle.header_offset + place, value)
        struct.pack_into("<H", broken, directory + place + 2, value)
        yield name, bytes(broken)


def _tl(content: bytes) -> bytes:
    packed = (
        bytes((len(content),)) + content
        if len(content) < 254
        else b"\xfe" + len(content).to_bytes(3, "little") + content
    )
    return packed + bytes(-len(packed) % 4)


def telethon_text(key: Credentials) -> str:
    address = ipaddress.ip_address(key.host).packed
    packed = struct.pack(f">B{len(address)}sH256s", key.dc_id, address, key.port, key.auth_key)
    return "1" + base64.urlsafe_b64encode(packed).decode()


def gramjs_text(key: Credentials, host: str | None = None) -> str:
    address = (host or key.host).encode()
    packed = struct.pack(f">BH{len(address)}sH256s", key.dc_id, len(address), address, key.port, key.auth_key)
    return "1" + base64.b64encode(packed).decode()


def pyrogram_text(key: Credentials, telegram_id: int = 777, api_id: int = 1001, *, is_bot: bool = False) -> str:
    packed = struct.pack(">BI?256sQ?", key.dc_id, api_id, False, key.auth_key, telegram_id, is_bot)
    return base64.urlsafe_b64encode(packed).decode().rstrip("=")


def mtcute_text(key: Credentials, telegram_id: int | None = 777, *, is_bot: bool = False, version: int = 3) -> str:
    flags = (telegram_id is not None) + 4 * (version > 1)
    host = _tl(key.host.encode())
    if version == 3:
        centre = _tl(bytes((2, key.dc_id, 0)) + host + struct.pack("<I", key.port))
    else:
        centre = struct.pack("<III", 414687501, 0, key.dc_id) + host + struct.pack("<I", key.port)
    packed = bytes((version,)) + struct.pack("<I", flags) + centre * (1 + (version > 1))
    if telegram_id is not None:
        packed += struct.pack("<QI", telegram_id, 0x997275B5 if is_bot else 0xBC799737)
    return base64.urlsafe_b64encode(packed + _tl(key.auth_key)).decode().rstrip("=")


def mtkruto_text(key: Credentials, centre: str | None = None) -> str:
    packed, short = _tl((centre or str(key.dc_id)).encode()) + _tl(key.auth_key), bytearray()
    at = 0
    while at < len(packed):
        zeros = len(packed[at : at + 255]) - len(packed[at : at + 255].lstrip(b"\0"))
        short += bytes((0, zeros)) if zeros else packed[at : at + 1]
        at += max(1, zeros)
    return base64.urlsafe_b64encode(bytes(short)).decode().rstrip("=")


STRINGS: dict[str, Callable[[Credentials], str]] = {
    "telethon string": telethon_text,
    "pyrogram string": pyrogram_text,
    "gramjs string": gramjs_text,
    "mtcute string": mtcute_text,
    "mtkruto string": mtkruto_text,
}
"""How every client writes an account, by the name of the format."""

WRAPPINGS = {
    "a byte order mark": "\ufeff{}",
    "quotes": '"{}"',
    "typographic quotes": "„{}“",
    "backticks": "```{}```",
    "an assignment": "SESSION={}",
    "an export": 'export TG_SESSION="{}"\n',
    "code": "session = '{}',",
    "JSON": '"session": "{}",',
    "marks of direction": "\u202a{}\u202c\u200e",
    "zero-width spaces": "\u200b{}\u2060",
    "spaces of other kinds": "\u00a0\u2003{}\u3000\r\n",
}
"""What comes along with a string that is copied from somewhere."""
