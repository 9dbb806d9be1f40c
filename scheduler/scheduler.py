"""The fast tick: starts the cycle of every user who is due, each in a task of its own, never two of one user at once.

The tick looks every `tick_seconds`, and earlier when somebody is due earlier or was just started. It never waits for a
cycle, so users never wait for one another.
"""

import asyncio
import logging
from datetime import UTC, datetime

from msgspec.structs import replace

from bot.cycle import CycleRunner
from bot.run import BotParts, CycleControl, CycleProgress, CycleRun, End
from core.clock import wait_for_event
from core.errors import NotReady
from core.models import BotStatus, Event, Level, User
from data.data_manager import Transaction
from scheduler.due import DueHeap
from scheduler.timing import next_run, next_try

log = logging.getLogger(__name__)

FAILURES_UNTIL_ERROR = 5
"""After so many broken cycles in a row a bot stops with the status `error`."""


class Active:
    """A user's cycle that runs now, or is about to."""

    def __init__(self) -> None:
        self.control = CycleControl()
        self.run: CycleRun | None = None

    def progress(self) -> CycleProgress | None:
        """None until the plan stands."""
        return self.run.progress() if self.run is not None else None


class Scheduler:
    """Owns the heap of due times and the tasks of running cycles."""

    def __init__(self, parts: BotParts, cycles: CycleRunner) -> None:
        self._parts = parts
        self._cycles = cycles
        self._due = DueHeap()
        self._woken = asyncio.Event()
        self._leaving = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._failures: dict[str, int] = {}
        self.active: dict[str, Active] = {}
        """Whose cycles run now."""

    async def take_over(self) -> None:
        """At the start of the daemon: no bot runs after a restart, unless RESUME_ON_START says so."""
        resume = self._parts.settings.resume_on_start
        now = self._parts.clock.now()

        def change(tx: Transaction) -> tuple[dict[str, datetime], list[str]]:
            resumed: dict[str, datetime] = {}
            stopped: list[str] = []
            for user_id, user in list(tx.users.items()):
                if user.bot_status is BotStatus.RUNNING and resume:
                    resumed[user_id] = max(user.next_run_at or now, now)
                elif user.bot_status in {BotStatus.RUNNING, BotStatus.STOPPING}:
                    reason = user.status_reason or "the daemon was restarted; start the bot again"
                    tx.put_user(
                        user_id, replace(user, bot_status=BotStatus.STOPPED, status_reason=reason, next_run_at=None)
                    )
                    stopped.append(user_id)
            return resumed, stopped

        resumed, stopped = await self._parts.store.transact(change)
        for user_id, at in resumed.items():
            self._due.set(user_id, at)
        for user_id in stopped:
            await self._tell(user_id, "bot_stopped", "The bot is stopped: the daemon was restarted")

    def wake(self, user_id: str, at: datetime) -> None:
        """The user is due then."""
        self._due.set(user_id, at)
        self._woken.set()

    def forget(self, user_id: str) -> None:
        """The user is not due any more."""
        self._due.remove(user_id)

    async def run(self) -> None:
        """Tick until cancelled or told to leave."""
        clock = self._parts.clock
        while not self._leaving:
            self._woken.clear()
            for user_id in self._due.pop_due(clock.now()):
                self._launch(user_id)
            await wait_for_event(clock, self._woken, self._until_next_look())

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
            await asyncio.gather(*tasks, return_exceptions=True)

    async def settle(self, user_id: str) -> None:
        """A bot that was asked to stop and has no cycle left is stopped."""

        def change(tx: Transaction) -> bool:
            user = tx.user(user_id)
            if user.bot_status is not BotStatus.STOPPING or user_id in self.active:
                return False
            tx.put_user(user_id, replace(user, bot_status=BotStatus.STOPPED, next_run_at=None))
            return True

        if await self._parts.store.transact(change):
            user = self._parts.store.snapshot.users[user_id]
            why = f": {user.status_reason}" if user.status_reason else ""
            await self._tell(user_id, "bot_stopped", f"The bot is stopped{why}")

    def _until_next_look(self) -> float:
        tick = self._parts.settings.tick_seconds
        first = self._due.next_due()
        if first is None:
            return tick
        wait = (datetime.fromtimestamp(first, UTC) - self._parts.clock.now()).total_seconds()
        return min(tick, max(0.001, wait))

    def _launch(self, user_id: str) -> None:
        if user_id in self.active:
            # Its cycle outlived its interval, or it was stopped and started meanwhile: the end of the cycle decides.
            return
        self.active[user_id] = Active()
        task = asyncio.create_task(self._cycle(user_id), name=f"cycle of {user_id}")
        self._tasks.add(task)
        task.add_done_callback(lambda done: self._done(user_id, done))

    def _done(self, user_id: str, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("The %s died", task.get_name(), exc_info=error, extra={"user": user_id})
            self.wake(user_id, next_try(User(delay_between_cycles=0.0), self._parts.clock.now(), 1))

    async def _cycle(self, user_id: str) -> None:
        """One cycle from its begin to the entry of the next one. Owned by `_tasks`."""
        active = self.active[user_id]
        try:
            if await self._parts.store.transact(lambda tx: _may_begin(tx, user_id)):
                await self._run_guarded(user_id, active)
        finally:
            # From here on the next cycle may begin, while this task still looks after what came meanwhile.
            del self.active[user_id]
        if not self._leaving:
            await self.settle(user_id)  # a stop that came in the last moment still found the cycle running
            self._look_again(user_id)  # and so did a start

    async def _run_guarded(self, user_id: str, active: Active) -> None:
        """Run the cycle; whatever it raises becomes the user's own event and never anybody else's trouble."""

        def started(run: CycleRun) -> None:
            active.run = run

        try:
            await self._cycles.run(user_id, active.control, started)
        except NotReady as error:
            await self._stop_with_error(user_id, str(error))
            return
        except Exception as error:
            failures = self._failures[user_id] = self._failures.get(user_id, 0) + 1
            log.exception("A cycle broke off", extra={"user": user_id, "action": "cycle_failed"})
            if failures >= FAILURES_UNTIL_ERROR:
                await self._stop_with_error(user_id, f"{failures} cycles in a row broke off ({type(error).__name__})")
                return
            await self._tell(user_id, "cycle_failed", f"The cycle broke off ({type(error).__name__})", Level.ERROR)
            await self._enter_next(user_id, failures)
            return
        self._failures.pop(user_id, None)
        if not self._leaving:
            await self._enter_next(user_id, 0)

    async def _enter_next(self, user_id: str, failures: int) -> None:
        now = self._parts.clock.now()

        def change(tx: Transaction) -> datetime | None:
            user = tx.user(user_id)
            if user.bot_status is BotStatus.STOPPING:
                tx.put_user(user_id, replace(user, bot_status=BotStatus.STOPPED, next_run_at=None))
                return None
            if user.bot_status is not BotStatus.RUNNING:
                return None
            at = next_try(user, now, failures) if failures else next_run(user, now)
            tx.put_user(user_id, replace(user, next_run_at=at))
            return at

        at = await self._parts.store.transact(change)
        if at is not None:
            self.wake(user_id, at)
        elif self._parts.store.snapshot.users[user_id].bot_status is BotStatus.STOPPED:
            reason = self._parts.store.snapshot.users[user_id].status_reason
            await self._tell(user_id, "bot_stopped", "The bot is stopped" + (f": {reason}" if reason else ""))

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

    async def _tell(self, user_id: str, action: str, text: str, level: Level = Level.INFO) -> None:
        event = Event(at=self._parts.clock.now(), user=user_id, action=action, text=text, level=level)
        await self._parts.journal.add_event(event)


def _may_begin(tx: Transaction, user_id: str) -> bool:
    user = tx.users.get(user_id)
    return user is not None and user.bot_status is BotStatus.RUNNING
