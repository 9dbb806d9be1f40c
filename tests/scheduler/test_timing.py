"""When the next cycle starts."""

from datetime import timedelta

from core.models import User
from scheduler.timing import next_run, next_try
from tests.support.clock import START


def test_the_next_cycle_starts_the_users_delay_after_the_end_of_this_one() -> None:
    assert next_run(User(delay_between_cycles=90), START) == START + timedelta(seconds=90)


def test_broken_cycles_wait_longer_each_time_up_to_an_hour_and_never_less_than_the_users_delay() -> None:
    waits = [(next_try(User(delay_between_cycles=1), START, n) - START).total_seconds() for n in (1, 2, 3, 20)]
    assert waits == [30, 60, 120, 3600]
    assert next_try(User(delay_between_cycles=7200), START, 1) == START + timedelta(hours=2)
