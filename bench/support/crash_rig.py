"""Processes that write the same state as fast as they can and are killed. Then the rig checks what was confirmed.

Each caller increments a number of its own and a shared one, takes and returns sessions of a pool that is too small for
all, and writes to the journal. It notes each confirmed change in memory that it shares with the rig and that outlives
the kill. The rig forks, so its process must have no threads.
"""

import asyncio
import json
import mmap
import os
import random
import signal
import sqlite3
import subprocess
import time
import traceback
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from bench.support.crash_variants import DISKS, STORES, KillingDisk, open_journal_of
from core.clock import SystemClock
from core.errors import StateError
from core.models import Event, Session, User
from data.disk.files import Disk
from data.disk.inventory import JOURNAL_FILE
from data.journal.schema import open_journal
from data.journal.stats_file import Counted, counted_from, read_stats
from data.users.data_manager import DataManager, Transaction
from data.users.document import read_document

PROCESSES, CALLERS, JOURNAL_CALLERS, SESSIONS = 2, 64, 8, 40
_NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
_SHARED = "everybody"
_PATIENCE = 20.0


@dataclass
class Found:
    """The result of the checks after all kills."""

    kills: int = 0
    confirmed: int = 0
    lost_acks: int = 0
    unparsable: int = 0
    broken_invariants: int = 0
    remarks: list[str] = field(default_factory=list)

    @property
    def good(self) -> bool:
        """Return whether every promise was kept."""
        return not (self.lost_acks or self.unparsable or self.broken_invariants)

    def note(self, kind: str, remark: str) -> None:
        """Count one broken promise."""
        setattr(self, kind, getattr(self, kind) + 1)
        self.remarks.append(f"{kind}: {remark}")


class Promises:
    """What callers were promised, in memory that outlives them: three numbers per caller."""

    def __init__(self) -> None:
        slots = PROCESSES * CALLERS
        self._memory = mmap.mmap(-1, 3 * 8 * slots)
        numbers = memoryview(self._memory).cast("q")
        self.own, self.shared, self.written = numbers[:slots], numbers[slots : 2 * slots], numbers[2 * slots :]


@dataclass
class Rig:
    """One state folder, and what it held after the last kill."""

    state_dir: Path
    variant: str = ""
    chance: random.Random = field(default_factory=random.Random)
    promises: Promises = field(default_factory=Promises)
    revision: int = 0
    shared: int = 0

    def set_up(self) -> None:
        """Create the state that the writers share."""
        store = DataManager.open(self.state_dir, SystemClock())

        def change(tx: Transaction) -> None:
            tx.put_user(_SHARED, User(delay_between_cycles=0))
            for slot in range(PROCESSES * CALLERS):
                tx.put_user(_name(slot), User(delay_between_cycles=0))
            for number in range(SESSIONS):
                tx.put_session(f"s{number}", Session())

        store.transact_now(change)
        store.release()  # close() wants a loop, and the rig has none
        self.revision = store.snapshot.revision

    def round(self, found: Found, step: tuple[str, str] | None = None, call: str | None = None) -> None:
        """Let the writers run, kill them, and check what they were promised.

        Given a step of `Disk`, or the name of a system call (which needs strace), the first writer dies in it.
        """
        self.promises.shared[:] = memoryview(bytes(8 * len(self.promises.shared))).cast("q")
        children = [self._fork(number, step if number == 0 else None) for number in range(PROCESSES)]
        tracer = self._trace(children[0], call) if call is not None else None
        doomed = children[0] if step is not None or tracer is not None else None
        try:
            if not self._wait_for_progress(children, doomed):
                found.note("broken_invariants", "a writer ended by itself or made no progress")
            for child in self.chance.sample(children, len(children)):
                os.kill(child, signal.SIGKILL)
                if self.chance.random() < 0.3:
                    self._let_survivors_run()
        finally:
            for child in children:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
            if tracer is not None:
                tracer.wait()
        found.kills += len(children)
        self._check(found)

    def _fork(self, number: int, step: tuple[str, str] | None) -> int:
        child = os.fork()
        if child:
            return child
        try:
            asyncio.run(self._write(number, step))
        except Exception:  # noqa: BLE001  the process says why before it ends
            traceback.print_exc()
        finally:
            os._exit(1)

    def _trace(self, child: int, call: str) -> "subprocess.Popen[bytes]":
        inject = f"inject={call}:signal=SIGKILL:when={self.chance.randint(1, 40)}"
        command = ["strace", "-f", "-qq", "-o", os.devnull, "-e", f"trace={call}", "-e", inject, "-p", str(child)]
        return subprocess.Popen(command)

    def _wait_for_progress(self, children: list[int], doomed: int | None) -> bool:
        """Wait until each writer has a confirmed change, or the doomed one is dead and the others still write.

        Return False if one of the others ended, or if it took too long.
        """
        end = time.monotonic() + _PATIENCE
        waiting = set(range(PROCESSES))
        others = [child for child in children if child != doomed]
        while (waiting or doomed is not None) and time.monotonic() < end:
            time.sleep(0.001)
            if doomed is not None and _is_gone(doomed):
                waiting.discard(0)
                doomed = None
            if any(_is_gone(child) for child in others):
                return False
            waiting -= {number for number in waiting if any(self._shared_of(number))}
        time.sleep(self.chance.uniform(0, 0.05))
        return time.monotonic() < end

    def _shared_of(self, number: int) -> memoryview:
        return self.promises.shared[number * CALLERS : (number + 1) * CALLERS]

    def _let_survivors_run(self) -> None:
        time.sleep(self.chance.uniform(0, 0.02))

    # The writers.

    async def _write(self, number: int, step: tuple[str, str] | None) -> None:
        disk: Disk = DISKS.get(self.variant, Disk)()
        if step is not None:
            disk = KillingDisk(disk, *step, countdown=self.chance.randint(1, 6))
        store = STORES.get(self.variant, DataManager).open(self.state_dir, SystemClock(), disk=disk)
        journal = open_journal_of(self.variant).open(self.state_dir)
        slots = range(number * CALLERS, (number + 1) * CALLERS)

        async def count_up(slot: int) -> None:
            while True:
                self.promises.own[slot] = await store.transact(_CountAndSwap(_name(slot)))
                await store.transact(_CountAndSwap(_SHARED))
                self.promises.shared[slot] += 1

        async def write_down(slot: int) -> None:
            while True:
                event = Event(at=_NOW, user=_name(slot), action="counted", text="One more")
                await journal.update(event=event, messages=1)
                self.promises.written[slot] += 1

        await asyncio.gather(*map(count_up, slots), *map(write_down, slots[:JOURNAL_CALLERS]))

    # The checks.

    def _check(self, found: Found) -> None:
        path = self.state_dir / "users.json"
        try:
            raw = path.read_bytes()
            json.loads(raw)
            document = read_document(raw, path)
            read_stats(self.state_dir)
        except (ValueError, OSError, StateError) as error:
            found.note("unparsable", str(error))
            return
        users = document.users.values
        self._check_counts(found, {name: int(user.delay_between_cycles) for name, user in users.items()})
        if document.revision < self.revision or any(user.revision > document.revision for user in users.values()):
            found.note("broken_invariants", f"revision {document.revision} after {self.revision}")
        self.revision = document.revision
        held = [name for user in users.values() for name in user.assigned_sessions]
        if len(held) != len(set(held)) or len(document.sessions.values) != SESSIONS:
            found.note("broken_invariants", "a session has two users, or is lost")
        self._check_journal(found)

    def _check_counts(self, found: Found, counts: dict[str, int]) -> None:
        for slot, promised in enumerate(self.promises.own):
            held = counts.get(_name(slot), -1)
            if held < promised:
                found.note("lost_acks", f"{_name(slot)} was promised {promised}, the state has {held}")
            elif held > promised + 1:
                found.note("broken_invariants", f"{_name(slot)} asked for at most {promised + 1}, the state has {held}")
            self.promises.own[slot] = held
        confirmed = sum(self.promises.shared)
        found.confirmed += confirmed
        gained = counts.get(_SHARED, -1) - self.shared
        if gained < confirmed:
            found.note("lost_acks", f"{confirmed} shared counts were confirmed, the state has {gained}")
        elif gained > confirmed + PROCESSES * CALLERS:
            found.note("broken_invariants", f"{confirmed} shared counts were confirmed, the state has {gained}")
        self.shared += gained

    def _check_journal(self, found: Found) -> None:
        try:
            with closing(open_journal(self.state_dir / JOURNAL_FILE)) as journal:
                counted = counted_from(journal, Counted()).users
                if counted_from(journal, read_stats(self.state_dir)).users != counted:
                    found.note(
                        "broken_invariants", "stats.json and its watermark do not add up to the journal's counts"
                    )
                events = dict(journal.execute("SELECT user, COUNT(*) FROM events GROUP BY user").fetchall())
        except (StateError, sqlite3.Error) as error:
            found.note("unparsable", str(error))
            return
        for slot, promised in enumerate(self.promises.written):
            user = counted.get(_name(slot))
            held = 0 if user is None else user.total_messages_sent
            if held < promised:
                found.note("lost_acks", f"{promised} lines of {_name(slot)} were confirmed, the journal has {held}")
            elif held > promised + 1 or events.get(_name(slot), 0) != held:
                found.note(
                    "broken_invariants",
                    f"{_name(slot)}: {promised} confirmed, {held} counted, {events.get(_name(slot), 0)} events",
                )
            self.promises.written[slot] = held


def _name(slot: int) -> str:
    return f"caller{slot}"


@dataclass(frozen=True)
class _CountAndSwap:
    """Increments the user's number and returns the session it holds or takes a free one, in one transaction."""

    user_id: str

    def __call__(self, tx: Transaction) -> int:
        user = tx.user(self.user_id)
        count = int(user.delay_between_cycles) + 1
        held: tuple[str, ...] = ()
        if not user.assigned_sessions and self.user_id != _SHARED:
            taken = {name for other in tx.users.values() for name in other.assigned_sessions}
            held = tuple(name for name in tx.sessions if name not in taken)[:1]
        tx.put_user(self.user_id, msgspec.structs.replace(user, delay_between_cycles=count, assigned_sessions=held))
        return count


def _is_gone(child: int) -> bool:
    # WNOWAIT leaves the process for a later wait.
    return os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


@contextmanager
def quiet() -> Iterator[None]:
    """Discard standard error, where dying writers complain."""
    kept = os.dup(2)
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
