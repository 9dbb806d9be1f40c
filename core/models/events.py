"""The lines of a user's log."""

from enum import StrEnum

from core.models.base import Model, Moment


class Level(StrEnum):
    """How much an event asks for attention."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class Event(Model, frozen=True, kw_only=True):
    """A line of a user's log. The daemon's log file has the same line."""

    id: int = 0
    at: Moment
    user: str
    action: str
    """Stable, for machines: `post_delivered`, `flood_wait`, `session_replaced` …"""
    text: str
    """A sentence, for people."""
    level: Level = Level.INFO
    session: str | None = None
    group: str | None = None
