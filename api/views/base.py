"""What the API shows, one struct for each shape. msgspec encodes a struct and describes it for OpenAPI."""

from collections.abc import Sequence
from datetime import date
from enum import StrEnum
from typing import Any, Self

import msgspec

from bot.cycle.run import CycleProgress
from core.models import AllowanceDay, AllowanceUse, BotStatus, Grant, Moment, PostContent, PostType, Schedule, User


class View(msgspec.Struct, frozen=True, kw_only=True):
    """Base of every response."""

    @classmethod
    def of(cls, source: object, **others: Any) -> Self:
        """Return a view with the source's attributes of the same names, and the other values."""
        same = {name: getattr(source, name) for name in cls.__struct_fields__ if name not in others}
        return cls(**same, **others)


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
    """The running cycle."""

    cycle: int
    total: int
    done: int
    delivered: int


class BotWanted(StrEnum):
    """What the user last asked of the bot."""

    RUNNING = "running"
    STOPPED = "stopped"


class BotActual(StrEnum):
    """What the bot does now."""

    POSTING = "posting"
    """A cycle runs."""
    WAITING = "waiting"
    """The bot runs and waits for its next cycle."""
    STOPPING = "stopping"
    """The current cycle, or the post in flight, is being finished."""
    STOPPED = "stopped"
    ERROR = "error"
    """The bot stopped by itself; `status_reason` says why."""


class BotView(View, frozen=True, kw_only=True):
    """What a bot does now."""

    bot_status: BotStatus
    wanted: BotWanted
    actual: BotActual
    status_reason: str | None
    next_run_at: Moment | None
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
    """Seconds within which it can be used, once."""


class GrantView(View, frozen=True, kw_only=True):
    """What a login gives."""

    access_token: str
    token_type: str
    expires_in: float
    """Seconds the access token is valid."""
    refresh_token: str
    """Good once, for the next pair of tokens."""


class AllowanceNow(View, frozen=True, kw_only=True):
    """How many posts a user may still make."""

    day: date
    """Today in the user's time zone. The month is the one of this day."""
    per_day: int
    per_month: int
    granted: int
    """More posts that an operator granted for this month."""
    spent_today: int
    spent_this_month: int
    reserved: int
    """Posts of this month that are planned and not yet sent."""
    left: int


class AllowanceView(AllowanceNow, frozen=True, kw_only=True):
    """How many posts a user may make, and how many they made."""

    uncounted: int
    """Posts of this month that count as used although nobody knows how they ended."""
    history: list[AllowanceDay]
    """Newest first."""
    grants: list[Grant]


class AllowanceOverview(View, frozen=True, kw_only=True):
    """Every user's allowance, without histories."""

    users: dict[str, AllowanceView]


class PasswordView(View, frozen=True, kw_only=True):
    """The result of setting a password."""

    user_id: str
    tokens_ended: bool
    """True: every access and refresh token of the user until now is refused."""
    message: str

    @classmethod
    def of_user(cls, user_id: str) -> Self:
        """Return the view for every change of a password."""
        text = "The password is set. Every token of this user made until now is refused: log in anew."
        return cls(user_id=user_id, tokens_ended=True, message=text)


class MeView(View, frozen=True, kw_only=True):
    """What the caller's token says."""

    user_id: str
    roles: list[str]
    scopes: list[str] | None
    """Null: everything the user may do."""
    expires_at: Moment


def wanted(status: BotStatus) -> BotWanted:
    """Return what the user wants. A bot that stopped with an error was not asked to stop."""
    return BotWanted.RUNNING if status in {BotStatus.RUNNING, BotStatus.ERROR} else BotWanted.STOPPED


def actual(status: BotStatus, *, running: bool) -> BotActual:
    """Return what the bot does; `running`: one of its cycles runs."""
    if status is BotStatus.RUNNING:
        return BotActual.POSTING if running else BotActual.WAITING
    return BotActual(status.value)


def bot_view(user: User, progress: CycleProgress | None) -> BotView:
    """Return what the user's bot does."""
    return BotView(
        bot_status=user.bot_status,
        wanted=wanted(user.bot_status),
        actual=actual(user.bot_status, running=progress is not None),
        status_reason=user.status_reason,
        next_run_at=user.next_run_at,
        progress=progress_view(progress),
    )


def allowance_view(use: AllowanceUse, days: Sequence[AllowanceDay] = (), grants: Sequence[Grant] = ()) -> AllowanceView:
    """Return the view of a user's allowance."""
    return AllowanceView.of(use, reserved=use.reserved_this_month, history=list(days), grants=list(grants))


def progress_view(progress: CycleProgress | None) -> ProgressView | None:
    """Return how far the cycle is, None when none runs."""
    if progress is None:
        return None
    return ProgressView(cycle=progress.cycle, total=progress.total, done=progress.done, delivered=progress.delivered)
