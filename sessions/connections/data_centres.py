"""Which of Telegram's data centres answer, as seen by the accounts' own connections."""

import asyncio
import contextlib
from dataclasses import dataclass

from core.clock import Clock

FAILURES = 2
"""After this many failed connections in a row, the data centre does not answer."""
LOOK_AGAIN_SECONDS = 10.0
_TRY_SECONDS = 2.0


@dataclass
class _Failing:
    host: str
    port: int
    times: int = 0


class DataCentres:
    """What is known of each data centre that was connected to."""

    def __init__(self) -> None:
        self._failing: dict[int, _Failing] = {}
        self._looked_at: float | None = None

    def answered(self, dc_id: int) -> None:
        """Note that a connection was made."""
        self._failing.pop(dc_id, None)

    def failed(self, dc_id: int, host: str, port: int) -> None:
        """Note that a connection could not be made."""
        self._failing.setdefault(dc_id, _Failing(host, port)).times += 1

    @property
    def silent(self) -> list[int]:
        """The data centres that do not answer."""
        return sorted(dc_id for dc_id, failing in self._failing.items() if failing.times >= FAILURES)

    async def look_again(self, clock: Clock) -> None:
        """Connect to the silent ones now and then. One that takes a connection is no longer silent.

        Without this a data centre would stay silent until some account has a post to make.
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
