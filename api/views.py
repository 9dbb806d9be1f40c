"""What the API shows of the truth: one struct a shape; msgspec encodes it and describes it for OpenAPI."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime

import msgspec

from bot.run import CycleProgress
from core.models import (
    AllowanceDay,
    AllowanceUse,
    BotStatus,
    Delivery,
    DeliveryState,
    Event,
    Grant,
    Hold,
    Level,
    PostContent,
    PostType,
    Schedule,
    Session,
    SessionState,
    Stats,
    User,
)


class View(msgspec.Struct, frozen=True, kw_only=True):
    """Base of every answer."""


class ConfigView(View, frozen=True, kw_only=True):
    """What a bot posts, where and how often."""

    groups: tuple[str, ...]
    post_type: PostType
    post_content: str | PostContent
    delay_between_posts: float
    """Seconds an account rests between two posts."""
    delay_between_cycles: float
    """Seconds from the end of a cycle to the start of the next, where the schedule names no moments."""
    schedule: Schedule


class ProgressView(View, frozen=True, kw_only=True):
    """The cycle that runs."""

    cycle: int
    total: int
    done: int
    delivered: int


class SessionView(View, frozen=True, kw_only=True):
    """One of the user's accounts and how it is."""

    name: str
    state: SessionState
    state_reason: str | None
    resting_until: datetime | None
    resting_reason: str | None
    last_used_at: datetime | None


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


class BotView(View, frozen=True, kw_only=True):
    """What a bot does now."""

    bot_status: BotStatus
    status_reason: str | None
    next_run_at: datetime | None
    progress: ProgressView | None


class BotChangeView(View, frozen=True, kw_only=True):
    """What a start or stop did."""

    bot_status: BotStatus
    changed: bool
    """False when it already was so."""
    message: str


class TicketView(View, frozen=True, kw_only=True):
    """A one-time ticket."""

    ticket: str
    expires_in: float
    """Seconds it can be used within, once."""


class GrantView(View, frozen=True, kw_only=True):
    """What a login gives."""

    access_token: str
    token_type: str
    expires_in: float
    """Seconds the access token is valid."""
    refresh_token: str
    """Good once, for the next pair of tokens."""


class AllowanceView(View, frozen=True, kw_only=True):
    """How many posts a user may make, and how many they made."""

    day: date
    """Today in the user's time zone."""
    per_day: int
    per_month: int
    granted: int
    """More posts for this month, by an operator."""
    spent_today: int
    spent_this_month: int
    reserved: int
    """Posts of this month that are planned and not yet sent."""
    uncounted: int
    """Spent posts of this month whose end nobody knows."""
    left: int
    history: list[AllowanceDay]
    """Newest first."""
    grants: list[Grant]


class AllowanceOverview(View, frozen=True, kw_only=True):
    """Every user's allowance, without histories."""

    users: dict[str, AllowanceView]


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
    planned_at: datetime
    finished_at: datetime | None


class DeliveryPage(View, frozen=True, kw_only=True):
    """Deliveries, newest first."""

    items: list[DeliveryView]
    next_before: int | None
    """Ask for the next page with `before` set to it; null on the last."""


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
    """Of the delivered: taken away again within seconds, by a moderation bot say."""
    health: int | None
    """How many of 100 posts that were tried stand; null when none was tried."""


class StatsPage(View, frozen=True, kw_only=True):
    """Totals, and the last days."""

    totals: StatsView
    by_day: list[CountsView]
    by_group: list[CountsView]


class MeView(View, frozen=True, kw_only=True):
    """What the caller's token says."""

    user_id: str
    roles: list[str]
    scopes: list[str] | None
    """Null: everything the user may do."""
    expires_at: datetime


class StateView(View, frozen=True, kw_only=True):
    """Everything a dashboard shows, in one document."""

    revision: int
    """Grows with every change; never goes back."""
    user_id: str
    bot_status: BotStatus
    status_reason: str | None
    next_run_at: datetime | None
    progress: ProgressView | None
    assigned_sessions: tuple[str, ...]
    sessions: list[SessionView]
    config: ConfigView
    groups: list[GroupView]
    stats: StatsView
    logs: list[LogLine]
    """Newest first."""


def config_view(user: User) -> ConfigView:
    """The part of a user that they set themselves."""
    return ConfigView(
        groups=user.groups,
        post_type=user.post_type,
        post_content=user.post_content,
        delay_between_posts=user.delay_between_posts,
        delay_between_cycles=user.delay_between_cycles,
        schedule=user.schedule,
    )


def bot_view(user: User, progress: CycleProgress | None) -> BotView:
    """What the user's bot does."""
    return BotView(
        bot_status=user.bot_status,
        status_reason=user.status_reason,
        next_run_at=user.next_run_at,
        progress=progress_view(progress),
    )


def allowance_view(use: AllowanceUse, days: Sequence[AllowanceDay] = (), grants: Sequence[Grant] = ()) -> AllowanceView:
    """A user's allowance."""
    return AllowanceView(
        day=use.day,
        per_day=use.per_day,
        per_month=use.per_month,
        granted=use.granted,
        spent_today=use.spent_today,
        spent_this_month=use.spent_this_month,
        reserved=use.reserved_this_month,
        uncounted=use.uncounted,
        left=use.left,
        history=list(days),
        grants=list(grants),
    )


def progress_view(progress: CycleProgress | None) -> ProgressView | None:
    """How far the cycle is."""
    if progress is None:
        return None
    return ProgressView(cycle=progress.cycle, total=progress.total, done=progress.done, delivered=progress.delivered)


def session_view(name: str, session: Session) -> SessionView:
    """An account as its user sees it."""
    return SessionView(
        name=name,
        state=session.state,
        state_reason=session.state_reason,
        resting_until=session.hold.until if session.hold else None,
        resting_reason=session.hold.reason if session.hold else None,
        last_used_at=session.last_used_at,
    )


def group_view(name: str, holds: Mapping[str, Hold]) -> GroupView:
    """A group and which accounts leave it alone."""
    return GroupView(
        name=name,
        holds=[
            HoldView(session=session, until=hold.until, code=hold.code, reason=hold.reason)
            for session, hold in sorted(holds.items())
        ],
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


def delivery_view(delivery: Delivery) -> DeliveryView:
    """A delivery as its user sees it."""
    return DeliveryView(
        id=delivery.id,
        cycle=delivery.cycle,
        group=delivery.group,
        session=delivery.session,
        part=delivery.part,
        state=delivery.state,
        error=delivery.error,
        reason=delivery.reason,
        message_id=delivery.message_id,
        planned_at=delivery.planned_at,
        finished_at=delivery.finished_at,
    )
