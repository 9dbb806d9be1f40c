"""Starts, stops and shows bots. Each change is durable before it is reported, and asking twice changes nothing."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from msgspec.structs import replace

from bot.cycle.run import CycleProgress, CycleServices, StopReason
from bot.cycle.runner import check_ready
from bot.preflight.preflight import preflight
from bot.preflight.report import Preflight
from core.errors import NotFound, ScheduleOver
from core.figures import Histogram
from core.models import BotStatus, User
from data.users.data_manager import Transaction
from scheduler.durable_writes import RetryingWriter
from scheduler.housekeeping import Housekeeping
from scheduler.next_run import first
from scheduler.overview import JobRun, Overview, job_run, overview
from scheduler.scheduler import Scheduler
from scheduler.timing import Timetable

T = TypeVar("T")


@dataclass(frozen=True)
class BotChange:
    """The result of a start or a stop."""

    status: BotStatus
    changed: bool
    """False if the bot was in that state already."""
    text: str
    """The result in words, for the bot's user."""


NOT_RUNNING = BotChange(BotStatus.STOPPED, changed=False, text="The bot is stopped already")
"""The result of stopping a bot that does not run."""


class Bots:
    """Starts, stops and shows bots."""

    def __init__(self, services: CycleServices, scheduler: Scheduler, housekeeping: Housekeeping) -> None:
        self._services = services
        self._scheduler = scheduler
        self._housekeeping = housekeeping
        self._records = RetryingWriter(services)
        """Writes the users' logs. A change counts even when its log line cannot be written."""
        self._since = services.clock.now()

    async def start(self, user_id: str) -> BotChange:
        """Start the bot: the first cycle begins at once, or when its calendar says so.

        A user without sessions is given some in the same transaction.

        Raises:
            UnknownUser: there is no such user.
            NoGroups, NoContent: something has to be set first.
            NoSpareSession, NoRoomOnApiPairs: the user has no session and none can be given.
            ScheduleOver: the schedule names no moment that is still to come.
        """
        now = self._services.clock.now()

        def change(tx: Transaction) -> tuple[bool, tuple[str, ...]]:
            user = tx.user(user_id)
            if user.bot_status is BotStatus.RUNNING:
                return False, ()
            check_ready(user)
            coming = first(user_id, Timetable(user.schedule, user.delay_between_cycles, cycles_done=0), now)
            if coming.at is None:
                raise ScheduleOver(f"the bot cannot start: {coming.over}; change its schedule with PATCH /api/config")
            given = self._services.sessions.assign_at_start(tx, user_id)
            running = replace(
                tx.user(user_id),
                bot_status=BotStatus.RUNNING,
                status_reason=None,
                next_run_at=coming.at,
                scheduled_for=None,
                cycles_done=0,
            )
            tx.put_user(user_id, running)
            return True, given

        with self._scheduler.changing([user_id]):
            changed, given = await self._services.store.transact(change)
        if not changed:
            return BotChange(BotStatus.RUNNING, changed=False, text="The bot is running already")
        begins = self._services.store.snapshot.users[user_id].next_run_at
        if begins is not None:  # nobody stopped it in the meantime
            self._scheduler.begin(user_id, begins)
        self._services.sessions.follow(*given)
        text = "The bot was started"
        if given:
            text += f" with {len(given)} account{'s' if len(given) > 1 else ''}: {', '.join(given)}"
        await self._records.tell(user_id, "bot_started", text)
        return BotChange(BotStatus.RUNNING, changed=True, text=text)

    async def stop(self, user_id: str, *, now: bool = False) -> BotChange:
        """Stop the bot when its current cycle is finished, or (`now`, or asked a second time) after the post in flight.

        Raises:
            UnknownUser: there is no such user.
        """

        def change(tx: Transaction) -> tuple[BotStatus, BotStatus]:
            user = tx.user(user_id)
            before = user.bot_status
            if before is BotStatus.STOPPED:
                return before, before
            # This counts also when no cycle runs but one that broke off waits, and when the daemon is killed now.
            drop_unfinished = user.drop_unfinished or now or before is BotStatus.STOPPING
            if before is BotStatus.STOPPING:
                if not user.drop_unfinished:
                    tx.put_user(user_id, replace(user, drop_unfinished=True))
                return before, before
            # The cycle's own first step is a transaction too, so it either sees this or is seen here.
            after = BotStatus.STOPPING if user_id in self._scheduler.running else BotStatus.STOPPED
            stopped = replace(user, bot_status=after, status_reason=None, next_run_at=None)
            tx.put_user(user_id, replace(stopped, drop_unfinished=drop_unfinished))
            return before, after

        before, after = await self._services.store.transact(change)
        if before is BotStatus.STOPPED:
            return NOT_RUNNING
        self._scheduler.wake(user_id, None)
        cycle = self._scheduler.running.get(user_id)
        if cycle is not None and (now or before is BotStatus.STOPPING):
            cycle.control.end(StopReason.STOPPED)
        if after is BotStatus.STOPPED:
            await self._records.tell(user_id, "bot_stopped", "The bot is stopped")
            return BotChange(after, changed=True, text="The bot is stopped")
        if cycle is None:
            await self._scheduler.settle(user_id)
            return BotChange(BotStatus.STOPPED, changed=True, text="The bot is stopped")
        what = "the post in flight" if cycle.control.asked.is_set() else "the current cycle"
        text = f"The bot stops as soon as {what} is finished"
        if before is not BotStatus.STOPPING:
            await self._records.tell(user_id, "bot_stopping", text)
        return BotChange(after, changed=before is not after or cycle.control.asked.is_set(), text=text)

    async def tell(self, user_id: str, action: str, text: str) -> None:
        """Add a line to the user's log. What it tells of counts even when the line cannot be written."""
        await self._records.tell(user_id, action, text)

    async def change_schedule(self, user_id: str, change: Callable[[Transaction], T]) -> T:
        """Commit a change of the user's schedule or delay, and move a waiting run to where it wants it, in one commit.

        Raises:
            StateError: nothing was changed.
            Whatever `change` raises; nothing was changed either.
        """
        return await self._scheduler.change_schedule(user_id, change)

    def overview(self) -> Overview:
        """Return what the daemon does now, for its operator."""
        return overview(self._services, self._scheduler, self._housekeeping, self._since)

    @property
    def lateness(self) -> Histogram:
        """Seconds from when cycles were due until they began, since the daemon started."""
        return self._scheduler.lateness

    @property
    def connections(self) -> int:
        """Connections to Telegram that are open."""
        return self._services.clients.open

    async def silent_data_centres(self) -> list[int]:
        """Return Telegram's data centres that do not answer."""
        await self._services.clients.data_centres.look_again(self._services.clock)
        return self._services.clients.data_centres.silent

    def begin_job(self, name: str) -> JobRun:
        """Let a housekeeping job begin now, and return its state before. Raises NotFound: no job has that name."""
        if name not in {job.name for job in self._housekeeping.jobs}:
            raise NotFound(f"there is no job {name!r}")
        self._housekeeping.begin_now(name)
        return next(job_run(job) for job in self._housekeeping.jobs if job.name == name)

    async def preflight(self, user_id: str, user: User) -> Preflight:
        """Return what the bot's next cycle would do, and post nothing. `user` may hold changes that are not stored.

        Raises:
            NoGroups, NoContent: there is nothing to look at.
        """
        return await preflight(self._services, user_id, user)

    def progress(self, user_id: str) -> CycleProgress | None:
        """Return the progress of the running cycle, None when none runs."""
        cycle = self._scheduler.running.get(user_id)
        return cycle.progress() if cycle is not None else None

    def posting(self) -> frozenset[str]:
        """Return the accounts of all users that post in a cycle now."""
        found = (cycle.progress() for cycle in self._scheduler.running.values())
        return frozenset().union(*(progress.posting for progress in found if progress is not None))
