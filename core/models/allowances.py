"""How many posts a user may make, and how many were made."""

from datetime import date

from core.models.base import Model, Moment


class Allowance(Model, frozen=True, kw_only=True):
    """How many posts a user may make. None: the limit of the settings."""

    per_day: int | None = None
    per_month: int | None = None


class Budget(Model, frozen=True, kw_only=True):
    """What a user may spend on one day of their own time zone, and in its month, before grants."""

    day: date
    per_day: int
    per_month: int


class AllowanceUse(Model, frozen=True, kw_only=True):
    """What a user used of their allowance. Posts whose outcome is unknown count as spent."""

    day: date
    """Today in the user's time zone; the month is this day's."""
    per_day: int
    per_month: int
    granted: int
    """More posts for this month, by the operator."""
    spent_today: int
    spent_this_month: int
    reserved_today: int
    """Planned and not yet sent."""
    reserved_this_month: int
    uncounted: int
    """Posts of this month whose outcome is unknown, or that nothing was reserved for. They are among the spent ones."""

    @property
    def left(self) -> int:
        """Posts that may still be planned now."""
        today = self.per_day + self.granted - self.spent_today - self.reserved_today
        month = self.per_month + self.granted - self.spent_this_month - self.reserved_this_month
        return max(0, min(today, month))

    @property
    def used_up_text(self) -> str:
        """Why nothing more is planned, in words for the user."""
        if self.per_month + self.granted - self.spent_this_month - self.reserved_this_month <= self.left:
            return f"your {self.per_month + self.granted} posts of this month are used up; a new month brings new ones"
        return f"your {self.per_day + self.granted} posts of today are used up; tomorrow brings new ones"


class AllowanceDay(Model, frozen=True, kw_only=True):
    """What a user spent on one day."""

    day: date
    spent: int
    uncounted: int


class Grant(Model, frozen=True, kw_only=True):
    """More posts for a user in one month, given by an operator."""

    user: str
    month: str
    """Such as 2026-03."""
    posts: int
    at: Moment
    by: str
    note: str = ""
