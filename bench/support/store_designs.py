"""The ways of keeping users on disk that `bench store` compares."""

import asyncio
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import msgspec
import portalocker
from tinydb import TinyDB, where

from core.clock import SystemClock
from core.models import BannedSession, Cycle, Delivery, DeliveryState, Event, Hold, PostContent, PostType, Session, User
from data.disk.files import Disk, write_whole
from data.disk.group_commit import GroupCommit, WorkResult
from data.journal.journal import Journal
from data.users.data_manager import DataManager, Transaction

_NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
_TEXT = "Our shop moves to its new place this week. Come by, bring a friend, and have a look around. " * 3


def a_user(number: int) -> User:
    """Return a typical user: twenty groups, three accounts, a few holds, a post of some lines."""
    names = tuple(f"s{number}_{index}" for index in range(3))
    groups = tuple(f"@group_{number}_{index}" for index in range(20))
    hold = Hold(until=_NOW, code="SLOWMODE_WAIT", reason="The group lets an account post once in a while")
    return User(
        assigned_sessions=names,
        api_pairs=(12345,),
        groups=groups,
        post_content=_TEXT,
        next_run_at=_NOW,
        banned_sessions=(BannedSession(name=f"old{number}", at=_NOW, reason="Banned by Telegram"),),
        group_holds={groups[0]: {names[0]: hold}, groups[1]: {names[1]: hold}},
    )


def _fill(users: int, store: DataManager) -> None:
    def change(tx: Transaction) -> None:
        for number in range(users):
            user = a_user(number)
            tx.put_user(f"user{number}", user)
            for name in user.assigned_sessions:
                tx.put_session(name, Session(api_id=12345, telegram_id=number, dc_id=2, added_at=_NOW))

    store.transact_now(change)


class Design(Protocol):
    """One way of keeping users."""

    name: str

    def __init__(self, folder: Path, users: int) -> None: ...

    async def update(self, user_id: str) -> None:
        """Change one field of one user, durably."""
        ...

    async def close(self) -> None:
        """Close it. Updates that are still queued may be dropped."""
        ...

    def remove(self) -> None:
        """Remove what the design holds outside the folder."""
        ...


class Ours(Design):
    """Postfleet's `DataManager`."""

    name = "ours"

    def __init__(self, folder: Path, users: int) -> None:
        self._store = DataManager.open(folder, SystemClock())
        _fill(users, self._store)

    async def update(self, user_id: str) -> None:
        def change(tx: Transaction) -> None:
            user = tx.user(user_id)
            tx.put_user(user_id, msgspec.structs.replace(user, delay_between_cycles=user.delay_between_cycles + 1))

        await self._store.transact(change)

    async def close(self) -> None:
        await self._store.close()

    def remove(self) -> None:
        return


class Idle(Ours):
    """No store at all, to show how much the machine itself stalls the loop."""

    name = "idle"

    def __init__(self, folder: Path, users: int) -> None:
        """Hold nothing."""

    async def update(self, user_id: str) -> None:  # noqa: ARG002  it updates nobody
        await asyncio.sleep(1)

    async def close(self) -> None:
        return


def _bytes_of_ours(users: int) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        _fill(users, DataManager.open(Path(folder), SystemClock()))
        return (Path(folder) / "users.json").read_bytes()


class _InThread(Design):
    """Blocking updates, one at a time, in a thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._over = False

    async def update(self, user_id: str) -> None:
        await asyncio.to_thread(self._locked, user_id)

    def _locked(self, user_id: str) -> None:
        with self._lock:
            if not self._over:
                self.change(user_id)

    def change(self, user_id: str) -> None:
        """Make the update."""
        raise NotImplementedError

    async def close(self) -> None:
        self._over = True

    def remove(self) -> None:
        return


class Naive(_InThread):
    """Locks, loads, changes and rewrites an indented JSON file for every update."""

    name = "naive"
    indent: int | None = 2

    def __init__(self, folder: Path, users: int) -> None:
        super().__init__()
        self._path = folder / "naive.json"
        self._path.write_text(json.dumps(json.loads(_bytes_of_ours(users)), indent=self.indent))

    def change(self, user_id: str) -> None:
        with portalocker.Lock(self._path.with_suffix(".lock"), "ab", timeout=5, check_interval=0.005):
            document = json.loads(self._path.read_bytes())
            document["users"][user_id]["delay_between_cycles"] += 1
            beside = self._path.with_suffix(".tmp")
            with beside.open("w") as file:
                file.write(json.dumps(document, indent=self.indent))
                file.flush()
                os.fsync(file.fileno())
            beside.replace(self._path)
            Disk().sync_folder(self._path.parent)


class NaiveCompact(Naive):
    """The same without indentation, which Python writes much faster."""

    name = "naive, one line"
    indent = None


class Tiny(_InThread):
    """TinyDB with its defaults. It does not wait for the disk."""

    name = "TinyDB"

    def __init__(self, folder: Path, users: int) -> None:
        super().__init__()
        self._db = TinyDB(folder / "tiny.json")
        self._db.insert_multiple(
            {"name": name, **user} for name, user in json.loads(_bytes_of_ours(users))["users"].items()
        )

    def change(self, user_id: str) -> None:
        self._db.update({"delay_between_cycles": time.time()}, where("name") == user_id)

    def remove(self) -> None:
        self._db.close()


class GroupedSqlite(Design):
    """SQLite with a row per user, WAL, synchronous FULL, and the same group commits as ours."""

    name = "grouped SQLite"

    def __init__(self, folder: Path, users: int) -> None:
        self._db = sqlite3.connect(folder / "users.sqlite3", isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        self._db.execute("CREATE TABLE users (name TEXT PRIMARY KEY, document BLOB) WITHOUT ROWID")
        self._db.execute("BEGIN")
        for number in range(users):
            self._db.execute("INSERT INTO users VALUES (?, ?)", (f"user{number}", msgspec.json.encode(a_user(number))))
        self._db.execute("COMMIT")
        self._decoder = msgspec.json.Decoder(User)
        self._group = GroupCommit[str]("bench-sqlite", self._commit)

    def _commit(self, batch: Sequence[str]) -> Sequence[WorkResult]:
        self._db.execute("BEGIN IMMEDIATE")
        for user_id in batch:
            (raw,) = self._db.execute("SELECT document FROM users WHERE name = ?", (user_id,)).fetchone()
            user = self._decoder.decode(raw)
            user = msgspec.structs.replace(user, delay_between_cycles=user.delay_between_cycles + 1)
            self._db.execute("UPDATE users SET document = ? WHERE name = ?", (msgspec.json.encode(user), user_id))
        self._db.execute("COMMIT")
        return [WorkResult()] * len(batch)

    async def update(self, user_id: str) -> None:
        await self._group.submit(user_id)

    async def close(self) -> None:
        await self._group.close()

    def remove(self) -> None:
        self._db.close()


class Raw(_InThread):
    """The disk's own speed: the same bytes written, fsynced, renamed, folder fsynced; no change, no lock."""

    name = "raw"

    def __init__(self, folder: Path, users: int) -> None:
        super().__init__()
        self._path = folder / "raw.json"
        self._chunks = [_bytes_of_ours(users)]

    async def update(self, user_id: str) -> None:
        self.change(user_id)  # in the loop's thread, which adds nothing to the disk's time
        await asyncio.sleep(0)

    def change(self, user_id: str) -> None:  # noqa: ARG002  it writes the whole file for any user
        os.close(write_whole(Disk(), self._path, self._chunks))


DESIGNS: tuple[type[Design], ...] = (Ours, Naive, NaiveCompact, Tiny, GroupedSqlite, Raw)

_START = """
import sys, time
began = time.perf_counter()
from pathlib import Path
from core.clock import SystemClock
from data.users.data_manager import DataManager
from data.journal.journal import Journal
folder = Path(sys.argv[1])
DataManager.open(folder, SystemClock())
Journal.open(folder)
print(time.perf_counter() - began)
"""


def seconds_to_start(users: int, deliveries: int) -> float:
    """Return the seconds in which a new process imports and opens store and journal: the median of three."""
    folder = Path(tempfile.mkdtemp())
    try:
        _fill(users, DataManager.open(folder, SystemClock()))
        asyncio.run(_record(folder, deliveries))
        took = [
            float(subprocess.run([sys.executable, "-c", _START, folder], check=True, capture_output=True).stdout)
            for _ in range(3)
        ]
        return sorted(took)[1]
    finally:
        shutil.rmtree(folder)


async def _record(folder: Path, count: int) -> None:
    journal = Journal.open(folder)
    planned = await journal.plan_cycle(_cycle(), [_delivery(number) for number in range(count)])
    finished = [msgspec.structs.replace(item, state=DeliveryState.DELIVERED, finished_at=_NOW) for item in planned]
    for start in range(0, count, 100):
        await asyncio.gather(*(journal.update(item, event=_event()) for item in finished[start : start + 100]))
    await journal.close()


def outcomes_per_second(callers: int, seconds: float) -> float:
    """Return how many delivered posts a second are recorded durably, each with its event and counters."""
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(_outcomes(Path(folder), callers, seconds))


async def _outcomes(folder: Path, callers: int, seconds: float) -> float:
    journal = Journal.open(folder)
    planned = iter(await journal.plan_cycle(_cycle(), [_delivery(number) for number in range(200_000)]))
    end = time.perf_counter() + seconds
    done = 0

    async def caller() -> None:
        nonlocal done
        while time.perf_counter() < end:
            delivered = msgspec.structs.replace(next(planned), state=DeliveryState.DELIVERED, finished_at=_NOW)
            await journal.update(delivered, event=_event(), messages=1)
            done += 1

    began = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(callers)))
    took = time.perf_counter() - began
    await journal.close()
    return done / took


def _cycle() -> Cycle:
    return Cycle(id=1, user="user1", post_type=PostType.TEXT, post_content=PostContent(text="Hello"), started_at=_NOW)


def _delivery(number: int) -> Delivery:
    group = f"@group{number % 200}"
    return Delivery(user="user1", cycle=1, group=group, session="s1", random_id=number, planned_at=_NOW)


def _event() -> Event:
    return Event(at=_NOW, user="user1", action="post_delivered", text="Delivered to @group", session="s1")
