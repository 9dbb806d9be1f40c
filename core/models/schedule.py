"""When cycles start."""

from datetime import date, datetime
from enum import StrEnum

from core.models.base import Model
from core.pasted import peel_fields


class Missed(StrEnum):
    """What happens to runs that could not begin at their time."""

    RUN_ONCE = "run_once"
    """One run makes up for all of them."""
    SKIP = "skip"


class Schedule(Model, frozen=True, kw_only=True):
    """When cycles start. Without `cron`, `times` and `once` the delay between cycles decides.

    Hours and dates are those of `timezone`. An hour that daylight saving skips counts as the moment it ends; one that
    comes twice counts once. A cron expression of every hour follows real time instead.
    """

    timezone: str = "UTC"
    """IANA name, such as "Europe/Berlin". Allowances are counted by its days and months too."""
    cron: tuple[str, ...] = ()
    """Expressions of five fields: minute hour day month weekday (0 and 7: Sunday)."""
    times: tuple[str, ...] = ()
    """Every day at these hours: "09:00"."""
    once: tuple[datetime, ...] = ()
    """Single runs; a moment without an offset is one of `timezone`."""
    quiet_hours: tuple[str, ...] = ()
    """No cycle starts in these hours: "22:00-07:00", the end not included. Single runs wait for the end."""
    starts_on: date | None = None
    ends_on: date | None = None
    """The last day on which a cycle may start."""
    max_cycles: int | None = None
    """The bot stops after so many cycles since its start."""
    missed: Missed = Missed.RUN_ONCE

    def __post_init__(self) -> None:
        peel_fields(self, "timezone", "cron", "times", "quiet_hours")
