"""Writes what the scheduler has to record, again and again while the disk is full, so that nobody loses a run."""

import asyncio
import logging
import math
from collections.abc import Callable
from typing import TypeVar

from bot.cycle.run import CycleServices
from core.clock import wait_for_event
from core.errors import StateError
from core.models import Event, Level
from data.users.data_manager import Transaction

log = logging.getLogger(__name__)
T = TypeVar("T")
AGAIN_SECONDS = 10.0
"""Seconds between two tries to write."""
_SAY_SECONDS = 60.0


class RetryingWriter:
    """Commits changes of users.json that have to be made, and adds lines to the users' logs."""

    def __init__(self, services: CycleServices) -> None:
        self._services = services
        self._leaving = asyncio.Event()
        self._said_at = -math.inf

    def leave(self) -> None:
        """Stop waiting for a disk that takes nothing, because the daemon ends."""
        self._leaving.set()

    async def commit(self, change: Callable[[Transaction], T]) -> T:
        """Commit the change, trying until the disk takes it. Each try looks at the newest state.

        Raises:
            StateError: the daemon leaves and it still cannot be written.
        """
        while True:
            try:
                return await self._services.store.transact(change)
            except StateError as error:
                if self._leaving.is_set():
                    raise
                self._say(error)
            await wait_for_event(self._services.clock, self._leaving, AGAIN_SECONDS)

    def _say(self, error: StateError) -> None:
        """Log once a minute, not once for each user who waits."""
        now = self._services.clock.monotonic()
        if now >= self._said_at + _SAY_SECONDS:
            self._said_at = now
            log.error("Next runs cannot be written down, and are tried again and again: %s", error)

    async def tell(self, user_id: str, action: str, text: str, level: Level = Level.INFO) -> None:
        """Add a line to the user's log. A line that cannot be written goes to the daemon's log instead."""
        try:
            await self._services.journal.add_event(
                Event(at=self._services.clock.now(), user=user_id, action=action, text=text, level=level)
            )
        except StateError as error:
            # A full disk is no fault of the code, so a traceback tells nothing.
            log.error("The user's log cannot be written (%s); it would say: %s", error, text, extra={"user": user_id})  # noqa: TRY400

    async def tell_stopped(self, user_id: str) -> None:
        """Add the line that the bot is stopped, and why."""
        reason = self._services.store.snapshot.users[user_id].status_reason
        await self.tell(user_id, "bot_stopped", "The bot is stopped" + (f": {reason}" if reason else ""))
