"""What a dashboard shows of one user, in the same way as `api.views`."""

from collections.abc import Mapping
from datetime import date, datetime

from api.views import BotActual, BotWanted, ConfigView, ProgressView, View
from core.models import AllowanceUse, BannedSession, BotStatus, Event, Hold, Level, Session, SessionState, Stats
from data.journal_reads import Counts
from sessions.accounts import AccountState, health_of


class SessionView(View, frozen=True, kw_only=True):
    """One of the user's accounts and how it is."""

    name: str
    label: str
    health: AccountState
    """What it is fit for at this moment, in one word."""
    state: SessionState
    state_reason: str | None
    resting_until: datetime | None
    """Null once that has passed."""
    resting_reason: str | None
    last_used_at: datetime | None


class BannedView(View, frozen=True, kw_only=True):
    """An account the user lost for good."""

    name: str
    at: datetime
    reason: str
    replaced_by: str | None


class HoldView(View, frozen=True, kw_only=True):
    """Why an account leaves a group alone, and until when."""

    session: str
    until: datetime
    code: str
    reason: str


class GroupView(View, frozen=True, kw_only=True):
    """A group on the user's list."""

    name: str
    holds: list[HoldView]
    """Those that have not passed."""
    health: int | None
    """How many of 100 posts tried in the last 30 days stand; null when none was tried."""
    delivered: int
    failed: int
    removed: int
    """Of the delivered: taken away again within seconds, by a moderation bot say."""


class StateAllowance(View, frozen=True, kw_only=True):
    """How many posts the user may still make."""

    day: date
    """Today in the user's time zone; the month is this day's."""
    per_day: int
    per_month: int
    granted: int
    """More posts for this month, by an operator."""
    spent_today: int
    spent_this_month: int
    reserved: int
    """Posts of this month that are planned and not yet sent."""
    left: int


class LogLine(View, frozen=True, kw_only=True):
    """A line of the user's log."""

    id: int
    at: datetime
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
    last_activity: datetime | None


class StateView(View, frozen=True, kw_only=True):
    """Everything a dashboard shows, in one document. What time it is at the server says the header `Date`."""

    revision: int
    """Grows with every change; never goes back."""
    user_id: str
    bot_status: BotStatus
    wanted: BotWanted
    actual: BotActual
    status_reason: str | None
    next_run_at: datetime | None
    progress: ProgressView | None
    assigned_sessions: tuple[str, ...]
    sessions: list[SessionView]
    banned_sessions: list[BannedView]
    """Newest first."""
    config: ConfigView
    groups: list[GroupView]
    allowance: StateAllowance
    stats: StatsView
    logs: list[LogLine]
    """Newest first."""


def session_view(name: str, session: Session, now: datetime) -> SessionView:
    """An account as its user sees it."""
    health, reason, until = health_of(session, now)
    return SessionView(
        name=name,
        label=session.label,
        health=health,
        state=session.state,
        state_reason=session.state_reason,
        resting_until=until,
        resting_reason=reason if until is not None else None,
        last_used_at=session.last_used_at,
    )


def banned_view(banned: BannedSession) -> BannedView:
    """An account the user lost."""
    return BannedView(name=banned.name, at=banned.at, reason=banned.reason, replaced_by=banned.replaced_by)


def group_view(name: str, holds: Mapping[str, Hold], counts: Counts | None, now: datetime) -> GroupView:
    """A group, which accounts leave it alone, and how posts fared there."""
    return GroupView(
        name=name,
        holds=[
            HoldView(session=session, until=hold.until, code=hold.code, reason=hold.reason)
            for session, hold in sorted(holds.items())
            if hold.until > now
        ],
        health=counts.health if counts else None,
        delivered=counts.delivered if counts else 0,
        failed=counts.failed if counts else 0,
        removed=counts.removed if counts else 0,
    )


def state_allowance(use: AllowanceUse) -> StateAllowance:
    """The allowance without its history."""
    return StateAllowance(
        day=use.day,
        per_day=use.per_day,
        per_month=use.per_month,
        granted=use.granted,
        spent_today=use.spent_today,
        spent_this_month=use.spent_this_month,
        reserved=use.reserved_this_month,
        left=use.left,
    )


def stats_view(stats: Stats) -> StatsView:
    """The counters."""
    return StatsView(
        total_posts=stats.total_posts,
        total_success=stats.total_success,
        total_failures=stats.total_failures,
        total_flood_waits=stats.total_flood_waits,
        total_messages_sent=stats.total_messages_sent,
        last_activity=stats.last_activity,
    )


def log_line(event: Event) -> LogLine:
    """An event as its user reads it."""
    return LogLine(
        id=event.id,
        at=event.at,
        level=event.level,
        action=event.action,
        text=event.text,
        session=event.session,
        group=event.group,
    )
