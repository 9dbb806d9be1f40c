"""A user's turn: one cycle, from its beginning until the next one is entered. A user has one turn at a time."""

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime
from typing import TypeVar

from msgspec.structs import replace

from bot.cycle.run import CycleServices, StopReason
from bot.cycle.runner import CycleRunner, NotWanted
from core.errors import NotReady, StateError
from core.figures import Histogram
from core.models import BotStatus, Level, Missed
from data.users.data_manager import Transaction
from scheduler import next_run as entries
from scheduler.durable_writes import RetryingWriter
from scheduler.register import Register
from scheduler.running_cycle import RunningCycle
from scheduler.timing import NextRun

T = TypeVar("T")
log = logging.getLogger(__name__)

EMPTY_CYCLE_REST_SECONDS = 5.0
LONGEST_EMPTY_CYCLE_REST_SECONDS = 60.0
"""The rest after a cycle that posted nothing. It doubles with each such cycle in a row, up to a minute."""
FAILURES_UNTIL_ERROR = 5
"""A bot stops with the status `error` after this many broken cycles in a row."""


class CycleStuck(Exception):
    """A cycle that showed no sign of life was ended by the watchdog."""


class CycleSupervisor:
    """Runs the cycles and enters the run that follows each."""

    def __init__(
        self, services: CycleServices, cycles: CycleRunner, records: RetryingWriter, register: Register
    ) -> None:
        self._services = services
        self._cycles = cycles
        self._records = records
        self._register = register
        self._failures: dict[str, int] = {}
        self._ended: dict[str, datetime] = {}
        self._empty: dict[str, int] = {}
        """user → how many cycles in a row posted nothing"""
        self.leaving = False
        self.lateness = Histogram()
        """Seconds from when a cycle was due until it began."""

    def begin(self, user_id: str) -> RunningCycle:
        """Begin the user's turn. The caller has to `run` it."""
        user = self._services.store.snapshot.users.get(user_id)
        due = user.next_run_at if user is not None and user.next_run_at is not None else self._services.clock.now()
        scheduled_for = user.scheduled_for if user is not None and user.scheduled_for is not None else due
        cycle = RunningCycle(due, scheduled_for, self._services.clock.monotonic())
        self._register.begin(user_id, cycle)
        return cycle

    def begin_anew(self, user_id: str) -> None:
        """Forget how earlier cycles ended, because the bot was started."""
        for before in (self._failures, self._empty, self._ended):
            before.pop(user_id, None)

    async def run(self, user_id: str, cycle: RunningCycle) -> datetime | None:
        """Run one cycle and enter the next one. Return when the user is due next, None when the bot does not run."""
        try:
            await self._run_and_enter(user_id, cycle)
        except Exception as error:
            if self.leaving:
                raise
            log.exception("The turn of %s broke off", user_id, extra={"user": user_id, "action": "cycle_failed"})
            await self._failed(user_id, cycle, error)
        finally:
            # From here on the next cycle may begin, while this task still settles what came meanwhile.
            self._register.end(user_id)
        user = self._services.store.snapshot.users.get(user_id)
        if not self.leaving and user is not None and user.bot_status is BotStatus.STOPPING:
            await self.settle(user_id)  # a stop at the last moment still found the cycle running
        # The newest state counts: a start that came while the cycle ran is not lost.
        user = self._services.store.snapshot.users.get(user_id)
        return user.next_run_at if user is not None and user.bot_status is BotStatus.RUNNING else None

    async def settle(self, user_id: str) -> None:
        """Stop a bot that was asked to stop and has no cycle left."""

        def change(tx: Transaction) -> bool:
            user = tx.user(user_id)
            if user.bot_status is not BotStatus.STOPPING or user_id in self._register.running:
                return False
            tx.put_user(user_id, replace(user, bot_status=BotStatus.STOPPED, next_run_at=None))
            return True

        if await self._records.commit(change):
            await self._records.tell_stopped(user_id)

    async def change_schedule(self, user_id: str, change: Callable[[Transaction], T]) -> tuple[T, NextRun | None]:
        """Commit a change of the user's schedule and enter a waiting run by it. Moments before now were never due.

        Return what `change` returns, and the run that was entered, None when no run waited.
        """
        now, ended = self._services.clock.now(), self._ended.get(user_id)

        def commit(tx: Transaction) -> tuple[T, NextRun | None]:
            return change(tx), entries.enter_again(tx, user_id, self._register.running, now, ended)

        changed, coming = await self._services.store.transact(commit)
        if coming is None and user_id in self._register.running:
            self._register.running[user_id].scheduled_for = now
        return changed, coming

    def end_stuck(self, user_id: str) -> None:
        """Cut off the user's cycle, which shows no sign of life. The next one continues from the journal."""
        cycle = self._register.running[user_id]
        cycle.stuck = True
        if cycle.task is not None:
            cycle.task.cancel()

    async def _run_and_enter(self, user_id: str, cycle: RunningCycle) -> None:
        """Run the cycle. Its errors become events of this user and reach no other user."""
        try:
            await self._run(user_id, cycle)
        except NotWanted:
            return
        except NotReady as error:
            await self._stop_with_error(user_id, str(error))
            return
        except Exception as error:
            trace = None if isinstance(error, StateError) else error
            log.error("A cycle broke off: %s", error, exc_info=trace, extra={"user": user_id, "action": "cycle_failed"})  # noqa: TRY400
            await self._failed(user_id, cycle, error)
            return
        self._failures.pop(user_id, None)
        if not (self.leaving and cycle.cut_off):
            await self._enter_next(user_id, cycle)

    async def _run(self, user_id: str, cycle: RunningCycle) -> None:
        try:
            cycle.run = await self._cycles.begin(user_id, cycle.control, only_running=True)
            self.lateness.add((self._services.clock.now() - cycle.due).total_seconds())
            await self._cycles.execute(cycle.run)
        except asyncio.CancelledError:
            if not cycle.stuck or self.leaving:
                raise
            raise CycleStuck("it showed no sign of life") from None
        finally:
            cycle.over = True

    def _rest_after(self, user_id: str, cycle: RunningCycle) -> float:
        """Return the least rest after this cycle, in seconds.

        A cycle that posted nothing is followed by a rest, whatever the user's delay. A list of groups that are all on
        hold would otherwise run without end and fill the journal.
        """
        if cycle.run is None or cycle.run.progress().delivered > 0:
            self._empty.pop(user_id, None)
            return 0.0
        empty = self._empty[user_id] = self._empty.get(user_id, 0) + 1
        return min(LONGEST_EMPTY_CYCLE_REST_SECONDS, EMPTY_CYCLE_REST_SECONDS * 2.0 ** min(empty - 1, 10))

    async def _failed(self, user_id: str, cycle: RunningCycle, error: Exception) -> None:
        failures = 1
        # A full disk or a damaged file stops no bot, however long it lasts.
        if not isinstance(error, StateError):
            failures = self._failures[user_id] = self._failures.get(user_id, 0) + 1
        why = _why(error)
        if failures >= FAILURES_UNTIL_ERROR:
            await self._stop_with_error(user_id, f"{failures} cycles in a row broke off ({why})")
            return
        # After a StateError the end of the cycle may still have to be written, even when nothing is left to post.
        goes_on = cycle.cut_off or isinstance(error, StateError)
        await self._enter_next(user_id, cycle, failures, cut_off=goes_on)
        action = "cycle_stuck" if isinstance(error, CycleStuck) else "cycle_failed"
        text = f"The cycle broke off ({why}); the next one goes on with it"
        await self._records.tell(user_id, action, text, Level.ERROR)

    async def _enter_next(self, user_id: str, cycle: RunningCycle, failures: int = 0, *, cut_off: bool = False) -> None:
        at = self._ended[user_id] = self._services.clock.now()
        # The stored delay may be older than the least one that the operator set.
        rest = max(self._rest_after(user_id, cycle), self._services.settings.least_cycle_delay_seconds)

        def enter(tx: Transaction) -> NextRun | None:
            ended = entries.Ended(
                scheduled_for=cycle.scheduled_for,
                at=min(at, self._services.clock.now()),  # the clock may have been set back while the disk was full
                failures=failures,
                cut_off=cut_off,
                stopped=cycle.control.why is StopReason.STOPPED,
                rest_seconds=rest,
            )
            return entries.enter_after(tx, user_id, ended)

        coming = await self._records.commit(enter)
        if coming is None:
            if self._services.store.snapshot.users[user_id].bot_status is BotStatus.STOPPED:
                await self._records.tell_stopped(user_id)
            return
        if coming.at is None:
            await self._records.tell_stopped(user_id)
        if coming.missed:
            passed = f"{coming.missed} runs were due" if coming.missed > 1 else "1 run was due"
            skip = self._services.store.snapshot.users[user_id].schedule.missed is Missed.SKIP
            what = "they are left out" if skip else "one makes up for them"
            text = f"{passed} while the last cycle was still running; {what}"
            await self._records.tell(user_id, "runs_missed", text, Level.WARNING)

    async def _stop_with_error(self, user_id: str, reason: str) -> None:
        def change(tx: Transaction) -> None:
            user = tx.user(user_id)
            wanted = BotStatus.STOPPED if user.bot_status is BotStatus.STOPPING else BotStatus.ERROR
            tx.put_user(user_id, replace(user, bot_status=wanted, status_reason=reason, next_run_at=None))

        await self._records.commit(change)
        self._failures.pop(user_id, None)
        await self._records.tell(user_id, "bot_error", f"The bot stopped: {reason}", Level.ERROR)


def _why(error: Exception) -> str:
    """Return the reason as a user reads it."""
    if isinstance(error, CycleStuck):
        return str(error)
    return error.for_users if isinstance(error, StateError) else type(error).__name__
