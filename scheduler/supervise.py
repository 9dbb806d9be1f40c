"""Keeps endless tasks alive: one that dies is logged with its traceback and begun again."""

import logging
from collections.abc import Awaitable, Callable

from core.clock import Clock

log = logging.getLogger(__name__)

FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 60.0
_HEALTHY_AFTER_SECONDS = 300.0


async def keep_alive(name: str, work: Callable[[], Awaitable[None]], clock: Clock) -> None:
    """Run `work` until it returns. When it raises, log that and begin it again after a growing pause."""
    pause = FIRST_PAUSE_SECONDS
    while True:
        began = clock.monotonic()
        try:
            await work()
        except Exception:
            log.exception("The %s died and is begun again in %g s", name, pause)
        else:
            return
        if clock.monotonic() - began >= _HEALTHY_AFTER_SECONDS:
            pause = FIRST_PAUSE_SECONDS
        await clock.sleep(pause)
        pause = min(LONGEST_PAUSE_SECONDS, pause * 2)
