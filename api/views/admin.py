"""Views for operators, built like those of `api.views.base`."""

from api.views.base import View
from core.models import BotStatus, Moment
from scheduler.overview import CycleOverview, JobRun, RestingAccount


class UserLine(View, frozen=True, kw_only=True):
    """A user, as an operator sees them in the list."""

    user_id: str
    bot_status: BotStatus
    status_reason: str | None
    next_run_at: Moment | None
    groups: int
    assigned_sessions: int
    banned_sessions: int
    total_success: int
    total_failures: int


class UserList(View, frozen=True, kw_only=True):
    """Users in the order of their ids."""

    items: list[UserLine]
    next_after: str | None


class BanLine(View, frozen=True, kw_only=True):
    """An account that was lost for good."""

    session: str
    user: str | None
    """The user whose bot it posted for; null for a spare account."""
    at: Moment | None
    """When it was banned; null when that is not known."""
    reason: str | None
    replaced_by: str | None


class WaveLine(View, frozen=True, kw_only=True):
    """A bot that stopped because several of its accounts were banned within a short time."""

    user: str
    bans: int
    last_at: Moment


class BanList(View, frozen=True, kw_only=True):
    """Every ban, newest first, and the bots that stopped after a wave of bans."""

    items: list[BanLine]
    waves: list[WaveLine]


class JobList(View, frozen=True, kw_only=True):
    """The jobs of the housekeeping."""

    items: list[JobRun]


class AdminOverview(View, frozen=True, kw_only=True):
    """The service at a glance."""

    revision: int
    started_at: Moment
    users: dict[str, int]
    """bot status → users"""
    sessions: dict[str, int]
    """state → accounts"""
    api_pairs: dict[str, int]
    """api_id → accounts on it"""
    running: list[CycleOverview]
    """Cycles that run; the first 500."""
    waiting: int
    """Bots that wait for their next cycle."""
    next_due_at: Moment | None
    resting: list[RestingAccount]
    """Accounts that rest; the first 500."""
    connections: int
    """Connections to Telegram that are open."""
    streams: int
    """Dashboards that are connected."""
    tasks: int
    jobs: list[JobRun]


class Readiness(View, frozen=True, kw_only=True):
    """Whether the service can work, dependency by dependency."""

    ready: bool
    checks: dict[str, str]
    """Name → `ok` or what is wrong."""
