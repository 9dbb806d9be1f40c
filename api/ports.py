"""What the API needs of the room below it, and the bundle of parts its routes work with."""

from dataclasses import dataclass
from typing import Protocol

from core.clock import Clock
from core.models import BotStatus
from core.settings import Settings
from data.data_manager import DataManager
from data.journal import Journal


class BotChange(Protocol):
    """What a start or a stop did."""

    @property
    def status(self) -> BotStatus:
        """What the bot does now."""
        ...

    @property
    def changed(self) -> bool:
        """False when it already was so."""
        ...

    @property
    def text(self) -> str:
        """The same in words, for its user."""
        ...


class CycleProgress(Protocol):
    """How far the cycle that runs has come."""

    @property
    def cycle(self) -> int:
        """The cycle's id."""
        ...

    @property
    def total(self) -> int:
        """Deliveries planned."""
        ...

    @property
    def done(self) -> int:
        """Deliveries that came to an end, well or not."""
        ...

    @property
    def delivered(self) -> int:
        """Those that arrived."""
        ...


class Bots(Protocol):
    """Starts, stops and shows bots (`scheduler.bots.Bots`)."""

    async def start(self, user_id: str) -> BotChange:
        """Start. Raises NoGroups, NoContent, NoSpareSession, NoRoomOnApiPairs, UnknownUser."""
        ...

    async def stop(self, user_id: str, *, now: bool = False) -> BotChange:
        """Stop after the current cycle, or (`now`) after the post in flight."""
        ...

    def progress(self, user_id: str) -> CycleProgress | None:
        """The cycle that runs, if one does."""
        ...


@dataclass(frozen=True)
class Parts:
    """The rooms below, as the API was given them."""

    settings: Settings
    store: DataManager
    journal: Journal
    bots: Bots
    clock: Clock
