"""The fast tick: starts the cycle of every user who is due, each in a task of its own (`turns`).

The tick looks every `tick_seconds`, and earlier when somebody is due earlier or was just started. It never waits for a
cycle, nor for the disk, so users never wait for one another.
"""

import asyncio
import contextlib
import logging
import math
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, TypeVar

from bot.cycle.run import CycleServices, StopReason
from bot.cycle.runner import CycleRunner
from core.clock import wait_for_event
from core.errors import StateError
from core.figures import Histogram
from core.models import Level, Missed
from data.users.data_manager import Transaction
from scheduler import next_run as entries
from scheduler.durable_writes import RetryingWriter
from scheduler.register import Register
from scheduler.running_cycle import RunningCycle
from scheduler.timing import NextRun, allowed_from
from scheduler.turns import CycleSupervisor

T = TypeVar("T")
log = logging.getLogger(__name__)

LONGEST_CATCH_UP_SECONDS = 300.0
"""Late runs are spread over at most this long, however many there are."""
DOUBTS_LOOK_SECONDS = 10.0
"""Seconds between two looks at users in doubt."""
_TOGETHER_SECONDS = 0.005
"""Users who are due within this time of each other are started in one look."""
_STARTS_A_BREATH = 50
_JUMP_SECONDS = 1.0


class Scheduler:
    """Owns the register of who is due, and the tasks of running cycles."""

    def __init__(self, services: CycleServices, cycles: CycleRunner) -> None:
        self._services = services
        self.register = Register()
        """Who is due, and who is at work."""
        self._records = RetryingWriter(services)
        self._turns = CycleSupervisor(services, cycles, self._records, self.register)
        self._woken = asyncio.Event()
        self._looks_at = math.inf
        """When the tick looks next without being woken, in seconds since 1970."""
        self._leaving = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._one_line = asyncio.Lock()
        self._line_ends = services.clock.now()
        """When the next late run may begin."""
        self._looked_at: tuple[datetime, float] | None = None
        self._others_looked_at = -math.inf
        self._doubts_looked_at = -math.inf
        self._foreign_writes = services.store.foreign_writes
        self._refreshing: asyncio.Task[None] | None = None

    async def take_over(self) -> None:
        """Take over the bots at the start of the daemon. None runs after a restart unless RESUME_ON_START says so."""
        now = self._services.clock.now()
        resume = self._services.settings.resume_on_start
        taken = await self._services.store.transact(lambda tx: entries.take_over(tx, resume=resume, now=now))
        grace = timedelta(seconds=self._services.settings.misfire_grace_seconds)
        at_once: list[str] = []
        done: dict[str, entries.Ended] = {}
        for user_id, scheduled_for in taken.resumed.items():
            self.register.wait(user_id, scheduled_for)
            if scheduled_for > now:
                continue
            cut_off = await self._services.journal.unfinished_cycle(user_id) is not None
            ended = None if cut_off else await self._services.journal.last_end(user_id, scheduled_for, now)
            if ended is not None:
                user = self._services.store.snapshot.users[user_id]
                # The daemon ended before the next run was entered.
                done[user_id] = entries.Ended(user.scheduled_for or scheduled_for, ended)
            elif cut_off or now - scheduled_for <= grace:
                # A cycle that has begun continues, whatever the schedule says about missed runs.
                at_once.append(user_id)
        if done:
            await self._follow_all(await self._services.store.transact(lambda tx: entries.enter_all_after(tx, done)))
        begins: dict[str, datetime] = {}
        for number, user_id in enumerate(at_once):
            begin = now + number * self._apart(len(at_once))
            begins[user_id] = allowed_from(self._services.store.snapshot.users[user_id].schedule, begin)
            self.register.wait(user_id, begins[user_id])
        later = {user_id: begin for user_id, begin in begins.items() if begin > now}
        if later:
            # Written down, so that a write of another process to users.json does not bring them all forward again.
            await self._services.store.transact(lambda tx: entries.put_off(tx, later))
        text = "The bot is stopped: the daemon was restarted"
        await asyncio.gather(*(self._records.tell(user_id, "bot_stopped", text) for user_id in taken.stopped))

    def wake(self, user_id: str, at: datetime | None) -> None:
        """Make the user due at that moment. None: the user waits for nothing."""
        self.register.wait(user_id, at)
        if at is not None and at.timestamp() < self._looks_at:
            self._woken.set()

    def begin(self, user_id: str, at: datetime) -> None:
        """Make a bot that was started due at that moment, and forget its earlier failures."""
        self._turns.begin_anew(user_id)
        self.wake(user_id, at)

    def take_new_settings(self) -> None:
        """Apply reloaded settings: admit those who wait if a limit was raised, and look again."""
        self._services.connections.refill()
        self._services.sends.refill()
        self._woken.set()

    @property
    def running(self) -> Mapping[str, RunningCycle]:
        """user → the cycle that runs now"""
        return self.register.running

    @property
    def lateness(self) -> Histogram:
        """Seconds from when a cycle was due until it began."""
        return self._turns.lateness

    async def run(self) -> None:
        """Tick until told to leave."""
        clock = self._services.clock
        while not self._leaving:
            self._woken.clear()
            self._notice_a_jump()
            self._notice_other_writers()
            self._look_at_doubts()
            await self._start_all()
            wait = self._until_next_look()
            self._looks_at = clock.now().timestamp() + wait
            await wait_for_event(clock, self._woken, wait)

    async def leave(self, within: float) -> None:
        """Begin no new cycle and let posts in flight end. The rest of each cycle waits in the journal.

        Cycles that still run after `within` seconds are cut off.
        """
        self._leaving = self._turns.leaving = True
        self._records.leave()
        self._woken.set()
        for cycle in self.running.values():
            cycle.control.end(StopReason.SHUTDOWN)
        tasks = list(self._tasks)
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=within)
            for task in late:
                log.warning("%s did not end within %g s and is cut off", task.get_name(), within)
                task.cancel()
            if late:
                await asyncio.wait(late, timeout=1)

    async def settle(self, user_id: str) -> None:
        """Stop a bot that was asked to stop and has no cycle left."""
        await self._turns.settle(user_id)

    async def change_schedule(self, user_id: str, change: Callable[[Transaction], T]) -> T:
        """Commit a change of the user's schedule together with the run that follows from it."""
        with self.changing([user_id]):
            changed, coming = await self._turns.change_schedule(user_id, change)
            if coming is not None:
                await self._follow_all({user_id: coming})
        return changed

    def end_stuck(self, user_id: str) -> None:
        """Cut off the user's cycle, which shows no sign of life. The next one continues from the journal."""
        self._turns.end_stuck(user_id)

    # What happened outside.

    def _notice_other_writers(self) -> None:
        """Look at the date of users.json once a tick: a command may change it while the daemon writes nothing."""
        now = self._services.clock.monotonic()
        if now < self._others_looked_at + self._services.settings.tick_seconds:
            return
        self._others_looked_at = now
        store = self._services.store
        if store.is_behind and (self._refreshing is None or self._refreshing.done()):
            self._refreshing = self._own(self._refresh(), "look at what another process wrote")
        self._follow_others()

    async def _refresh(self) -> None:
        try:
            await self._services.store.refresh()
        except StateError as error:
            log.warning("What another process wrote cannot be taken in: %s", error, extra={"action": "state_unread"})
        self._follow_others()
        self._woken.set()

    def _follow_others(self) -> None:
        """Follow the next runs that another process wrote, except for users who are at work."""
        store = self._services.store
        if store.foreign_writes == self._foreign_writes:
            return
        self._foreign_writes = store.foreign_writes
        earliest = self._services.clock.now() - timedelta(seconds=self._services.settings.misfire_grace_seconds)
        self.register.follow(store.snapshot.users, earliest)

    @contextlib.contextmanager
    def changing(self, users: Iterable[str]) -> Iterator[None]:
        """Wrap a commit that decides when these users are due.

        When it breaks off, by a cancelled request or a fault, the tick follows users.json for them later.
        """
        try:
            yield
        except BaseException:
            self.register.doubt(users, self._services.clock.monotonic())
            raise

    def _look_at_doubts(self) -> None:
        now = self._services.clock.monotonic()
        if now >= self._doubts_looked_at + DOUBTS_LOOK_SECONDS:
            self._doubts_looked_at = now
            self.register.follow_doubtful(self._services.store.snapshot.users, now)

    def _notice_a_jump(self) -> None:
        """Enter every run anew when the wall clock was set back, so that nobody waits for it to catch up.

        A clock that was set forward makes runs late, which needs nothing here.
        """
        before, looked = self._looked_at, (self._services.clock.now(), self._services.clock.monotonic())
        self._looked_at = looked
        if before is None:
            return
        jump = (looked[0] - before[0]).total_seconds() - (looked[1] - before[1])
        if abs(jump) > _JUMP_SECONDS:
            log.warning("The clock was set %+.1f s, or the machine slept", jump, extra={"action": "clock_jumped"})
        if jump < -_JUMP_SECONDS:
            self._own(
                self._enter_after_jump(timedelta(seconds=jump)), "entry of everybody after the clock was set back"
            )

    async def _enter_after_jump(self, back: timedelta) -> None:
        now = self._services.clock.now()
        entered = await self._records.commit(lambda tx: entries.enter_after_jump(tx, self.running, now, back))
        await self._follow_all(entered)

    # Who is due.

    async def _start_all(self) -> None:
        """Start everyone who is due. Other tasks get a turn in between, since that may be everybody at once."""
        grace = self._services.settings.misfire_grace_seconds
        due = self.register.pop_due(self._services.clock.now(), grace, self._services.store.snapshot.users)
        if due.late:
            self._own(self._catch_up(due.late), f"catching up of {len(due.late)} users")
        for number, user_id in enumerate(due.in_time, 1):
            if self._leaving:
                return
            self._launch(user_id)
            if number % _STARTS_A_BREATH == 0:
                await asyncio.sleep(0)

    def _launch(self, user_id: str) -> None:
        cycle = self._turns.begin(user_id)
        cycle.task = self._own(self._turn(user_id, cycle), f"cycle of {user_id}")

    async def _turn(self, user_id: str, cycle: RunningCycle) -> None:
        with self.changing([user_id]):
            self.wake(user_id, await self._turns.run(user_id, cycle))

    async def _catch_up(self, late: Mapping[str, datetime]) -> None:
        """Enter the runs that could not begin in time one after another, so that they do not all begin at once."""
        users = self._services.store.snapshot.users
        scheduled = {user_id: users[user_id].next_run_at or at for user_id, at in late.items() if user_id in users}
        try:
            with self.changing(late):
                async with self._one_line:
                    entered, self._line_ends = await self._records.commit(lambda tx: self._line_up(tx, scheduled))
        finally:
            self.register.entered(late)
        await self._follow_all({user_id: coming for user_id, (coming, _) in entered.items()})
        for user_id, (coming, missed) in entered.items():
            if not coming.missed:
                continue
            runs = f"{coming.missed} runs" if coming.missed > 1 else "1 run"
            what = "left out" if missed is Missed.SKIP else "made up for by one"
            text = f"{runs} since {scheduled[user_id]:%Y-%m-%d %H:%M} UTC could not begin in time, now {what}"
            await self._records.tell(user_id, "runs_missed", text, Level.WARNING)

    def _line_up(
        self, tx: Transaction, scheduled: Mapping[str, datetime]
    ) -> tuple[dict[str, tuple[NextRun, Missed]], datetime]:
        """Enter late runs behind those entered a moment ago: after a full disk users come one by one."""
        now = self._services.clock.now()
        waits = (self._line_ends - now).total_seconds()
        if (
            not 0 < waits < LONGEST_CATCH_UP_SECONDS / 2
        ):  # a longer wait comes from a clock that was ahead, or is at the limit
            waits = 0.0
        apart = self._apart(len(scheduled), LONGEST_CATCH_UP_SECONDS - waits)
        return entries.enter_late(tx, scheduled, now, now + timedelta(seconds=waits), apart)

    def _apart(self, users: int, within: float = LONGEST_CATCH_UP_SECONDS) -> timedelta:
        """Return the time between two users who would otherwise all begin now."""
        slowest = within / max(1, users)
        return timedelta(seconds=min(slowest, 1 / self._services.settings.catch_up_per_second))

    def _until_next_look(self) -> float:
        tick = self._services.settings.tick_seconds
        first = self.register.next_due
        if first is None:
            return tick
        return min(tick, max(_TOGETHER_SECONDS, first - self._services.clock.now().timestamp()))

    async def _follow_all(self, entered: Mapping[str, NextRun]) -> None:
        """Update the register for everybody before anything else is written down."""
        for user_id, coming in entered.items():
            self.wake(user_id, coming.at)
        for user_id, coming in entered.items():
            if coming.at is None:
                await self._records.tell_stopped(user_id)

    def _own(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled() or (error := task.exception()) is None:
            return
        if self._leaving and isinstance(error, StateError):
            log.warning(
                "How the %s ended could not be written down, the next start finds out: %s", task.get_name(), error
            )
        else:
            log.error("The %s died", task.get_name(), exc_info=error)
