"""The one source of time. Tests move a clock of their own (`tests/support/clock.py`)."""

import asyncio
import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Wall time, monotonic time and waiting, from one source."""

    def now(self) -> datetime:
        """Return the present moment, aware, in UTC."""
        ...

    def monotonic(self) -> float:
        """Return seconds that never jump; for durations only."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait that long. 0 or less still lets other tasks run."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        """Return the present moment, aware, in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return seconds that never jump."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait that long."""
        await asyncio.sleep(max(0.0, seconds))


async def wait_for_event(clock: Clock, event: asyncio.Event, seconds: float) -> bool:
    """Wait for the event, at most that long by this clock. Return whether it came."""
    if event.is_set() or seconds <= 0:
        await asyncio.sleep(0)
        return event.is_set()
    came = asyncio.ensure_future(event.wait())
    passed = asyncio.ensure_future(clock.sleep(seconds))
    try:
        await asyncio.wait({came, passed}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        came.cancel()
        passed.cancel()
    return event.is_set()
