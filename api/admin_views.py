"""What operators are shown, in the same way as `api.views`."""

from datetime import datetime

from api.views import View
from core.models import BotStatus, SessionState


class UserLine(View, frozen=True, kw_only=True):
    """A user, as an operator sees them in the list."""

    user_id: str
    bot_status: BotStatus
    status_reason: str | None
    next_run_at: datetime | None
    groups: int
    assigned_sessions: int
    banned_sessions: int
    total_success: int
    total_failures: int


class UserList(View, frozen=True, kw_only=True):
    """Users in the order of their ids."""

    items: list[UserLine]
    next_after: str | None


class PoolLine(View, frozen=True, kw_only=True):
    """An account of the pool."""

    name: str
    state: SessionState
    state_reason: str | None
    api_id: int | None
    owner: str | None
    assigned_to: str | None
    resting_until: datetime | None


class PoolList(View, frozen=True, kw_only=True):
    """Every account there is."""

    items: list[PoolLine]


class Overview(View, frozen=True, kw_only=True):
    """The service at a glance."""

    revision: int
    users: int
    running: int
    sessions: dict[str, int]
    """state → accounts"""
    api_pairs: dict[str, int]
    """api_id → accounts on it"""
    streams: int


class Readiness(View, frozen=True, kw_only=True):
    """Whether the service can work, dependency by dependency."""

    ready: bool
    checks: dict[str, str]
    """Name → `ok` or what is wrong."""


SHOWN = (UserLine, UserList, PoolLine, PoolList, Overview, Readiness)
