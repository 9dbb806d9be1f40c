"""Simulated time for a whole process: an event loop that skips to its next timer as soon as nothing else is left to do.

The clock stands still while work is done, so a day of waiting costs what its work costs. Both ends of every connection
have to live in this loop: then nothing is ever under way that a look at the sockets would not show.
"""

import asyncio
import selectors
from collections.abc import Callable
from concurrent.futures import Executor
from datetime import UTC, datetime, timedelta
from typing import TypeVar, TypeVarTuple

A = TypeVarTuple("A")
T = TypeVar("T")
START = datetime(2026, 3, 2, tzinfo=UTC)
_LOOKS = 3
"""A packet on loopback is there at once, but for the rare one that the kernel delivers a moment later."""

_LATE = 1e-6
"""Seconds a timer comes late, as every real one does: Telethon's update loop spins for ever on one that is on time."""


class SimulatedLoop(asyncio.SelectorEventLoop):
    """Every timer of asyncio runs in simulated time."""

    def __init__(self) -> None:
        self._passed = 0.0
        super().__init__(_SkippingSelector(self))

    def time(self) -> float:
        """Simulated seconds since the loop was made."""
        return self._passed

    def skip(self, seconds: float) -> None:
        """Let so much time pass, and a moment more."""
        self._passed += seconds + _LATE

    def run_in_executor(
        self,
        executor: Executor | None,  # noqa: ARG002  asyncio's signature
        func: Callable[[*A], T],
        *args: *A,
    ) -> asyncio.Future[T]:
        """Done here and now: what a thread brings cannot be seen coming, and no time must pass until it is there."""
        future = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:  # noqa: BLE001  it belongs to whoever waits for the future
            future.set_exception(error)
        return future


class _SkippingSelector(selectors.DefaultSelector):
    def __init__(self, loop: SimulatedLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            return super().select(None)
        for _ in range(_LOOKS if timeout > 0 else 1):
            if ready := super().select(0):
                return ready
        if timeout > 0:
            self._loop.skip(timeout)
        return []


class SimulatedClock:
    """The loop's time as Postfleet (`core.clock.Clock`) and the sandbox ask for it."""

    def __init__(self, loop: SimulatedLoop) -> None:
        self._loop = loop

    def now(self) -> datetime:
        """The simulated moment."""
        return START + timedelta(seconds=self._loop.time())

    def time(self) -> float:
        """The same in Unix seconds."""
        return START.timestamp() + self._loop.time()

    def monotonic(self) -> float:
        """Simulated seconds."""
        return self._loop.time()

    async def sleep(self, seconds: float) -> None:
        """Wait that long in simulated time."""
        await asyncio.sleep(max(0.0, seconds))
