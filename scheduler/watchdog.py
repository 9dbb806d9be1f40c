"""Ends cycles that show no sign of life: they wrote nothing down for longer than any wait takes."""

import asyncio
import logging
import math

from bot.cycle.run import CycleServices
from scheduler.scheduler import Scheduler

log = logging.getLogger(__name__)

LOOKS_PER_LIMIT = 10
_LONGEST_LOOK_SECONDS = 30.0


class Watchdog:
    """Checks every running cycle now and then."""

    def __init__(self, services: CycleServices, scheduler: Scheduler) -> None:
        self._services = services
        self._scheduler = scheduler
        self._awake_since = -math.inf
        """In monotonic seconds. The process stood still before, so that no cycle could show a sign of life."""

    async def run(self) -> None:
        """Check until cancelled."""
        clock, limit = self._services.clock, self._services.settings.stuck_cycle_seconds
        pause = min(_LONGEST_LOOK_SECONDS, limit / LOOKS_PER_LIMIT)
        while True:
            began = clock.monotonic()
            await clock.sleep(pause)
            if clock.monotonic() - began > 2 * pause:
                self._awake_since = clock.monotonic()
            self.look()
            await asyncio.sleep(0)

    def look(self) -> list[str]:
        """End the cycles that are stuck, and return whose they were."""
        now = self._services.clock.monotonic()
        stuck = [
            user_id
            for user_id, cycle in self._scheduler.running.items()
            if not (cycle.over or cycle.stuck)
            and now - max(cycle.last_sign(), self._awake_since) > self._patience_with(user_id)
            and not self._waits_for_a_slot(user_id)
        ]
        for user_id in stuck:
            log.error("A cycle is stuck and is ended", extra={"user": user_id, "action": "cycle_stuck"})
            self._scheduler.end_stuck(user_id)
        return stuck

    def _patience_with(self, user_id: str) -> float:
        """Return the longest pause of a healthy cycle of this user, with the limit added."""
        settings = self._services.settings
        user = self._services.store.snapshot.users.get(user_id)
        between_posts = max(user.delay_between_posts if user is not None else 0.0, settings.group_gap_seconds)
        waits = between_posts + settings.wait_patience_seconds + settings.check_posts_after_seconds
        return settings.stuck_cycle_seconds + waits

    def _waits_for_a_slot(self, user_id: str) -> bool:
        every = (self._services.connections, self._services.sends)
        return any(slots.is_waiting(user_id) and not slots.held_by(user_id) for slots in every)
