"""Ends cycles that show no sign of life: nothing was written down for longer than any wait takes."""

import asyncio
import logging
import math

from bot.cycle.run import CycleServices
from scheduler.scheduler import Scheduler

log = logging.getLogger(__name__)

LOOKS_PER_LIMIT = 10
_LONGEST_LOOK_SECONDS = 30.0


class Watchdog:
    """Looks at every cycle that runs, now and then."""

    def __init__(self, parts: CycleServices, scheduler: Scheduler) -> None:
        self._parts = parts
        self._scheduler = scheduler
        self._awake_since = -math.inf
        """Before that nobody could show a sign: the process stood still. In monotonic seconds."""

    async def run(self) -> None:
        """Look until cancelled."""
        clock, limit = self._parts.clock, self._parts.settings.stuck_cycle_seconds
        pause = min(_LONGEST_LOOK_SECONDS, limit / LOOKS_PER_LIMIT)
        while True:
            began = clock.monotonic()
            await clock.sleep(pause)
            if clock.monotonic() - began > 2 * pause:
                self._awake_since = clock.monotonic()
            self.look()
            await asyncio.sleep(0)

    def look(self) -> list[str]:
        """End whatever is stuck; answers whose cycles those were."""
        now = self._parts.clock.monotonic()
        stuck = [
            user_id
            for user_id, active in self._scheduler.active.items()
            if not (active.over or active.stuck)
            and now - max(active.last_sign(), self._awake_since) > self._patience_with(user_id)
            and not self._waits_for_a_slot(user_id)
        ]
        for user_id in stuck:
            log.error("A cycle is stuck and is ended", extra={"user": user_id, "action": "cycle_stuck"})
            self._scheduler.end_stuck(user_id)
        return stuck

    def _patience_with(self, user_id: str) -> float:
        """The longest pause a healthy cycle of this user can make, and the limit on top."""
        settings = self._parts.settings
        user = self._parts.store.snapshot.users.get(user_id)
        between_posts = max(user.delay_between_posts if user is not None else 0.0, settings.group_gap_seconds)
        waits = between_posts + settings.wait_patience_seconds + settings.check_posts_after_seconds
        return settings.stuck_cycle_seconds + waits

    def _waits_for_a_slot(self, user_id: str) -> bool:
        every = (self._parts.connections, self._parts.sends)
        return any(slots.is_waiting(user_id) and not slots.held_by(user_id) for slots in every)
