"""What the scheduler writes down. A disk that is full for a while costs nobody their next run."""

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
"""From one try to write to the next."""
_SAY_SECONDS = 60.0


class RetryingWriter:
    """Changes of users.json that have to be made, and lines of the users' logs."""

    def __init__(self, parts: CycleServices) -> None:
        self._parts = parts
        self._leaving = asyncio.Event()
        self._said_at = -math.inf

    def leave(self) -> None:
        """Stop waiting for a disk that takes nothing, because the daemon ends."""
        self._leaving.set()

    async def commit(self, change: Callable[[Transaction], T]) -> T:
        """Commit the change, trying until the disk takes it: it looks at the newest state each time.

        Raises:
            StateError: the daemon leaves and it still cannot be written.
        """
        while True:
            try:
                return await self._parts.store.transact(change)
            except StateError as error:
                if self._leaving.is_set():
                    raise
                self._say(error)
            await wait_for_event(self._parts.clock, self._leaving, AGAIN_SECONDS)

    def _say(self, error: StateError) -> None:
        """Log once a minute, not once for each user who waits."""
        now = self._parts.clock.monotonic()
        if now >= self._said_at + _SAY_SECONDS:
            self._said_at = now
            log.error("Next runs cannot be written down, and are tried again and again: %s", error)

    async def tell(self, user_id: str, action: str, text: str, level: Level = Level.INFO) -> None:
        """Add a line to the user's log. One that cannot be written stands in the daemon's log instead."""
        try:
            await self._parts.journal.add_event(
                Event(at=self._parts.clock.now(), user=user_id, action=action, text=text, level=level)
            )
        except StateError as error:
            # A full disk is no fault of the code, so a traceback tells nothing.
            log.error("The user's log cannot be written (%s); it would say: %s", error, text, extra={"user": user_id})  # noqa: TRY400

    async def tell_stopped(self, user_id: str) -> None:
        """Add the line that the bot is stopped, and why."""
        reason = self._parts.store.snapshot.users[user_id].status_reason
        await self.tell(user_id, "bot_stopped", "The bot is stopped" + (f": {reason}" if reason else ""))
