"""The real scheduler, store and journal under a clock that tests move; of cycles only their start and end are noted."""

import asyncio
import contextlib
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from bot.cycle.run import CycleControl, CycleRun, CycleServices
from bot.cycle.runner import CycleRunner, NotWanted
from core.models import BotStatus, Cycle, Delivery, DeliveryState, PostContent, PostType, User
from core.settings import Settings
from data.disk.files import Disk
from data.users.data_manager import Transaction
from scheduler.services import Services, open_services
from scheduler.timing import Timetable, first_run
from tests.support.clock import START, MovableClock
from tests.support.house import API_PAIRS, SECRET


def no_accounts(*_: object) -> tuple[str, ...]:
    """What a start gives a user who needs none here."""
    return ()


def cycle_of(delivery: Delivery) -> Cycle:
    """The cycle it was planned in."""
    at = delivery.planned_at
    return Cycle(
        id=delivery.cycle,
        user=delivery.user,
        post_type=PostType.TEXT,
        post_content=PostContent(text="Hi"),
        started_at=at,
    )


def planned(user_id: str, at: datetime) -> Delivery:
    """The one post of a cycle, before it is sent."""
    return Delivery(
        user=user_id,
        cycle=int(at.timestamp() * 1000),
        group="@plaza",
        session="acc01",
        random_id=1,
        planned_at=at,
    )


def check_wanted(tx: Transaction, user_id: str, *, only_running: bool) -> None:
    """The check that begins a real cycle."""
    if only_running and tx.user(user_id).bot_status is not BotStatus.RUNNING:
        raise NotWanted


class RamDisk(Disk):
    """The same files without waiting for them to be durable: simulated years are long."""

    def sync(self, descriptor: int) -> None:
        pass

    def sync_folder(self, folder: Path) -> None:
        pass


class NotedCycles(CycleRunner):
    """Cycles that only take their time. Everything else is the real thing."""

    def __init__(self, services: CycleServices) -> None:
        super().__init__(services)
        self.begun: dict[str, list[datetime]] = defaultdict(list)
        self.ended: dict[str, list[datetime]] = defaultdict(list)
        self.seconds: Callable[[str], float] = lambda _: 0.0
        self.faults: dict[str, list[Exception]] = {}
        self.left: dict[str, Delivery] = {}
        """What those that break off have planned and leave for later."""
        self.running: set[str] = set()

    async def begin(self, user_id: str, control: CycleControl, *, only_running: bool = False) -> CycleRun:
        await self._services.store.transact(lambda tx: check_wanted(tx, user_id, only_running=only_running))
        assert user_id not in self.running, "two cycles of one user at once"
        now = self._services.clock.now()
        self.begun[user_id].append(now)
        if self.faults.get(user_id) and user_id not in self.left:
            self.ended[user_id].append(now)
            raise self.faults[user_id].pop()
        self.running.add(user_id)
        delivery = self.left[user_id] if self.faults.get(user_id) else planned(user_id, now)
        return CycleRun(self._services, cycle_of(delivery), 1, [delivery], control)

    async def execute(self, run: CycleRun) -> None:
        user_id = run.user
        try:
            if self.faults.get(user_id):
                raise self.faults[user_id].pop()
            if (seconds := self.seconds(user_id)) > 0:
                await self._services.clock.sleep(seconds)
            sent = [replace(delivery, state=DeliveryState.DELIVERED) for delivery in run.pending]
            run._deliveries.update({delivery.id: delivery for delivery in sent})
        finally:
            self.running.discard(user_id)
            self.ended[user_id].append(self._services.clock.now())


class TimeHouse:
    """What the tests of time look at."""

    def __init__(self, services: Services, clock: MovableClock) -> None:
        self.services = services.cycle
        self.clock = clock
        assert isinstance(services.cycles, NotedCycles)
        self.cycles = services.cycles
        self.scheduler = services.scheduler
        self.bots = services.bots
        self.store = services.cycle.store
        self.ticking: asyncio.Task[None] | None = None

    async def add_users(self, users: dict[str, User], *, running: bool = True) -> None:
        def change(tx: Transaction) -> None:
            for user_id, user in users.items():
                status = BotStatus.RUNNING if running else BotStatus.STOPPED
                tx.put_user(user_id, replace(user, groups=("@plaza",), post_content="Hi", bot_status=status))

        await self.store.transact(change)

    async def begin(self, users: Iterable[str]) -> None:
        """Start their bots as the API would, but for the accounts that nobody needs here."""
        now = self.clock.now()

        def change(tx: Transaction) -> None:
            for user_id in users:
                user = replace(tx.user(user_id), bot_status=BotStatus.RUNNING, cycles_done=0)
                tx.put_user(user_id, replace(user, next_run_at=first_run(Timetable.of(user), now).at))

        await self.store.transact(change)
        for user_id in users:
            self.scheduler.wake(user_id, self.user(user_id).next_run_at or now)

    async def change(self, user_id: str, **fields: Any) -> None:
        await self.store.transact(lambda tx: tx.put_user(user_id, replace(tx.user(user_id), **fields)))

    async def change_schedule(self, user_id: str, **fields: Any) -> None:
        """Change it as the API does."""
        await self.bots.change_schedule(user_id, lambda tx: tx.put_user(user_id, replace(tx.user(user_id), **fields)))

    def tick(self) -> None:
        """Let the scheduler tick from now on."""
        self.ticking = asyncio.create_task(self.scheduler.run())

    def user(self, user_id: str) -> User:
        return self.store.snapshot.users[user_id]

    async def calm(self) -> None:
        """Until everybody waits for the clock: the tick, and every cycle that runs."""
        deadline = time.monotonic() + 20
        spins = 0
        while time.monotonic() < deadline:
            await asyncio.sleep(0 if spins < 20 else 0.0002)
            spins += 1
            if self._is_calm():
                for _ in range(4):
                    await asyncio.sleep(0)
                if self._is_calm():
                    return
        raise AssertionError("it never calmed down")

    def _is_calm(self) -> bool:
        tasks = self.scheduler._tasks
        return self.clock.sleepers == 1 + len(tasks) and len(tasks) >= len(self.cycles.running)

    async def pass_time(self, until: datetime) -> None:
        """Go from event to event; nothing happens between them."""
        await self.calm()
        while (first := self.clock.next_wake()) is not None and first <= until:
            await self.clock.go_to(first)
            await self.calm()
        await self.clock.go_to(until)
        await self.calm()

    async def wait(self, **span: float) -> None:
        await self.pass_time(self.clock.now() + timedelta(**span))

    def minutes(self, user_id: str) -> list[float]:
        """When the user's cycles began, in minutes from START."""
        return [round((moment - START).total_seconds() / 60, 1) for moment in self.cycles.begun[user_id]]

    def said(self, user_id: str) -> list[str]:
        return [event.text for event in reversed(self.services.journal.last_events(user_id))]


@contextlib.asynccontextmanager
async def time_house(
    folder: Path, start: datetime = START, *, ticking: bool = True, **settings: Any
) -> AsyncIterator[TimeHouse]:
    """Build it; ticks of an hour unless told otherwise, since nobody polls."""
    clock = MovableClock(start)
    state = folder / "state"
    built = Settings(state_dir=state, jwt_secret=SECRET, api_pairs=API_PAIRS).model_copy(  # type: ignore[arg-type]  # read by a validator
        update={"tick_seconds": 3600.0, "least_cycle_delay_seconds": 0.0} | settings
    )
    async with open_services(built, clock, disk=RamDisk(), runner=NotedCycles) as services:
        house = TimeHouse(services, clock)
        if ticking:
            house.tick()
        try:
            yield house
        finally:
            house.scheduler._leaving = True
            running = [*house.scheduler._tasks, *filter(None, [house.ticking])]
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
