"""What the API shows of what has happened: deliveries, counters, the log."""

from api.views.base import View
from api.views.state import LogLine, StatsView
from core.models import DeliveryState, Moment


class DeliveryView(View, frozen=True, kw_only=True):
    """One post to one group in one cycle."""

    id: int
    cycle: int
    group: str
    session: str
    part: int
    state: DeliveryState
    error: str | None
    reason: str | None
    message_id: int | None
    planned_at: Moment
    finished_at: Moment | None


class DeliveryPage(View, frozen=True, kw_only=True):
    """Deliveries, newest first."""

    items: list[DeliveryView]
    next_before: int | None
    """Send it as `before` to get the next page; null on the last page."""


class LogPage(View, frozen=True, kw_only=True):
    """Lines of the user's log, newest first."""

    items: list[LogLine]
    next_before: int | None


class CountsView(View, frozen=True, kw_only=True):
    """How the deliveries of a day or a group ended."""

    key: str
    delivered: int
    failed: int
    skipped: int
    unknown: int
    removed: int
    """Delivered posts that were deleted again within seconds, for example by a moderation bot."""
    health: int | None
    """How many of 100 tried posts are still there; null when none was tried."""


class StatsPage(View, frozen=True, kw_only=True):
    """Totals, and the last days."""

    totals: StatsView
    by_day: list[CountsView]
    by_group: list[CountsView]
