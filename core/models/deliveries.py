"""What the journal holds of posts: cycles and their deliveries."""

from enum import StrEnum

from core.models.base import Model, Moment
from core.models.posts import PostContent, PostType


class DeliveryState(StrEnum):
    """How far a delivery has come."""

    PLANNED = "planned"
    SENDING = "sending"
    DELIVERED = "delivered"
    FAILED = "failed"
    SKIPPED = "skipped"
    UNKNOWN = "unknown"
    """It may have arrived; nobody could find out."""


UNFINISHED = frozenset({DeliveryState.PLANNED, DeliveryState.SENDING})


class Delivery(Model, frozen=True, kw_only=True):
    """One post to one group in one cycle. `random_id` is Telegram's deduplication key and never changes."""

    id: int = 0
    """Row in the journal; 0 before it is there."""
    user: str
    cycle: int
    group: str
    session: str
    random_id: int
    part: int = 0
    state: DeliveryState = DeliveryState.PLANNED
    error: str | None = None
    """The error's code, as Telegram names it."""
    reason: str | None = None
    """In words, for its user."""
    message_id: int | None = None
    planned_at: Moment
    finished_at: Moment | None = None


class Cycle(Model, frozen=True, kw_only=True):
    """One pass over a user's groups. `id` is the moment of planning in milliseconds since 1970, unique for a user."""

    id: int
    user: str
    post_type: PostType
    post_content: PostContent
    """As it was when the cycle was planned, so that a resumed cycle posts the same thing."""
    started_at: Moment
    finished_at: Moment | None = None
