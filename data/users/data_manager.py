"""The one module through which users.json is read and written. (`data.journal` counts.)"""

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Self, TypeVar, cast

import msgspec

from core.clock import Clock
from core.errors import StateDamaged, StateError, StateNotWritten
from core.models import Model
from data.disk.copies import keep_copy
from data.disk.files import (
    LOCK_TIMEOUT,
    Disk,
    NotSettled,
    locked,
    make_folder,
    open_to_read,
    read_whole,
    refuse_half_restored,
    write_whole,
)
from data.disk.group_commit import GroupCommit, WorkResult
from data.disk.inventory import USERS_FILE
from data.disk.traces import note_made, refuse_new_beginning
from data.users.document import Document, Table, line_of, read_document
from data.users.migrations import USERS_VERSION
from data.users.transaction import CommitDraft, Snapshot, Transaction

__all__ = ["DataManager", "Snapshot", "Transaction"]

T = TypeVar("T")
M = TypeVar("M", bound=Model)
Change = Callable[[Transaction], object]
_Stamp = tuple[int, int, int]

STATE_LOCK = "state.lock"
_COMMITS_A_COPY = 1000
_FIRST_COPIES = frozenset({1, 10, 100})
"""Revisions that are copied. A folder in its first life has no copy of an earlier start to go back to."""
_WORK_A_BREATH, _BREATH = 0.001, 0.00005  # seconds
# Seconds. The gap is longer than the poll of the lock, so that whoever polls finds every gap.
_LONG_COMMIT, _GAP = 0.015, 0.006


class DataManager:
    """Locked, atomic, durable access to the truth.

    Many callers share one commit: a thread of its own writes one, and changes that come meanwhile wait for the next.
    Each commit takes the thread lock, then the file lock, reads the file again if another process wrote it, runs the
    changes one after another in memory, and replaces the file.
    """

    def __init__(self, state_dir: Path, clock: Clock, disk: Disk, lock_timeout: float) -> None:
        self._path = state_dir / USERS_FILE
        self._lock_path = state_dir / STATE_LOCK
        self._clock = clock
        self._disk = disk
        self._lock_timeout = lock_timeout
        self._thread_lock = threading.Lock()
        self._document = Document()
        self._holders: dict[str, str] = {}
        self._publish()
        self._descriptor: int | None = None
        self._stamp: _Stamp | None = None
        self._since_copy = 0
        self._held_for = 0.0
        self.foreign_writes = 0
        """How often this process has read changes of another one."""
        self._group = GroupCommit[Change]("postfleet-store", self._commit_from_thread)

    @classmethod
    def open(
        cls, state_dir: Path, clock: Clock, *, disk: Disk | None = None, lock_timeout: float = LOCK_TIMEOUT
    ) -> Self:
        """Read the state; make the folder (0700) and the file when there are none.

        Raises:
            StateDamaged: the file cannot be read, or is missing though it was there before.
            StateTooNew: a newer Postfleet wrote it.
            StateLocked: another process held the lock all the time.
            StateNotWritten: the folder or the file cannot be made.
        """
        make_folder(state_dir)
        refuse_half_restored(state_dir)
        store = cls(state_dir, clock, disk or Disk(), lock_timeout)
        with store._locked():
            store._read_first()
        return store

    @property
    def snapshot(self) -> Snapshot:
        """The state after the newest commit that this process knows."""
        return self._snapshot

    async def transact(self, change: Callable[[Transaction], T]) -> T:
        """Run `change` against the newest state. Return its value once the change is durable.

        `change` is plain code: quick, without await, without effects outside the transaction. It runs in another
        thread, one change at a time. An error it raises reaches the caller and undoes this change alone. A change that
        alters nothing commits nothing. A caller that is cancelled does not know whether its change was made.

        Raises:
            StateLocked, StateNotWritten, StateDamaged, StateTooNew: the change was not made.
            Conflict: the change would give a session to two users.
            InvalidInput: the change put a value that could not be read again.
        """
        return cast(T, await self._group.submit(change))

    def transact_now(self, change: Callable[[Transaction], T]) -> T:
        """Do the same for code without an event loop (commands, start-up)."""
        (result,) = self._commit([change])
        if result.error is not None:
            raise result.error
        return cast(T, result.value)

    @property
    def is_behind(self) -> bool:
        """Whether another process seems to have written since, by the date of the file. See `refresh`."""
        return self._stamp is not None and self._stamp_on_disk() != self._stamp

    async def refresh(self) -> Snapshot:
        """Read what another process wrote, if one did. Return the newest state.

        Raises:
            StateLocked, StateDamaged, StateTooNew, StateNotWritten.
        """
        if self._stamp_on_disk() != self._stamp:
            await self.transact(lambda _: None)
        return self._snapshot

    async def close(self) -> None:
        """Finish the commits that wait, and close the file."""
        await self._group.close()
        with self._thread_lock:
            self.release()

    # One commit.

    def _commit_from_thread(self, changes: Sequence[Change]) -> Sequence[WorkResult]:
        try:
            self._leave_a_gap()
            began = time.monotonic()
            results = self._commit(changes, breathe=True)
            self._held_for = time.monotonic() - began
        except StateError as error:
            return [WorkResult(error=error)] * len(changes)
        return results

    def _leave_a_gap(self) -> None:
        """Leave another process that polls the lock its turn after a long commit."""
        if self._held_for >= _LONG_COMMIT:
            time.sleep(_GAP)

    def _commit(self, changes: Sequence[Change], *, breathe: bool = False) -> Sequence[WorkResult]:
        with self._locked():
            self._read_if_others_wrote()
            old = self._document
            draft = CommitDraft(old.revision + 1, old.users.values, old.sessions.values, old.holds.values)
            breath = _Breath() if breathe else None
            results = []
            for change in changes:
                results.append(_run(change, draft, self._holders))
                if breath is not None:
                    breath.take_if_due()
            if self._settle(draft):
                self._write(draft)
        return results

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        with self._thread_lock, locked(self._lock_path, self._lock_timeout):
            yield

    def _settle(self, draft: CommitDraft) -> bool:
        """Drop from the draft what did not change. Return whether anything is left."""
        old, users, sessions = self._document, draft.users, draft.sessions
        _drop_unchanged(sessions.lines, old.sessions)
        _drop_unchanged(draft.holds.lines, old.holds)
        for user_id in list(users.lines):
            before, after = old.users.values.get(user_id), users.values.get(user_id)
            if before is None or after is None:
                unchanged = before is after
            else:
                unchanged = msgspec.structs.replace(after, revision=before.revision) == before
            if unchanged:
                del users.lines[user_id]
                users.set(user_id, before)
        # An account's state shows in its user's dashboard.
        for name in sessions.lines:
            for holder in (self._holders.get(name), draft.new_holders.get(name)):
                user = users.values.get(holder) if holder is not None else None
                if holder is not None and user is not None and holder not in users.lines:
                    user = msgspec.structs.replace(user, revision=draft.revision)
                    users.set(holder, user)
                    users.lines[holder] = line_of(holder, user)
        return bool(users.lines or sessions.lines or draft.holds.lines)

    def _write(self, draft: CommitDraft) -> None:
        document = self._document
        before_holds = document.holds.values
        before = [
            _exchange(document.users, draft.users.lines),
            _exchange(document.sessions, draft.sessions.lines),
            _exchange(document.holds, draft.holds.lines),
        ]
        document.holds.values = draft.holds.values  # whether there are any decides what is written
        try:
            descriptor = write_whole(self._disk, self._path, document.chunks(draft.revision))
        except OSError as error:
            _exchange(document.users, before[0])
            _exchange(document.sessions, before[1])
            _exchange(document.holds, before[2])
            document.holds.values = before_holds
            if isinstance(error, NotSettled):
                self._take_back()
            raise StateNotWritten(
                f"{self._path} could not be written ({error.strerror}); the change was not made, the state is as it was"
            ) from error
        self._hold(descriptor)
        document.revision = draft.revision
        document.users.values, document.sessions.values = draft.users.values, draft.sessions.values
        for name, holder in draft.new_holders.items():
            if holder is None:
                self._holders.pop(name, None)
            else:
                self._holders[name] = holder
        self._publish()
        self._copy_now_and_then()

    def _take_back(self) -> None:
        """Put the old content back: the new file is in place, but its folder could not be made durable."""
        self._stamp = None  # the next commit reads the file again, whatever happens here
        with contextlib.suppress(OSError):
            os.close(write_whole(self._disk, self._path, self._document.chunks(self._document.revision)))

    def _copy_now_and_then(self) -> None:
        self._since_copy += 1
        if self._since_copy >= _COMMITS_A_COPY or self._document.revision in _FIRST_COPIES:
            self._since_copy = 0
            keep_copy(self._path, self._document.revision)

    # Reading.

    def _read_first(self) -> None:
        try:
            self._read()
        except FileNotFoundError:
            refuse_new_beginning(self._path)
            self._rewrite()
            self._publish()
            note_made(self._path)
            return
        note_made(self._path)
        is_old = self._document.read_version != USERS_VERSION
        keep_copy(self._path, self._document.revision, old_version=self._document.read_version if is_old else None)
        if is_old:
            self._rewrite()

    def _rewrite(self) -> None:
        try:
            self._hold(write_whole(self._disk, self._path, self._document.chunks(self._document.revision)))
        except OSError as error:
            raise StateNotWritten(f"{self._path} could not be written ({error.strerror})") from error

    def _read_if_others_wrote(self) -> None:
        if self._stamp is not None and self._stamp_on_disk() == self._stamp:
            return
        try:
            self._read(self._document)
            self.foreign_writes += 1
        except FileNotFoundError as error:
            raise StateDamaged(
                f"{self._path} has gone missing while in use. Put it back, or stop and run: python run.py restore"
            ) from error

    def _read(self, known: Document | None = None) -> None:
        descriptor = open_to_read(self._path)
        try:
            stamp = _stamp(os.fstat(descriptor))  # before reading: a change made meanwhile is noticed the next time
            document = read_document(read_whole(descriptor, self._path), self._path, known)
        except BaseException:
            os.close(descriptor)
            raise
        self.release()
        self._descriptor, self._stamp = descriptor, stamp
        self._document = document
        self._holders = {
            name: user_id for user_id, user in document.users.values.items() for name in user.assigned_sessions
        }
        self._publish()

    def _stamp_on_disk(self) -> _Stamp | None:
        try:
            return _stamp(self._path.stat())
        except OSError:
            return None

    def _hold(self, descriptor: int) -> None:
        """Keep the current file open, so that no other file gets its inode and the stamp tells them apart."""
        self.release()
        self._descriptor = descriptor
        self._stamp = _stamp(os.fstat(descriptor))

    def release(self) -> None:
        """Release the file. `close` does it too, once every change is made."""
        if self._descriptor is not None:
            os.close(self._descriptor)
        self._descriptor = self._stamp = None

    def _publish(self) -> None:
        document = self._document
        self._snapshot = Snapshot(
            document.revision, MappingProxyType(document.users.values), MappingProxyType(document.sessions.values)
        )


def _run(change: Change, draft: CommitDraft, holders: Mapping[str, str]) -> WorkResult:
    try:
        return WorkResult(Transaction(draft, holders).run(change))
    except Exception as error:  # noqa: BLE001  any error belongs to this caller alone
        return WorkResult(error=error)


def _drop_unchanged(lines: dict[str, bytes | None], old: Table[M]) -> None:
    for name in [name for name, line in lines.items() if line == old.line(name)]:
        del lines[name]


def _exchange(table: Table[M], lines: Mapping[str, bytes | None]) -> dict[str, bytes | None]:
    """Set the lines. Return those they replace."""
    before = {name: table.line(name) for name in lines}
    for name, line in lines.items():
        table.set_line(name, line)
    return before


class _Breath:
    """Lets the event loop run between changes. A busy thread would keep it waiting for 5 ms at a time."""

    def __init__(self) -> None:
        self._last = time.perf_counter()

    def take_if_due(self) -> None:
        if time.perf_counter() - self._last > _WORK_A_BREATH:
            time.sleep(_BREATH)
            self._last = time.perf_counter()


def _stamp(status: os.stat_result) -> _Stamp:
    return status.st_mtime_ns, status.st_size, status.st_ino
