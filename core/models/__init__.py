"""The values that all rooms use. They are immutable: a change is `msgspec.structs.replace` inside a transaction.

Every name is imported from here; the modules inside divide them by concept. docs/glossary.md explains the
words. Every moment is aware and in UTC. A field that an older file lacks takes its default here.
"""

from core.models.allowances import Allowance, AllowanceDay, AllowanceUse, Budget, Grant
from core.models.base import Model, Moment
from core.models.deliveries import UNFINISHED, Cycle, Delivery, DeliveryState
from core.models.events import Event, Level
from core.models.posts import Media, MediaKind, Poll, PostContent, PostType, TextFormat
from core.models.schedule import Missed, Schedule
from core.models.sessions import Hold, Session, SessionState
from core.models.users import BannedSession, BotStatus, Stats, User

__all__ = [
    "UNFINISHED",
    "Allowance",
    "AllowanceDay",
    "AllowanceUse",
    "BannedSession",
    "BotStatus",
    "Budget",
    "Cycle",
    "Delivery",
    "DeliveryState",
    "Event",
    "Grant",
    "Hold",
    "Level",
    "Media",
    "MediaKind",
    "Missed",
    "Model",
    "Moment",
    "Poll",
    "PostContent",
    "PostType",
    "Schedule",
    "Session",
    "SessionState",
    "Stats",
    "TextFormat",
    "User",
]
