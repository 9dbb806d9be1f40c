"""A clock that stands still until a test moves it."""

import asyncio
import heapq
import itertools
import time
from datetime import UTC, datetime, timedelta, tzinfo

import pytest

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


class MovableClock:
    """Wall and monotonic time that only `advance` moves; sleepers wake in order of their time."""

    def __init__(self, start: datetime = START) -> None:
        self._start = start
        self._passed = 0.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = itertools.count()

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self._passed)

    def set_wall(self, seconds: float) -> None:
        """Somebody sets the clock on the wall; durations do not notice."""
        self._start += timedelta(seconds=seconds)

    def monotonic(self) -> float:
        return self._passed

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        wakes = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._passed + seconds, next(self._order), wakes))
        await wakes

    @property
    def sleepers(self) -> int:
        """How many tasks wait for this clock now."""
        return sum(not wakes.done() for _, _, wakes in self._sleepers)

    def next_wake(self) -> datetime | None:
        """When the first of those who sleep wakes."""
        while self._sleepers and self._sleepers[0][2].done():
            heapq.heappop(self._sleepers)
        return self._start + timedelta(seconds=self._sleepers[0][0]) if self._sleepers else None

    async def go_to(self, moment: datetime) -> None:
        """Move time to a moment, waking who sleeps until then or earlier; what they do is not waited for."""
        end = max(self._passed, (moment - self._start).total_seconds())
        while self._sleepers and self._sleepers[0][0] <= end + 1e-6:
            at, _, wakes = heapq.heappop(self._sleepers)
            self._passed = max(self._passed, at)
            if not wakes.done():
                wakes.set_result(None)
        self._passed = max(self._passed, end)

    async def advance(self, seconds: float) -> None:
        """Move time, waking each sleeper at its own moment and letting it run on."""
        end = self._passed + seconds
        while self._sleepers and self._sleepers[0][0] <= end:
            at, _, wakes = heapq.heappop(self._sleepers)
            self._passed = max(self._passed, at)
            if not wakes.done():
                wakes.set_result(None)
            for _ in range(10):
                await asyncio.sleep(0)
        self._passed = end


def let_housekeeping_follow(clock: MovableClock, patch: pytest.MonkeyPatch) -> None:
    """APScheduler reads the machine's clock; let it read this one, until the test ends."""

    class Wall(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]  # nobody needs a Wall
            return clock.now().astimezone(tz)

    patch.setattr("apscheduler.schedulers.base.datetime", Wall)


class HurriedClock:
    """Time that passes so many times as fast as it does: long pauses are over soon."""

    def __init__(self, times: float) -> None:
        self._times = times
        self._began, self._monotonic = datetime.now(UTC), time.monotonic()

    def now(self) -> datetime:
        return self._began + timedelta(seconds=self.monotonic())

    def monotonic(self) -> float:
        return (time.monotonic() - self._monotonic) * self._times

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(0.0, seconds / self._times))
