"""The ledger of every planned and made post, and the events a user's log shows (`journal.sqlite3`)."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Self

from core.models import Cycle, Delivery, Event, Stats


class Journal:
    """Durable before it answers; many waiting writers share one commit."""

    @classmethod
    def open(cls, state_dir: Path) -> Self:
        """Open or make the journal. Raises StateDamaged, StateTooNew, StateNotWritten."""
        raise NotImplementedError

    async def plan_cycle(self, cycle: Cycle, deliveries: Sequence[Delivery]) -> list[Delivery]:
        """Write a cycle and its deliveries in one commit; answers them with their ids."""
        raise NotImplementedError

    async def update(
        self, *deliveries: Delivery, event: Event | None = None, messages: int = 0, floods: int = 0
    ) -> None:
        """Write the deliveries' new state (by id), an event, and what it adds to the user's counters, in one commit.

        A delivery that moves from an unfinished state to a final one is counted once in the stats (total_posts,
        success or failure); `messages` is what Telegram confirmed, `floods` the flood waits met.
        """
        raise NotImplementedError

    async def finish_cycle(self, user: str, cycle: int, finished_at: datetime) -> None:
        """The cycle is over."""
        raise NotImplementedError

    async def unfinished_cycle(self, user: str) -> tuple[Cycle, list[Delivery]] | None:
        """The user's newest cycle that did not finish, with all its deliveries."""
        raise NotImplementedError

    async def add_event(self, event: Event) -> None:
        """Write a line of a user's log. The same line goes to the daemon's log."""
        raise NotImplementedError

    def last_events(self, user: str, limit: int = 50) -> list[Event]:
        """Newest first. Served from memory for the usual limit: the dashboard polls it."""
        raise NotImplementedError

    def last_event_id(self, user: str) -> int:
        """Id of the user's newest event, 0 without one; never goes back."""
        raise NotImplementedError

    def stats(self, user: str) -> Stats:
        """Counted from what the journal holds (plus what retention already trimmed)."""
        raise NotImplementedError

    async def put_peer(self, session: str, target: str, peer: bytes) -> None:
        """Remember how an account addresses a group (an access hash is valid for that account alone)."""
        raise NotImplementedError

    async def peer(self, session: str, target: str) -> bytes | None:
        """What `put_peer` remembered."""
        raise NotImplementedError

    async def forget_peer(self, session: str, target: str) -> None:
        """Forget it: it turned out to be wrong."""
        raise NotImplementedError

    async def close(self) -> None:
        """Finish what is in flight."""
        raise NotImplementedError
