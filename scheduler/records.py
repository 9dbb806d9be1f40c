"""What the scheduler writes down. A disk that is full for a while costs nobody their next run."""

import asyncio
import logging
from collections.abc import Callable
from typing import TypeVar

from bot.run import BotParts
from core.clock import wait_for_event
from core.errors import StateError
from core.models import Event, Level
from data.data_manager import Transaction

log = logging.getLogger(__name__)
T = TypeVar("T")
AGAIN_SECONDS = 10.0
"""From one try to write to the next."""


class Records:
    """Changes of users.json that have to be made, and lines of the users' logs."""

    def __init__(self, parts: BotParts) -> None:
        self._parts = parts
        self._leaving = asyncio.Event()

    def leave(self) -> None:
        """The daemon ends: what cannot be written now is not waited for."""
        self._leaving.set()

    async def commit(self, change: Callable[[Transaction], T]) -> T:
        """Commit the change, trying until the disk takes it: it looks at the newest state each time.

        Raises:
            StateError: the daemon leaves and it still cannot be written.
        """
        while True:
            try:
                return await self._parts.store.transact(change)
            except StateError:
                if self._leaving.is_set():
                    raise
                log.exception("What comes next cannot be written down; it is tried again in %g s", AGAIN_SECONDS)
            await wait_for_event(self._parts.clock, self._leaving, AGAIN_SECONDS)

    async def tell(self, user_id: str, action: str, text: str, level: Level = Level.INFO) -> None:
        """Add a line to the user's log. One that cannot be written stands in the daemon's log instead."""
        try:
            await self._parts.journal.add_event(
                Event(at=self._parts.clock.now(), user=user_id, action=action, text=text, level=level)
            )
        except StateError:
            log.exception("The user's log cannot be written; it would say: %s", text, extra={"user": user_id})

    async def tell_stopped(self, user_id: str) -> None:
        """Say that the bot is stopped, and why."""
        reason = self._parts.store.snapshot.users[user_id].status_reason
        await self.tell(user_id, "bot_stopped", "The bot is stopped" + (f": {reason}" if reason else ""))
