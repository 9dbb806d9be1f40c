"""When the next cycle starts. Pure: no clock, no state.

A slot is the moment a run is for. Runs of a delay have their slot when the delay is over; runs of a calendar have it
at the moments the calendar names, and a slot that passes while nothing could begin is missed.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import TypeVar
from zoneinfo import ZoneInfo

from core.errors import InvalidInput, check_all
from core.models import Missed, Schedule, User
from scheduler.calendars import (
    Rule,
    clocks_go_back,
    cron_rule,
    hour_of_day,
    hour_rule,
    midnight,
    moment_of,
    next_moment,
    wall_of,
    zone,
)

T = TypeVar("T")

MISSED_COUNTED = 100
"""Missed slots are counted up to here."""
LARGE_JUMP = timedelta(hours=2)
"""A clock that goes back by more was wrong before: what was entered by it does not count any more."""
_FIRST_BACK_OFF_SECONDS = 30
_LONGEST_BACK_OFF_SECONDS = 3600
_MOST_SLOTS_IN_QUIET_HOURS = 100
_MOST_ENTRIES = {"cron": 20, "times": 48, "once": 200, "quiet_hours": 10}
_LONGEST_WRITTEN = 500
"""Characters; a cron expression that names every minute, hour, day, month and weekday one by one has about 400."""
_MOST_CYCLES = 1_000_000_000
_MOMENT = timedelta(microseconds=1)
_FIRST_YEAR, _LAST_YEAR = 1970, 2199
"""Years a schedule may name: cron expressions are met until 2200, and no date can be reckoned with near 9999."""
_FIRST_DAY, _LAST_DAY = date(_FIRST_YEAR, 1, 1), date(_LAST_YEAR, 12, 31)


@dataclass(frozen=True)
class NextRun:
    """What comes next."""

    at: datetime | None
    """None: the schedule is over."""
    missed: int = 0
    """Slots that passed without a run; with `run_once` the next run makes up for them."""
    over: str = ""
    """Why nothing comes, in words for the bot's user."""


def has_calendar(schedule: Schedule) -> bool:
    """Whether moments are named, so that the delay between cycles does not count."""
    return bool(schedule.cron or schedule.times or schedule.once)


def first_run(user: User, now: datetime) -> NextRun:
    """The first run of a bot that is started: at once, or when its calendar says."""
    if has_calendar(user.schedule):
        return _bounded(user, _calendar_slot(user.schedule, now))
    return _bounded(user, allowed_from(user.schedule, now))


def after_cycle(user: User, slot: datetime, now: datetime) -> NextRun:
    """The run after one of `slot` that just ended; `user.cycles_done` counts it already."""
    schedule = user.schedule
    if not has_calendar(schedule):
        return _bounded(user, allowed_from(schedule, now + timedelta(seconds=user.delay_between_cycles)))
    if slot - now > LARGE_JUMP:
        slot = now
    missed, first_to_come = _missed_since(schedule, slot, now)
    if missed and schedule.missed is Missed.RUN_ONCE:
        return _bounded(user, allowed_from(schedule, now), missed)
    return _bounded(user, first_to_come, missed)


def when_late(user: User, slot: datetime, now: datetime) -> NextRun:
    """What becomes of a run whose slot passed long ago, because the daemon did not run or the machine slept."""
    schedule = user.schedule
    calendar = has_calendar(schedule)
    if calendar:
        missed, first_to_come = _missed_since(schedule, slot, now)
    else:
        delay = max(1.0, user.delay_between_cycles)
        missed = min(MISSED_COUNTED, int((now - slot).total_seconds() // delay))
        first_to_come = allowed_from(schedule, slot + timedelta(seconds=delay * (1 + missed)))
    if schedule.missed is Missed.SKIP:
        return _bounded(user, first_to_come, missed + 1)
    return _bounded(user, allowed_from(schedule, now), missed + 1)


def not_before(user: User, at: datetime) -> NextRun:
    """A run that is put off to that moment."""
    return _bounded(user, allowed_from(user.schedule, at))


def after_jump(user: User, slot: datetime, now: datetime, jump: timedelta) -> NextRun:
    """The entered run after the clock was set back by `-jump`: what is left to wait stays, a calendar is a calendar."""
    if not has_calendar(user.schedule):
        return _bounded(user, allowed_from(user.schedule, slot + jump))
    if -jump > LARGE_JUMP:
        return _bounded(user, _calendar_slot(user.schedule, now))
    return NextRun(slot)


def next_try(user: User, failed_at: datetime, failures_in_a_row: int, *, cut_off: bool) -> NextRun:
    """The cycle after one that broke off: later with each failure in a row. One that was `cut_off` is gone on with, so
    its posts do not wait for the user's delay."""
    back_off = min(_LONGEST_BACK_OFF_SECONDS, _FIRST_BACK_OFF_SECONDS * 2 ** (failures_in_a_row - 1))
    delay = 0.0 if cut_off or has_calendar(user.schedule) else user.delay_between_cycles
    return _bounded(user, allowed_from(user.schedule, failed_at + timedelta(seconds=max(delay, back_off))))


def check_schedule(schedule: Schedule) -> None:
    """Refuse what cannot be meant.

    Raises:
        InvalidInput: naming the field and the fix.
    """
    _check_sizes(schedule)
    check_all(
        (
            partial(_checked, "timezone", zone, schedule.timezone),
            *(partial(_checked, "cron", cron_rule, written) for written in schedule.cron),
            *(partial(_checked, "times", hour_rule, written) for written in schedule.times),
            *(partial(_checked, "quiet_hours", _window, written) for written in schedule.quiet_hours),
            *_bounds(schedule),
        )
    )
    tz = zone(schedule.timezone)
    if schedule.quiet_hours and _all_day_is_quiet(schedule):
        raise InvalidInput("schedule.quiet_hours", "they leave no hour of the day to post in")
    start = midnight(schedule.starts_on, tz) if schedule.starts_on else datetime(2026, 1, 1, tzinfo=UTC)
    if (schedule.cron or schedule.times) and not schedule.once:
        first = _calendar_slot(schedule, start - _MOMENT)
        # Without a first day there may have been moments before the last one: the bot is told when it starts.
        over = schedule.starts_on and schedule.ends_on and first and wall_of(first, tz).date() > schedule.ends_on
        if first is None or over:
            raise InvalidInput("schedule", "cron and times name no moment outside the quiet hours and within the dates")


def _check_sizes(schedule: Schedule) -> None:
    """Nothing is read before it is known to be short: what a long expression costs, it costs at every run."""
    for name, most in _MOST_ENTRIES.items():
        if len(getattr(schedule, name)) > most:
            raise InvalidInput(f"schedule.{name}", f"name at most {most}")
    for name in ("cron", "times", "quiet_hours"):
        if any(len(written) > _LONGEST_WRITTEN for written in getattr(schedule, name)):
            raise InvalidInput(f"schedule.{name}", f"write each with at most {_LONGEST_WRITTEN} characters")
    if len(schedule.timezone) > _LONGEST_WRITTEN:
        raise InvalidInput("schedule.timezone", f"write an IANA name of at most {_LONGEST_WRITTEN} characters")


def _bounds(schedule: Schedule) -> Iterator[Callable[[], None]]:
    yield partial(_check_years, "starts_on", schedule.starts_on)
    yield partial(_check_years, "ends_on", schedule.ends_on)
    yield partial(_check_years, "once", *schedule.once)
    yield partial(_check_order, schedule)
    yield partial(_check_cycles, schedule)


def _check_order(schedule: Schedule) -> None:
    if schedule.starts_on and schedule.ends_on and schedule.ends_on < schedule.starts_on:
        raise InvalidInput("schedule.ends_on", "it is before starts_on")


def _check_cycles(schedule: Schedule) -> None:
    if schedule.max_cycles is not None and not 1 <= schedule.max_cycles <= _MOST_CYCLES:
        raise InvalidInput("schedule.max_cycles", f"write a number from 1 to {_MOST_CYCLES}, or null for no end")


def _check_years(field: str, *days: date | None) -> None:
    if any(day is not None and not _FIRST_YEAR <= day.year <= _LAST_YEAR for day in days):
        raise InvalidInput(f"schedule.{field}", f"name days of the years {_FIRST_YEAR} to {_LAST_YEAR}")


def _checked(field: str, read: Callable[[str], T], written: str) -> T:
    try:
        return read(written)
    except ValueError as error:
        raise InvalidInput(f"schedule.{field}", str(error)) from None


# Slots.


def _missed_since(schedule: Schedule, slot: datetime, now: datetime) -> tuple[int, datetime | None]:
    """How many slots lie in (slot, now], and the first after now."""
    missed = 0
    for coming in _slots(schedule, slot):
        if coming > now:
            return missed, coming
        missed += 1
        if missed >= MISSED_COUNTED:
            return missed, _calendar_slot(schedule, now)
    return missed, None


def _calendar_slot(schedule: Schedule, after: datetime) -> datetime | None:
    """The first moment the calendar names after that one."""
    return next(_slots(schedule, after), None)


def _slots(schedule: Schedule, after: datetime) -> Iterator[datetime]:
    """The moments the calendar names after that one, in order, outside quiet hours and not before the start date."""
    tz = zone(schedule.timezone)
    if schedule.starts_on is not None:
        after = max(after, _beginning_of(schedule.starts_on, tz) - _MOMENT)
    rules = [cron_rule(written) for written in schedule.cron] + [hour_rule(written) for written in schedule.times]
    singles = sorted({allowed_from(schedule, _single(moment, tz)) for moment in schedule.once})
    coming: list[tuple[datetime, Rule | None]] = [(moment, None) for moment in singles if moment > after]
    coming += [(slot, rule) for rule in rules if (slot := _rule_slot(schedule, rule, after, tz)) is not None]
    while coming:
        slot = min(coming, key=lambda entry: entry[0])[0]
        yield slot
        over = [rule for moment, rule in coming if moment == slot and rule is not None]
        coming = [entry for entry in coming if entry[0] > slot]
        coming += [(later, rule) for rule in over if (later := _rule_slot(schedule, rule, slot, tz)) is not None]


def _rule_slot(schedule: Schedule, rule: Rule, after: datetime, tz: ZoneInfo) -> datetime | None:
    for _ in range(_MOST_SLOTS_IN_QUIET_HOURS):
        slot = next_moment(rule, after, tz)
        if slot is None:
            return None
        loud = _loud_from(schedule, slot, tz)
        if loud == slot:
            return slot
        after = loud - _MOMENT
    return None


def _single(moment: datetime, tz: ZoneInfo) -> datetime:
    """A single run's moment. What is stored may name any year: one out of bounds counts as the nearest day in them."""
    if not _FIRST_YEAR <= moment.year <= _LAST_YEAR:
        return _beginning_of(moment.date(), tz)
    return moment.astimezone(UTC) if moment.tzinfo is not None else moment_of(moment, tz)


# Bounds: quiet hours, dates, number of cycles.


def _bounded(user: User, at: datetime | None, missed: int = 0) -> NextRun:
    schedule = user.schedule
    if schedule.max_cycles is not None and user.cycles_done >= schedule.max_cycles:
        done = "1 cycle is" if schedule.max_cycles == 1 else f"{schedule.max_cycles} cycles are"
        return NextRun(None, missed, f"its {done} done")
    if at is None:
        return NextRun(None, missed, "its schedule names no further moment")
    if schedule.ends_on is not None and wall_of(at, zone(schedule.timezone)).date() > schedule.ends_on:
        return NextRun(None, missed, f"its schedule names no further moment up to its last day, {schedule.ends_on}")
    return NextRun(at, missed)


def allowed_from(schedule: Schedule, at: datetime) -> datetime:
    """The first moment from `at` on that is not before the start date and not in quiet hours."""
    if schedule.starts_on is None and not schedule.quiet_hours:
        return at
    tz = zone(schedule.timezone)
    if schedule.starts_on is not None:
        at = max(at, _beginning_of(schedule.starts_on, tz))
    return _loud_from(schedule, at, tz)


def _beginning_of(day: date, tz: ZoneInfo) -> datetime:
    """The moment a day begins there. What is stored may name any: one out of bounds counts as the nearest in them."""
    return midnight(min(max(day, _FIRST_DAY), _LAST_DAY), tz)


def _loud_from(schedule: Schedule, at: datetime, tz: ZoneInfo) -> datetime:
    windows = [_window(written) for written in schedule.quiet_hours]
    for _ in range(4 * len(windows)):
        wall = wall_of(at, tz)
        minute = wall.hour * 60 + wall.minute
        for start, end in windows:
            if start <= minute < end or (start > end and (minute >= start or minute < end)):
                at = _end_of(at, wall, end, tz)
                break
        else:
            return at
    return at


def _end_of(at: datetime, wall: datetime, end: int, tz: ZoneInfo) -> datetime:
    midnight_before = wall.replace(hour=0, minute=0, second=0, microsecond=0)
    ends = midnight_before + timedelta(minutes=end, days=int(wall >= midnight_before + timedelta(minutes=end)))
    over = moment_of(ends, tz)
    if over <= at:  # in an hour that comes twice the first one may be over already
        over = ends.replace(tzinfo=tz, fold=1).astimezone(UTC)
    # Clocks that are set back may show a time before the quiet hours again.
    return clocks_go_back(at, over, tz) or over


def _window(written: str) -> tuple[int, int]:
    """Minutes of the day: from, and until (not included). Raises ValueError."""
    first, dash, last = written.partition("-")
    if not dash:
        raise ValueError(f"{written!r} is no span of hours; write it as HH:MM-HH:MM, for example 22:00-07:00")
    start, end = hour_of_day(first.strip()), hour_of_day(last.strip())
    if start == end:
        raise ValueError(f"{written!r} begins when it ends")
    return start.hour * 60 + start.minute, end.hour * 60 + end.minute


def _all_day_is_quiet(schedule: Schedule) -> bool:
    quiet: set[int] = set()
    for start, end in map(_window, schedule.quiet_hours):
        quiet.update(range(start, end) if start < end else [*range(start, 1440), *range(end)])
    return len(quiet) == 1440
