"""Keeps track of Telegram's data centres that do not answer, as the accounts' own connections show."""

import asyncio
import contextlib
from dataclasses import dataclass

from core.clock import Clock

FAILURES = 2
"""A data centre is silent after this many failed connections in a row."""
LOOK_AGAIN_SECONDS = 10.0
_TRY_SECONDS = 2.0


@dataclass
class _Failing:
    host: str
    port: int
    times: int = 0


class DataCentres:
    """The data centres whose last connections failed."""

    def __init__(self) -> None:
        self._failing: dict[int, _Failing] = {}
        self._looked_at: float | None = None

    def answered(self, dc_id: int) -> None:
        """Note a successful connection."""
        self._failing.pop(dc_id, None)

    def failed(self, dc_id: int, host: str, port: int) -> None:
        """Note a failed connection."""
        self._failing.setdefault(dc_id, _Failing(host, port)).times += 1

    @property
    def silent(self) -> list[int]:
        """The ids of the silent data centres, sorted."""
        return sorted(dc_id for dc_id, failing in self._failing.items() if failing.times >= FAILURES)

    async def look_again(self, clock: Clock) -> None:
        """Connect to the silent ones, at most every `LOOK_AGAIN_SECONDS`. One that accepts is no longer silent.

        Without this, a data centre would stay silent until an account next has something to post.
        """
        now = clock.monotonic()
        if not self.silent or (self._looked_at is not None and now - self._looked_at < LOOK_AGAIN_SECONDS):
            return
        self._looked_at = now
        await asyncio.gather(*(self._knock(dc_id) for dc_id in self.silent))

    async def _knock(self, dc_id: int) -> None:
        failing = self._failing[dc_id]
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(_TRY_SECONDS):
                _, writer = await asyncio.open_connection(failing.host, failing.port)
            self.answered(dc_id)
            writer.close()
