"""What the API remembers of tokens and passwords, in `api.sqlite3`.

It holds revoked tokens, logouts everywhere, password hashes, families of refresh tokens and answers to repeated
requests. It holds secrets only as digests. Every method is one transaction; they run one after the other in a thread of
the store's own, so exactly one of racing calls is first.
"""

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Self, TypeVar

from core.errors import StateError, StateNotWritten, StateTooNew
from data.disk.files import make_folder, touch_own
from data.disk.inventory import AUTH_FILE
from data.disk.sqlite_files import translated
from data.disk.traces import is_empty, note_made, refuse_new_beginning

T = TypeVar("T")

EVERYONE = ""
"""Every user, in the table of cutoffs. No user has this id."""
_VERSION = 2
_SCHEMA_1 = """
CREATE TABLE revoked (token_id TEXT PRIMARY KEY, ends REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE cutoffs (user TEXT PRIMARY KEY, at REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE passwords (user TEXT PRIMARY KEY, hash TEXT NOT NULL, roles TEXT NOT NULL, at REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE families (
    id TEXT PRIMARY KEY, user TEXT NOT NULL, roles TEXT NOT NULL, digest TEXT NOT NULL, ends REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX families_by_user ON families (user);
CREATE TABLE answers (
    user TEXT NOT NULL, key TEXT NOT NULL, request TEXT NOT NULL, status INTEGER, headers TEXT, body BLOB,
    ends REAL NOT NULL, PRIMARY KEY (user, key)
) WITHOUT ROWID;
"""
# Answers of the first version were kept with digests that have no key.
_SCHEMA_2 = """
CREATE TABLE ended_families (
    user TEXT NOT NULL, id TEXT NOT NULL, ends REAL NOT NULL, PRIMARY KEY (user, id)
) WITHOUT ROWID;
DELETE FROM answers;
CREATE INDEX answers_by_end ON answers (ends);
"""
MOST_KEYS = 1_000
"""Idempotency keys remembered for one user; the oldest are forgotten first."""
MOST_ANSWER_BYTES = 1_000_000
"""Bytes of all answers kept for one user. Of older answers only the fact is kept."""


@dataclass(frozen=True)
class Password:
    """The hash of a user's password, and the roles of whoever knows it."""

    hash: str
    roles: frozenset[str]


@dataclass(frozen=True)
class Family:
    """The refresh tokens that follow from one login."""

    id: str
    user: str
    roles: frozenset[str]
    ends: float


class Refresh(StrEnum):
    """The result of using a refresh token."""

    ROTATED = "rotated"
    REFUSED = "refused"
    REUSED = "reused"
    """It was used before, so somebody else has it. The family is ended."""


@dataclass(frozen=True)
class Revoked:
    """What is refused before it expires. Each end is the moment from which it need not be remembered."""

    tokens: dict[str, float]
    """Token id → end."""
    families: dict[tuple[str, str], float]
    """User and family → end."""
    cutoffs: dict[str, float]
    """User, or EVERYONE → the moment of the last logout everywhere."""


@dataclass(frozen=True)
class KeptAnswer:
    """The answer to a request with an idempotency key."""

    request: str
    status: int | None
    """None: the first request is still being handled, or never ended."""
    headers: str
    body: bytes | None
    """None: it was not kept."""


class AuthStore:
    """Open it once a process."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="auth-store")
        self._closed = False

    @classmethod
    def open(cls, state_dir: Path) -> Self:
        """Open or make the file (0600).

        Raises:
            StateDamaged: it cannot be read, or is missing though it was there before.
            StateTooNew: a newer Postfleet wrote it.
            StateNotWritten: it cannot be opened.
        """
        file = state_dir / AUTH_FILE
        if is_empty(file):
            refuse_new_beginning(file)
        try:
            make_folder(state_dir)
            touch_own(file)
            connection = sqlite3.connect(file, check_same_thread=False, isolation_level=None)
        except (OSError, sqlite3.Error):
            raise StateNotWritten(f"{file} cannot be opened") from None
        try:
            if version_of(connection) == 0:  # it has bytes, and no tables of ours
                refuse_new_beginning(file)
            prepare(connection, file)
        except sqlite3.Error as error:
            connection.close()
            raise translated(error, file) from None
        except StateError:
            connection.close()
            raise
        note_made(file)
        return cls(connection)

    async def close(self) -> None:
        """Finish the transactions that wait, and close the file."""
        if not self._closed:
            self._closed = True
            await asyncio.to_thread(self._thread.shutdown)
            self._db.close()

    def revoked_now(self, now: float) -> Revoked:
        """Return everything that is revoked, for a cache at the start."""
        with closing(self._db.cursor()) as db:
            tokens = dict(db.execute("SELECT token_id, ends FROM revoked WHERE ends > ?", (now,)).fetchall())
            ended = db.execute("SELECT user, id, ends FROM ended_families WHERE ends > ?", (now,)).fetchall()
            cutoffs = dict(db.execute("SELECT user, at FROM cutoffs").fetchall())
        return Revoked(tokens, {(user, family): ends for user, family, ends in ended}, cutoffs)

    async def revoke(self, token_id: str, ends: float, now: float) -> None:
        """Refuse this token from now on."""

        def work(db: sqlite3.Cursor) -> None:
            db.execute("DELETE FROM revoked WHERE ends <= ?", (now,))
            db.execute("INSERT OR REPLACE INTO revoked VALUES (?, ?)", (token_id, ends))

        await self._run(work)

    async def log_out_everywhere(self, user: str, at: float) -> None:
        """Refuse this user's tokens made until then, and end every family."""

        def work(db: sqlite3.Cursor) -> None:
            db.execute("INSERT OR REPLACE INTO cutoffs VALUES (?, ?)", (user, at))
            db.execute("DELETE FROM families WHERE user = ?", (user,))

        await self._run(work)

    async def password(self, user: str) -> Password | None:
        """Return the user's password, if one was set."""

        def work(db: sqlite3.Cursor) -> Password | None:
            row = db.execute("SELECT hash, roles FROM passwords WHERE user = ?", (user,)).fetchone()
            return Password(row[0], frozenset(row[1].split())) if row else None

        return await self._run(work)

    async def set_password(self, user: str, password: Password, at: float) -> None:
        """Set or replace the user's password."""
        values = (user, password.hash, " ".join(sorted(password.roles)), at)
        await self._run(lambda db: db.execute("INSERT OR REPLACE INTO passwords VALUES (?, ?, ?, ?)", values))

    async def begin_family(self, family: Family, digest: str, password_hash: str, now: float) -> bool:
        """Store a login's first refresh token, unless the user has another password by now. Return whether it did."""

        def work(db: sqlite3.Cursor) -> bool:
            if db.execute("SELECT hash FROM passwords WHERE user = ?", (family.user,)).fetchone() != (password_hash,):
                return False
            db.execute("DELETE FROM families WHERE ends <= ?", (now,))
            roles = " ".join(sorted(family.roles))
            db.execute(
                "INSERT INTO families VALUES (?, ?, ?, ?, ?)", (family.id, family.user, roles, digest, family.ends)
            )
            return True

        return await self._run(work)

    async def rotate(
        self, family_id: str, digest: str, next_digest: str, now: float, *, made_here: bool, access_ends: float
    ) -> tuple[Refresh, Family | None]:
        """Replace a refresh token by the next one. A token that was replaced before ends its family.

        `made_here`: the token is known to be ours, so one that is not the newest was used before.
        `access_ends`: when the last access token of the family expires.
        """

        def work(db: sqlite3.Cursor) -> tuple[Refresh, Family | None]:
            row = db.execute("SELECT user, roles, digest, ends FROM families WHERE id = ?", (family_id,)).fetchone()
            if row is None or row[3] <= now:
                return Refresh.REFUSED, None
            family = Family(family_id, row[0], frozenset(row[1].split()), row[3])
            if row[2] != digest:
                if not made_here:
                    return Refresh.REFUSED, None
                _end_family(db, family_id, family.user, access_ends, now)
                return Refresh.REUSED, family
            db.execute("UPDATE families SET digest = ? WHERE id = ?", (next_digest, family_id))
            return Refresh.ROTATED, family

        return await self._run(work)

    async def end_family(self, family_id: str, user: str, access_ends: float, now: float) -> bool:
        """End a family with its access tokens, if it is this user's. Return whether there was one."""
        return await self._run(lambda db: _end_family(db, family_id, user, access_ends, now))

    async def claim_answer(self, user: str, key: str, request: str, now: float, ends: float) -> KeptAnswer | None:
        """Return the answer that belongs to this idempotency key; None: this request is the first and takes the key."""

        def work(db: sqlite3.Cursor) -> KeptAnswer | None:
            db.execute("DELETE FROM answers WHERE ends <= ?", (now,))
            row = db.execute(
                "SELECT request, status, headers, body FROM answers WHERE user = ? AND key = ?", (user, key)
            ).fetchone()
            if row is not None:
                return KeptAnswer(*row)
            db.execute(
                "INSERT INTO answers VALUES (?, ?, ?, NULL, '', NULL, ?)",
                (user, key, request, ends),
            )
            db.execute(
                "DELETE FROM answers WHERE user = ?1 AND status IS NOT NULL AND key NOT IN"
                " (SELECT key FROM answers WHERE user = ?1 AND status IS NOT NULL ORDER BY ends DESC LIMIT ?2)",
                (user, MOST_KEYS),
            )
            return None

        return await self._run(work)

    async def keep_answer(
        self, user: str, key: str, status: int, headers: str, body: bytes | None, ends: float
    ) -> None:
        """Keep the answer for repetitions of the request; `body` None: keep only the fact."""

        def work(db: sqlite3.Cursor) -> None:
            db.execute(
                "UPDATE answers SET status = ?, headers = ?, body = ?, ends = ? WHERE user = ? AND key = ?",
                (status, headers, body, ends, user, key),
            )
            db.execute(
                "UPDATE answers SET body = NULL WHERE user = ?1 AND key IN (SELECT key FROM"
                " (SELECT key, sum(length(body)) OVER (ORDER BY ends DESC, key) AS so_far FROM answers"
                " WHERE user = ?1 AND body IS NOT NULL) WHERE so_far > ?2)",
                (user, MOST_ANSWER_BYTES),
            )

        await self._run(work)

    async def forget_answer(self, user: str, key: str) -> None:
        """Forget the key of a request that had no effect and may be sent again."""
        await self._run(lambda db: db.execute("DELETE FROM answers WHERE user = ? AND key = ?", (user, key)))

    async def _run(self, work: Callable[[sqlite3.Cursor], T]) -> T:
        def transaction() -> T:
            with closing(self._db.cursor()) as db:
                db.execute("BEGIN IMMEDIATE")
                try:
                    result = work(db)
                    db.execute("COMMIT")
                except BaseException:
                    if self._db.in_transaction:
                        db.execute("ROLLBACK")
                    raise
            return result

        try:
            return await asyncio.wrap_future(self._thread.submit(transaction))
        except sqlite3.Error as error:
            raise translated(error, Path(AUTH_FILE)) from None


def _end_family(db: sqlite3.Cursor, family_id: str, user: str, access_ends: float, now: float) -> bool:
    if db.execute("DELETE FROM families WHERE id = ? AND user = ?", (family_id, user)).rowcount == 0:
        return False
    db.execute("DELETE FROM ended_families WHERE ends <= ?", (now,))
    db.execute("INSERT OR REPLACE INTO ended_families VALUES (?, ?, ?)", (user, family_id, access_ends))
    return True


def version_of(connection: sqlite3.Connection) -> int:
    """Return the version of the tables; 0: there are none of ours. Raises sqlite3.Error."""
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return version


def prepare(connection: sqlite3.Connection, file: Path) -> None:
    """Make or migrate the tables.

    Raises:
        StateTooNew: a newer Postfleet wrote the file.
        sqlite3.Error: SQLite refused.
    """
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA busy_timeout = 5000")
    # The file itself holds every commit: if its log is lost, no password or ended token is.
    connection.execute("PRAGMA wal_autocheckpoint = 1")
    # Deleted content is overwritten in the file.
    connection.execute("PRAGMA secure_delete = ON")
    version = version_of(connection)
    if version > _VERSION:
        raise StateTooNew(f"{file} was written by a newer Postfleet; start that one")
    if version < _VERSION:
        missing = "".join((_SCHEMA_1, _SCHEMA_2)[version:])
        connection.executescript(f"BEGIN IMMEDIATE; {missing} PRAGMA user_version = {_VERSION}; COMMIT;")
