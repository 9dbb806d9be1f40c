"""The ledger of every planned and made post, and the events a user's log shows (`journal.sqlite3`)."""

import asyncio
import logging
import sqlite3
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Concatenate, ParamSpec, Self, TypeVar, cast

from core.errors import InvalidInput, PostfleetError, StateError
from core.models import AllowanceDay, AllowanceUse, Budget, Cycle, Delivery, Event, Grant, Level, Stats
from data.disk.copies import keep_journal_copy
from data.disk.files import Disk, make_folder, refuse_half_restored
from data.disk.group_commit import GroupCommit, WorkResult
from data.disk.inventory import JOURNAL_FILE
from data.disk.sqlite_files import connect, translated
from data.journal import allowances, retention
from data.journal import reads as journal_reads
from data.journal import writes as journal_work
from data.journal.mark import JournalMark, mark_of
from data.journal.reads import SessionPosts
from data.journal.recent_events import RecentEvents
from data.journal.schema import open_journal, stamp
from data.journal.stats_file import Counted, counted_from, read_stats, write_stats
from data.journal.writes import CommitEffects, JournalMetrics, Work

T = TypeVar("T")
P = ParamSpec("P")
log = logging.getLogger(__name__)
events_log = logging.getLogger("postfleet.events")

_STATS_DELAY = 2.0
"""Seconds from an outcome until stats.json shows it."""
_NO_STATS = Stats()
_LEVELS = {Level.INFO: logging.INFO, Level.WARNING: logging.WARNING, Level.ERROR: logging.ERROR}


class Journal:
    """Every write is durable before it returns; many waiting writers share one commit.

    One thread writes and another reads, each with a connection of its own. The commit that records a delivery counts it
    too, so counters never disagree with the ledger.
    """

    def __init__(self, state_dir: Path, connection: sqlite3.Connection, known: Counted, disk: Disk) -> None:
        self._state_dir = state_dir
        self._path = state_dir / JOURNAL_FILE
        self._connection = connection
        self._disk = disk
        self._reading = connect(self._path)
        self._reading_lock = threading.Lock()
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="postfleet-journal-reads")
        # A disk that hangs while stats.json is written must not stop readers.
        self._stats_writer = ThreadPoolExecutor(1, thread_name_prefix="postfleet-stats")
        self._group = GroupCommit[Work]("postfleet-journal", self._commit)
        self._in_file = known
        self._counted = counted_from(connection, known)
        self.figures = JournalMetrics()
        self._mark = JournalMark(state_dir)
        self._mark.write(mark_of(connection))
        self._recent = RecentEvents(self._load_events)
        self._stats_timer: asyncio.TimerHandle | None = None
        self._stats_task: asyncio.Future[None] | None = None
        self._closed = False

    @classmethod
    def open(cls, state_dir: Path, *, disk: Disk | None = None) -> Self:
        """Open or make the journal, and update stats.json from it.

        Raises:
            StateDamaged: the journal or stats.json cannot be read, or is missing though it was there before.
            StateTooNew: a newer Postfleet wrote one of them.
            StateNotWritten: the disk refused them.
        """
        make_folder(state_dir)
        refuse_half_restored(state_dir)
        known = read_stats(state_dir)
        path = state_dir / JOURNAL_FILE
        existed = path.exists()
        connection = open_journal(path)
        if existed:
            keep_journal_copy(path, connection)
        try:
            journal = cls(state_dir, connection, known, disk or Disk())
        except sqlite3.Error as error:
            connection.close()
            raise translated(error, path) from error
        if journal._counted != known or not known.watermark:
            journal._write_stats()
        return journal

    async def plan_cycle(
        self,
        cycle: Cycle,
        deliveries: Sequence[Delivery],
        budget: Budget | None = None,
        tell: journal_work.Tell = journal_work.tell_nothing,
    ) -> list[Delivery]:
        """Write a cycle, its deliveries and the lines of `tell` about them in one commit.

        With a budget each planned delivery reserves a post of the user's allowance in the same commit; those that find
        no room are written as skipped. Return the deliveries with their ids.

        Raises:
            Conflict: the user already has a cycle of that id.
            InvalidInput: a delivery is of another user or cycle.
        """
        return await self._write(
            lambda connection, effects: journal_work.insert_plan(connection, cycle, deliveries, budget, effects, tell)
        )

    async def resume_cycle(self, cycle: Cycle, budget: Budget, at: datetime, tell: journal_work.Tell) -> list[Delivery]:
        """Resume a cycle, in one commit with the lines of `tell` about its deliveries. Return its deliveries.

        Posts that were reserved on an earlier day and not sent are reserved on the budget's day instead; those that
        find no room there are written as skipped.
        """
        return await self._write(
            lambda connection, effects: journal_work.resume_cycle(connection, cycle, budget, at, tell, effects)
        )

    async def update(
        self, *deliveries: Delivery, event: Event | None = None, messages: int = 0, floods: int = 0
    ) -> None:
        """Write the deliveries' new state (by id), an event, and what they add to the user's counters, in one commit.

        A delivery is counted once, when it ends: as a post, and as a success or a failure. A skipped one is no post.
        One of unknown outcome is a success or a failure once it becomes delivered or failed. `messages` counts what
        Telegram confirmed, `floods` the flood waits.

        Raises:
            NotFound: there is no such delivery.
            Conflict: a delivery that has ended cannot become open again.
            InvalidInput: counters come without a delivery or event that names their user.
        """
        user = deliveries[0].user if deliveries else event.user if event is not None else None
        if user is None and (messages or floods):
            raise InvalidInput("event", "give a delivery or an event, so that it is known whose counters move")
        at = event.at if event is not None else deliveries[0].finished_at if deliveries else None

        def work(connection: sqlite3.Connection, effects: CommitEffects) -> None:
            for delivery in deliveries:
                journal_work.move_delivery(connection, delivery, effects)
            if event is not None:
                journal_work.insert_event(connection, event, effects)
            if user is not None and (messages or floods):
                effects.count(user, Stats(total_messages_sent=messages, total_flood_waits=floods, last_activity=at))

        await self._write(work)
        self._write_stats_soon()

    async def finish_cycle(self, user: str, cycle: int, finished_at: datetime, *events: Event) -> None:
        """Finish a cycle and write the lines about it, in one commit. Raises NotFound."""
        await self._write(
            lambda connection, effects: journal_work.finish_cycle(connection, user, cycle, finished_at, events, effects)
        )

    async def last_end(self, user: str, since: datetime, until: datetime) -> datetime | None:
        """Return when the user's last cycle ended, of those that ended in [since, until]; None: none did."""
        return await self._read(lambda connection: journal_reads.last_end(connection, user, since, until))

    async def unfinished_cycle(self, user: str) -> tuple[Cycle, list[Delivery]] | None:
        """Return the user's newest unfinished cycle with all its deliveries."""
        return await self._read(lambda connection: journal_reads.unfinished_cycle(connection, user))

    async def deliveries(
        self,
        user: str,
        *,
        group: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        before: int | None = None,
        limit: int = 50,
    ) -> list[Delivery]:
        """Return the user's deliveries, newest first: of `group`, planned in [since, until), ids below `before`."""
        return await self._read(
            lambda connection: journal_reads.deliveries(connection, user, group, since, until, before, limit)
        )

    async def counts(self, user: str, since: datetime, *, by_group: bool = False) -> list[journal_reads.Counts]:
        """Return the outcomes of deliveries planned since then, by day in UTC (oldest first) or by group."""
        return await self._read(lambda connection: journal_reads.counts(connection, user, since, by_group=by_group))

    async def events(self, user: str, *, before: int | None = None, limit: int = 50) -> list[Event]:
        """Return the user's events, newest first, with ids below `before`."""
        return await self._read(lambda connection: journal_reads.events(connection, user, before, limit))

    async def posts_by_session(self, users: Iterable[str], since: datetime) -> dict[str, SessionPosts]:
        """Return the posts of each session of these users since then."""
        wanted = list(users)
        return await self._read(lambda connection: journal_reads.posts_by_session(connection, wanted, since))

    async def add_event(self, event: Event) -> None:
        """Write a line of a user's log. The same line goes to the daemon's log."""
        await self._write(lambda connection, effects: journal_work.insert_event(connection, event, effects))

    def last_events(self, user: str, limit: int = 50) -> list[Event]:
        """Return the user's newest events, newest first. The usual limit is served from memory: dashboards poll it."""
        return self._recent.last(user, limit)

    def last_event_id(self, user: str) -> int:
        """Return the id of the user's newest event; 0: there is none. It never goes back."""
        return self._recent.newest_id(user)

    def stats(self, user: str) -> Stats:
        """Return the user's counters, deleted rows included."""
        return self._counted.users.get(user, _NO_STATS)

    async def allowance(self, user: str, budget: Budget) -> AllowanceUse:
        """Return what the user used of their allowance."""
        return await self._read(lambda connection: allowances.use_of(connection, user, budget))

    async def allowance_overview(self, budgets: Mapping[str, Budget]) -> dict[str, AllowanceUse]:
        """Return what each of many users used of their allowance."""
        return await self._read(
            lambda connection: {user: allowances.use_of(connection, user, budget) for user, budget in budgets.items()}
        )

    async def allowance_history(self, user: str) -> tuple[list[AllowanceDay], list[Grant]]:
        """Return what the user spent on each day, and the grants, newest first."""
        return await self._read(
            lambda connection: (allowances.history_of(connection, user), allowances.grants_of(connection, user))
        )

    async def grant(self, given: Grant, *events: Event) -> None:
        """Let a user make more posts in one month, and write the lines about it, in one commit."""

        def work(connection: sqlite3.Connection, effects: CommitEffects) -> None:
            allowances.grant(connection, given)
            journal_work.insert_events(connection, events, effects)

        await self._write(work)

    async def give_back_lost(self) -> int:
        """Give back what is reserved for posts that are never sent. Return how many there were."""
        return await self._write(lambda connection, _: allowances.give_back_lost(connection))

    async def put_peer(self, session: str, target: str, peer: bytes) -> None:
        """Remember how an account addresses a group (an access hash is valid for that account alone)."""
        await self._write(
            lambda connection, _: connection.execute(
                "INSERT OR REPLACE INTO peers VALUES (?, ?, ?)", (session, target, peer)
            )
        )

    async def peer(self, session: str, target: str) -> bytes | None:
        """Return what `put_peer` remembered."""
        return await self._read(lambda connection: journal_reads.peer(connection, session, target))

    async def peers(self, session: str) -> dict[str, bytes]:
        """Return all that `put_peer` remembered for an account: target → peer."""
        return await self._read(lambda connection: journal_reads.peers(connection, session))

    async def forget_peer(self, session: str, target: str) -> None:
        """Forget a peer that turned out to be wrong."""
        await self._write(
            lambda connection, _: connection.execute(
                "DELETE FROM peers WHERE session = ? AND target = ?", (session, target)
            )
        )

    async def trim(self, before: datetime) -> int:
        """Delete events and posts older than that, a slice at a time between other work. Return how many rows.

        Counters keep what they counted. Each user keeps the newest events and the cycle that may be resumed.
        """
        limit = stamp(before) or 0
        removed = 0
        for trim in (retention.trim_events, retention.trim_deliveries):
            part = retention.Slice(0, 0, done=False)
            while not part.done:
                part = await self._write(_without_effects(trim, limit, part.upto))
                removed += part.removed
        removed += await self._write(_without_effects(retention.trim_cycles, limit))
        await asyncio.get_running_loop().run_in_executor(self._stats_writer, self._write_stats)
        folded: tuple[str, int] | None = ("", 0)
        while folded is not None:
            removed += folded[1]
            work = _without_effects(retention.fold_tallies, limit, self._in_file.watermark, folded[0])
            folded = await self._write(work)
        return removed

    async def close(self) -> None:
        """Finish the commits that wait, and update stats.json."""
        if self._closed:
            return
        self._closed = True
        if self._stats_timer is not None:
            self._stats_timer.cancel()
        if self._stats_task is not None:
            await asyncio.wait([self._stats_task])
        await self._group.close()
        await asyncio.get_running_loop().run_in_executor(self._stats_writer, self._write_stats)
        self._stats_writer.shutdown()
        self._reader.shutdown()
        with self._reading_lock:
            self._reading.close()
        self._connection.close()
        self._mark.close()

    # One commit, in the writing thread.

    async def _write(self, work: Callable[[sqlite3.Connection, CommitEffects], T]) -> T:
        return cast(T, await self._group.submit(work))

    def _commit(self, batch: Sequence[Work]) -> Sequence[WorkResult]:
        connection, effects = self._connection, CommitEffects()
        try:
            connection.execute("BEGIN IMMEDIATE")
            results = [_run(connection, work, effects) for work in batch]
            journal_work.write_tallies(connection, effects)
            come_to = mark_of(connection)
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            return [WorkResult(error=translated(error, self._path))] * len(batch)
        self._mark.write(come_to)
        self.figures.take(effects)
        for user, more in effects.tallies.items():
            self._counted.users[user] = journal_work.added(self._counted.users.get(user, Stats()), more)
        self._recent.add(effects.events)
        for event in effects.events:
            _tell(event)
        return results

    async def _read(self, read: Callable[[sqlite3.Connection], T]) -> T:
        if self._closed:
            raise StateError("the journal is closed")
        return await asyncio.get_running_loop().run_in_executor(self._reader, self._read_now, read)

    def _read_now(self, read: Callable[[sqlite3.Connection], T]) -> T:
        try:
            with self._reading_lock:
                return read(self._reading)
        except sqlite3.Error as error:
            raise translated(error, self._path) from error

    def _load_events(self, user: str, limit: int) -> list[Event]:
        return self._read_now(lambda connection: journal_reads.events(connection, user, None, limit))

    # stats.json.

    def _write_stats_soon(self) -> None:
        if self._stats_timer is None and not self._closed:
            self._stats_timer = asyncio.get_running_loop().call_later(_STATS_DELAY, self._start_writing_stats)

    def _start_writing_stats(self) -> None:
        self._stats_timer = None
        self._stats_task = asyncio.get_running_loop().run_in_executor(self._stats_writer, self._write_stats)

    def _write_stats(self) -> None:
        try:
            with self._reading_lock:
                counted = counted_from(self._reading, self._in_file)
            write_stats(self._state_dir, counted, self._disk)
        except (OSError, sqlite3.Error, PostfleetError) as error:
            log.warning(
                "stats.json could not be written and is behind: %s", error, extra={"action": "stats_not_written"}
            )
            return
        self._in_file = counted


def _run(connection: sqlite3.Connection, work: Work, effects: CommitEffects) -> WorkResult:
    """Do one piece of work; if it fails, it alone is undone. An error of SQLite itself fails the whole batch."""
    own = CommitEffects()
    connection.execute("SAVEPOINT work")
    try:
        value = work(connection, own)
    except sqlite3.OperationalError:
        raise
    except Exception as error:  # noqa: BLE001  any error belongs to this caller alone
        connection.execute("ROLLBACK TO work")
        connection.execute("RELEASE work")
        return WorkResult(error=error)
    connection.execute("RELEASE work")
    effects.take(own)
    return WorkResult(value)


def _without_effects(
    work: Callable[Concatenate[sqlite3.Connection, P], T], *args: P.args, **kwargs: P.kwargs
) -> Callable[[sqlite3.Connection, CommitEffects], T]:
    return lambda connection, _: work(connection, *args, **kwargs)


def _tell(event: Event) -> None:
    extra = {"action": event.action, "user": event.user, "session": event.session, "group": event.group}
    events_log.log(_LEVELS[event.level], "%s", event.text, extra=extra)
