"""The fast tick: starts the cycle of every user who is due, each in a task of its own, never two of one user at once.

The tick looks every `tick_seconds`, and earlier when somebody is due earlier or was just started. It never waits for a
cycle, so users never wait for one another.
"""

import asyncio
import logging
import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from msgspec.structs import replace

from bot.cycle import CycleRunner, NotWanted
from bot.run import BotParts, CycleRun, End
from core.clock import wait_for_event
from core.errors import NotReady, StateError
from core.figures import Spread
from core.models import BotStatus, Event, Level, Missed
from data.data_manager import Transaction
from scheduler import entries
from scheduler.active import Active
from scheduler.due import DueHeap
from scheduler.timing import Next

log = logging.getLogger(__name__)

EMPTY_CYCLE_REST_SECONDS = 5.0
FAILURES_UNTIL_ERROR = 5
"""After so many broken cycles in a row a bot stops with the status `error`."""
LONGEST_CATCH_UP_SECONDS = 300.0
"""Late runs are spread over no more than this, however many they are."""
_TOGETHER_SECONDS = 0.005
"""Users who are due so soon after one another are served in one look."""
_STARTS_A_BREATH = 50
_JUMP_SECONDS = 1.0
_AGAIN_AFTER_DEATH = timedelta(seconds=30)


class CycleStuck(Exception):
    """A cycle that showed no sign of life was ended by the watchdog."""


class Scheduler:
    """Owns the heap of due times and the tasks of running cycles."""

    def __init__(self, parts: BotParts, cycles: CycleRunner) -> None:
        self._parts = parts
        self._cycles = cycles
        self._due = DueHeap()
        self._woken = asyncio.Event()
        self._looks_at = math.inf
        """When the tick looks next by itself, in seconds since 1970."""
        self._leaving = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._failures: dict[str, int] = {}
        self._ended: dict[str, datetime] = {}
        self._looked_at: tuple[datetime, float] | None = None
        self._others_looked_at = -math.inf
        self._foreign_writes = parts.store.foreign_writes
        self._refreshing: asyncio.Task[None] | None = None
        self.lateness = Spread()
        """Seconds from when a cycle was due until it began."""
        self.active: dict[str, Active] = {}
        """Whose cycles run now."""

    async def take_over(self) -> None:
        """At the start of the daemon: no bot runs after a restart, unless RESUME_ON_START says so."""
        now = self._parts.clock.now()
        resume = self._parts.settings.resume_on_start
        taken = await self._parts.store.transact(lambda tx: entries.take_over(tx, resume=resume, now=now))
        cut_off: dict[str, datetime] = {}
        for user_id, slot in taken.resumed.items():
            if slot <= now and await self._parts.journal.unfinished_cycle(user_id) is not None:
                cut_off[user_id] = slot
            else:
                self._due.set(user_id, slot)
        for number, user_id in enumerate(cut_off):  # what was begun goes on, whatever is said about missed runs
            self._due.set(user_id, now + number * self._apart(len(cut_off)))
        for user_id in taken.stopped:
            await self._tell(user_id, "bot_stopped", "The bot is stopped: the daemon was restarted")

    def wake(self, user_id: str, at: datetime) -> None:
        """The user is due then."""
        self._due.set(user_id, at)
        if at.timestamp() < self._looks_at:
            self._woken.set()

    def forget(self, user_id: str) -> None:
        """The user is not due any more."""
        self._due.remove(user_id)

    def take_new_settings(self) -> None:
        """Settings were reloaded: let in who waits where a limit was raised, and look again."""
        self._parts.connections.refill()
        self._parts.sends.refill()
        self._woken.set()

    @property
    def waiting(self) -> int:
        """How many users wait for their moment."""
        return len(self._due)

    @property
    def next_due(self) -> float | None:
        """When the first of them is due, in seconds since 1970."""
        return self._due.next_due()

    async def run(self) -> None:
        """Tick until told to leave."""
        clock = self._parts.clock
        while not self._leaving:
            self._woken.clear()
            await self._notice_a_jump()
            self._notice_other_writers()
            await self._start_all(self._due.pop_due(clock.now()))
            wait = self._until_next_look()
            self._looks_at = clock.now().timestamp() + wait
            await wait_for_event(clock, self._woken, wait)

    async def leave(self, within: float) -> None:
        """No new cycle; posts in flight end; what is left of the cycles waits in the journal."""
        self._leaving = True
        self._woken.set()
        for active in self.active.values():
            active.control.end(End.SHUTDOWN)
        tasks = list(self._tasks)
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=within)
            for task in late:
                log.warning("%s did not end within %g s and is cut off", task.get_name(), within)
                task.cancel()
            if late:
                await asyncio.wait(late, timeout=1)

    async def settle(self, user_id: str) -> None:
        """A bot that was asked to stop and has no cycle left is stopped."""

        def change(tx: Transaction) -> bool:
            user = tx.user(user_id)
            if user.bot_status is not BotStatus.STOPPING or user_id in self.active:
                return False
            tx.put_user(user_id, replace(user, bot_status=BotStatus.STOPPED, next_run_at=None))
            return True

        if await self._parts.store.transact(change):
            await self._tell_stopped(user_id)

    async def reschedule(self, user_id: str) -> None:
        """The user's schedule was changed: a run that waits is entered anew."""
        now, ended = self._parts.clock.now(), self._ended.get(user_id)
        coming = await self._parts.store.transact(lambda tx: entries.enter_again(tx, user_id, self.active, now, ended))
        if coming is not None:
            await self._follow(user_id, coming)

    def end_stuck(self, user_id: str) -> None:
        """The user's cycle shows no sign of life: cut it off. Its posts stand in the journal and are gone on with."""
        active = self.active[user_id]
        active.stuck = True
        if active.task is not None:
            active.task.cancel()

    # The tick.

    def _notice_other_writers(self) -> None:
        """A command may have changed users.json while nothing here is written: one look at the file's date a tick."""
        now = self._parts.clock.monotonic()
        if now < self._others_looked_at + self._parts.settings.tick_seconds:
            return
        self._others_looked_at = now
        store = self._parts.store
        if store.is_behind and (self._refreshing is None or self._refreshing.done()):
            self._refreshing = self._own(self._refresh(), "look at what another process wrote")
        self._follow_others()

    async def _refresh(self) -> None:
        try:
            await self._parts.store.refresh()
        except StateError as error:
            log.warning("What another process wrote cannot be taken in: %s", error, extra={"action": "state_unread"})
        self._follow_others()
        self._woken.set()

    def _follow_others(self) -> None:
        """Let the heap hold what another process wrote, for those whose cycles do not run or begin just now."""
        store = self._parts.store
        if store.foreign_writes == self._foreign_writes:
            return
        self._foreign_writes = store.foreign_writes
        earliest = self._parts.clock.now() - timedelta(seconds=self._parts.settings.misfire_grace_seconds)
        for user_id, user in store.snapshot.users.items():
            if user_id in self.active:
                continue
            if user.bot_status is not BotStatus.RUNNING:
                self._due.remove(user_id)
            elif user.next_run_at is not None and user.next_run_at > earliest:
                self._due.set(user_id, user.next_run_at)

    async def _start_all(self, due: list[tuple[str, float]]) -> None:
        """Start whoever is due, with a breath now and then: at nine o'clock that may be everybody."""
        now = self._parts.clock.now()
        grace = self._parts.settings.misfire_grace_seconds
        late: dict[str, datetime] = {}
        for number, (user_id, moment) in enumerate(due, 1):
            if now.timestamp() - moment > grace:
                late[user_id] = datetime.fromtimestamp(moment, UTC)
            elif not self._leaving:
                self._launch(user_id)
            if number % _STARTS_A_BREATH == 0:
                await asyncio.sleep(0)
        if late:
            self._own(self._catch_up(late, now), f"catching up of {len(late)} users")

    async def _catch_up(self, late: Mapping[str, datetime], now: datetime) -> None:
        """Runs that nobody could begin in time: one after the other, so that they do not all begin at once."""
        users = self._parts.store.snapshot.users
        slots = {user_id: users[user_id].next_run_at or at for user_id, at in late.items() if user_id in users}
        apart = self._apart(len(slots))
        entered = await self._parts.store.transact(lambda tx: entries.enter_late(tx, slots, now, apart))
        for user_id, (coming, missed) in entered.items():
            runs = f"{coming.missed} runs" if coming.missed > 1 else "1 run"
            what = "left out" if missed is Missed.SKIP else "made up for by one"
            text = f"{runs} since {slots[user_id]:%Y-%m-%d %H:%M} UTC could not begin in time, now {what}"
            await self._tell(user_id, "runs_missed", text, Level.WARNING)
            await self._follow(user_id, coming)

    def _apart(self, users: int) -> timedelta:
        """From one to the next of users who would otherwise all begin now."""
        slowest = LONGEST_CATCH_UP_SECONDS / max(1, users)
        return timedelta(seconds=min(slowest, 1 / self._parts.settings.catch_up_per_second))

    async def _notice_a_jump(self) -> None:
        """A wall clock that was set back must not make anybody wait for that long; one set forward makes runs late."""
        clock = self._parts.clock
        now, passed = clock.now(), clock.monotonic()
        if self._looked_at is not None:
            jump = (now - self._looked_at[0]).total_seconds() - (passed - self._looked_at[1])
            if abs(jump) > _JUMP_SECONDS:
                log.warning("The clock was set %+.1f s, or the machine slept", jump, extra={"action": "clock_jumped"})
            if jump < -_JUMP_SECONDS:
                back = timedelta(seconds=jump)
                entered = await self._parts.store.transact(
                    lambda tx: entries.enter_after_jump(tx, self.active, now, back)
                )
                for user_id, coming in entered.items():
                    await self._follow(user_id, coming)
        self._looked_at = (now, passed)

    def _until_next_look(self) -> float:
        tick = self._parts.settings.tick_seconds
        first = self._due.next_due()
        if first is None:
            return tick
        return min(tick, max(_TOGETHER_SECONDS, first - self._parts.clock.now().timestamp()))

    def _launch(self, user_id: str) -> None:
        if user_id in self.active:
            # Its cycle outlived its interval, or it was stopped and started meanwhile: the end of the cycle decides.
            return
        user = self._parts.store.snapshot.users.get(user_id)
        slot = user.next_run_at if user is not None and user.next_run_at is not None else self._parts.clock.now()
        active = self.active[user_id] = Active(slot, self._parts.clock.monotonic())
        active.task = self._own(self._cycle(user_id, active), f"cycle of {user_id}", user_id)

    def _own(self, work: object, name: str, user_id: str | None = None) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.create_task(work, name=name)  # type: ignore[arg-type]  # a coroutine
        self._tasks.add(task)
        task.add_done_callback(lambda done: self._done(done, user_id))
        return task

    def _done(self, task: asyncio.Task[None], user_id: str | None) -> None:
        self._tasks.discard(task)
        if task.cancelled() or (error := task.exception()) is None:
            return
        log.error("The %s died", task.get_name(), exc_info=error, extra={"user": user_id})
        if user_id is not None and not self._leaving:
            self.wake(user_id, self._parts.clock.now() + _AGAIN_AFTER_DEATH)

    # One cycle.

    async def _cycle(self, user_id: str, active: Active) -> None:
        """One cycle from its begin to the entry of the next one. Owned by `_tasks`."""
        try:
            await self._run_guarded(user_id, active)
        finally:
            # From here on the next cycle may begin, while this task still looks after what came meanwhile.
            del self.active[user_id]
        if not self._leaving:
            user = self._parts.store.snapshot.users.get(user_id)
            if user is not None and user.bot_status is BotStatus.STOPPING:
                await self.settle(user_id)  # a stop that came in the last moment still found the cycle running
            self._look_again(user_id)  # and so did a start

    async def _run_guarded(self, user_id: str, active: Active) -> None:
        """Run the cycle; whatever it raises becomes the user's own event and never anybody else's trouble."""
        try:
            await self._run(user_id, active)
        except NotWanted:
            return
        except NotReady as error:
            await self._stop_with_error(user_id, str(error))
        except Exception as error:
            log.exception("A cycle broke off", extra={"user": user_id, "action": "cycle_failed"})
            await self._failed(user_id, active, error)
        else:
            self._failures.pop(user_id, None)
            await self._rest_after_nothing(user_id, active)
            if not (self._leaving and active.cut_off):
                await self._enter_next(user_id, active.slot, 0)

    async def _run(self, user_id: str, active: Active) -> None:
        def started(run: CycleRun) -> None:
            active.run = run
            self.lateness.add((self._parts.clock.now() - active.slot).total_seconds())

        try:
            await self._cycles.run(user_id, active.control, started, lambda tx: _may_begin(tx, user_id))
        except asyncio.CancelledError:
            if not active.stuck or self._leaving:
                raise
            raise CycleStuck("it showed no sign of life") from None

    async def _rest_after_nothing(self, user_id: str, active: Active) -> None:
        """A cycle in which nothing could be posted is not followed by the next at once, whatever its user's delay:
        a list of groups that are all on hold would turn without end and fill the journal."""
        if active.run is not None and active.run.progress().delivered == 0:
            rest = EMPTY_CYCLE_REST_SECONDS - self._parts.store.snapshot.users[user_id].delay_between_cycles
            await wait_for_event(self._parts.clock, active.control.asked, rest)

    async def _failed(self, user_id: str, active: Active, error: Exception) -> None:
        failures = self._failures[user_id] = self._failures.get(user_id, 0) + 1
        why = str(error) if isinstance(error, CycleStuck) else type(error).__name__
        if failures >= FAILURES_UNTIL_ERROR:
            await self._stop_with_error(user_id, f"{failures} cycles in a row broke off ({why})")
            return
        action = "cycle_stuck" if isinstance(error, CycleStuck) else "cycle_failed"
        await self._tell(user_id, action, f"The cycle broke off ({why}); the next one goes on with it", Level.ERROR)
        await self._enter_next(user_id, active.slot, failures)

    async def _enter_next(self, user_id: str, slot: datetime, failures: int) -> None:
        now = self._ended[user_id] = self._parts.clock.now()
        coming = await self._parts.store.transact(lambda tx: entries.enter_after(tx, user_id, slot, now, failures))
        if coming is None:
            if self._parts.store.snapshot.users[user_id].bot_status is BotStatus.STOPPED:
                await self._tell_stopped(user_id)
            return
        if coming.missed:
            passed = f"{coming.missed} runs were due" if coming.missed > 1 else "1 run was due"
            skip = self._parts.store.snapshot.users[user_id].schedule.missed is Missed.SKIP
            what = "they are left out" if skip else "one makes up for them"
            text = f"{passed} while the last cycle was still running; {what}"
            await self._tell(user_id, "runs_missed", text, Level.WARNING)
        await self._follow(user_id, coming)

    async def _follow(self, user_id: str, coming: Next) -> None:
        """Let the heap have what was entered, and tell the user when it was the end."""
        if coming.at is not None:
            self.wake(user_id, coming.at)
            return
        self.forget(user_id)
        await self._tell_stopped(user_id)

    async def _stop_with_error(self, user_id: str, reason: str) -> None:
        def change(tx: Transaction) -> None:
            user = tx.user(user_id)
            wanted = BotStatus.STOPPED if user.bot_status is BotStatus.STOPPING else BotStatus.ERROR
            tx.put_user(user_id, replace(user, bot_status=wanted, status_reason=reason, next_run_at=None))

        await self._parts.store.transact(change)
        self._failures.pop(user_id, None)
        await self._tell(user_id, "bot_error", f"The bot stopped: {reason}", Level.ERROR)

    def _look_again(self, user_id: str) -> None:
        """A start that came while the cycle ran is not lost."""
        user = self._parts.store.snapshot.users.get(user_id)
        if user is not None and user.bot_status is BotStatus.RUNNING and user.next_run_at is not None:
            self.wake(user_id, user.next_run_at)

    async def _tell_stopped(self, user_id: str) -> None:
        reason = self._parts.store.snapshot.users[user_id].status_reason
        await self._tell(user_id, "bot_stopped", "The bot is stopped" + (f": {reason}" if reason else ""))

    async def _tell(self, user_id: str, action: str, text: str, level: Level = Level.INFO) -> None:
        event = Event(at=self._parts.clock.now(), user=user_id, action=action, text=text, level=level)
        await self._parts.journal.add_event(event)


def _may_begin(tx: Transaction, user_id: str) -> bool:
    user = tx.users.get(user_id)
    return user is not None and user.bot_status is BotStatus.RUNNING
