"""How many posts a user may make, by their own calendar. The journal counts what they made."""

from datetime import datetime
from zoneinfo import ZoneInfo

from core.models import Budget, User
from core.settings import Settings
from data.journal.allowances import NO_ALLOWANCE

__all__ = ["NO_ALLOWANCE", "budget_of"]


def budget_of(user: User, settings: Settings, now: datetime) -> Budget:
    """Return what the user may spend today and this month in their time zone. Limits that are not set are defaults."""
    return Budget(
        day=now.astimezone(ZoneInfo(user.schedule.timezone)).date(),
        per_day=settings.posts_per_day if user.allowance.per_day is None else user.allowance.per_day,
        per_month=settings.posts_per_month if user.allowance.per_month is None else user.allowance.per_month,
    )
