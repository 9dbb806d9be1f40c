"""When the next cycle starts. Pure: no clock, no state."""

from datetime import datetime, timedelta

from core.models import User

_FIRST_BACK_OFF_SECONDS = 30
_LONGEST_BACK_OFF_SECONDS = 3600


def next_run(user: User, finished_at: datetime) -> datetime:
    """The start of the cycle after the one that just ended."""
    return finished_at + timedelta(seconds=user.delay_between_cycles)


def next_try(user: User, failed_at: datetime, failures_in_a_row: int) -> datetime:
    """The start of the cycle after one that broke off: later with each failure in a row."""
    back_off = min(_LONGEST_BACK_OFF_SECONDS, _FIRST_BACK_OFF_SECONDS * 2 ** (failures_in_a_row - 1))
    return failed_at + timedelta(seconds=max(user.delay_between_cycles, back_off))
