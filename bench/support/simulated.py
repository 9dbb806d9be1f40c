"""Simulated time for a whole process: an event loop that skips to its next timer when nothing else is left to do.

The clock stands still during work, so a simulated day takes only as long as its work. Both ends of every connection
have to be in this loop. Then everything that is on its way shows at the sockets.
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
"""Polls of the sockets before time is skipped. The kernel rarely delivers a packet on loopback a moment late."""

_LATE = 1e-6
"""Seconds by which each timer is late, as real ones are. Telethon's update loop spins forever on a punctual one."""


class SimulatedLoop(asyncio.SelectorEventLoop):
    """An event loop whose timers run in simulated time."""

    def __init__(self) -> None:
        self._passed = 0.0
        super().__init__(_SkippingSelector(self))

    def time(self) -> float:
        """Return the simulated seconds since the loop was made."""
        return self._passed

    def skip(self, seconds: float) -> None:
        """Advance the time by that many seconds, and a moment more."""
        self._passed += seconds + _LATE

    def run_in_executor(
        self,
        executor: Executor | None,  # noqa: ARG002  asyncio's signature
        func: Callable[[*A], T],
        *args: *A,
    ) -> asyncio.Future[T]:
        """Run the function at once: the loop cannot see that a thread works, and would skip time meanwhile."""
        future = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:  # noqa: BLE001  whoever awaits the future gets it
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
    """The loop's time as a `core.clock.Clock` and as the sandbox's clock."""

    def __init__(self, loop: SimulatedLoop) -> None:
        self._loop = loop

    def now(self) -> datetime:
        """Return the simulated moment."""
        return START + timedelta(seconds=self._loop.time())

    def time(self) -> float:
        """Return the simulated moment in Unix seconds."""
        return START.timestamp() + self._loop.time()

    def monotonic(self) -> float:
        """Return simulated seconds since the start."""
        return self._loop.time()

    async def sleep(self, seconds: float) -> None:
        """Wait in simulated time."""
        await asyncio.sleep(max(0.0, seconds))
