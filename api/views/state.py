"""Views of one user for a dashboard, built like those of `api.views.base`."""

from collections.abc import Mapping
from datetime import datetime

from api.views.base import AllowanceNow, BotActual, BotWanted, ConfigView, ProgressView, View
from core.models import BotStatus, Event, Hold, Level, Moment, Session, SessionState
from data.journal.reads import Counts
from sessions.roster.accounts import AccountState, health_of


class SessionView(View, frozen=True, kw_only=True):
    """One of the user's accounts and how it is."""

    name: str
    label: str
    health: AccountState
    """What the account can do now, in one word."""
    state: SessionState
    state_reason: str | None
    resting_until: Moment | None
    """Until when the account rests; null when it does not."""
    resting_reason: str | None
    last_used_at: Moment | None


class BannedView(View, frozen=True, kw_only=True):
    """An account the user lost for good."""

    name: str
    at: Moment
    reason: str
    replaced_by: str | None


class HoldView(View, frozen=True, kw_only=True):
    """Why an account leaves a group alone, and until when."""

    session: str
    until: Moment
    code: str
    reason: str


class GroupView(View, frozen=True, kw_only=True):
    """A group on the user's list."""

    name: str
    holds: list[HoldView]
    """The holds that have not ended."""
    health: int | None
    """How many of 100 posts tried in the last 30 days are still there; null when none was tried."""
    delivered: int
    failed: int
    removed: int
    """Delivered posts that were deleted again within seconds, for example by a moderation bot."""


class LogLine(View, frozen=True, kw_only=True):
    """A line of the user's log."""

    id: int
    at: Moment
    level: Level
    action: str
    text: str
    session: str | None
    group: str | None


class StatsView(View, frozen=True, kw_only=True):
    """The user's counters."""

    total_posts: int
    total_success: int
    total_failures: int
    total_flood_waits: int
    total_messages_sent: int
    last_activity: Moment | None


class StateView(View, frozen=True, kw_only=True):
    """Everything a dashboard shows, in one document."""

    server_time: Moment
    """The time of the response, to the second. A new time alone is no change of the document."""
    revision: int
    """Grows with every change and never shrinks."""
    user_id: str
    bot_status: BotStatus
    wanted: BotWanted
    actual: BotActual
    status_reason: str | None
    next_run_at: Moment | None
    progress: ProgressView | None
    assigned_sessions: tuple[str, ...]
    sessions: list[SessionView]
    banned_sessions: list[BannedView]
    """Newest first."""
    config: ConfigView
    groups: list[GroupView]
    allowance: AllowanceNow
    stats: StatsView
    logs: list[LogLine]
    """Newest first."""


def session_view(name: str, session: Session, now: datetime, *, posting: bool) -> SessionView:
    """Return an account as its user sees it; `posting`: it posts in the running cycle."""
    health, reason, until = health_of(session, now, posting=posting)
    return SessionView.of(
        session,
        name=name,
        health=health,
        resting_until=until,
        resting_reason=reason if until is not None else None,
    )


def group_view(name: str, holds: Mapping[str, Hold], counts: Counts | None, now: datetime) -> GroupView:
    """Return a group, the accounts that leave it alone, and how posts fared there."""
    return GroupView(
        name=name,
        holds=[HoldView.of(hold, session=session) for session, hold in sorted(holds.items()) if hold.until > now],
        health=counts.health if counts else None,
        delivered=counts.delivered if counts else 0,
        failed=counts.failed if counts else 0,
        removed=counts.removed if counts else 0,
    )


def log_line(event: Event) -> LogLine:
    """Return an event as its user reads it."""
    return LogLine(
        id=event.id,
        at=event.at,
        level=event.level,
        action=event.action,
        text=event.text,
        session=event.session,
        group=event.group,
    )
