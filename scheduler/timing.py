"""When the next cycle starts. Pure: no clock, no state.

Each run is scheduled for a moment: the end of the delay between cycles, or a moment that the calendar names. A moment
that passes while nothing could begin is missed.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
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
"""Missed moments are counted up to here."""
LARGE_JUMP = timedelta(hours=2)
"""A clock that goes back by more was wrong before, so runs that were entered by it no longer count."""
_FIRST_BACK_OFF_SECONDS = 30
_LONGEST_BACK_OFF_SECONDS = 3600
_MOST_IN_QUIET_HOURS = 100
MOST_ENTRIES = {"cron": 20, "times": 48, "once": 200, "quiet_hours": 10}
_LONGEST_WRITTEN = 500
"""Characters; a cron expression that names every minute, hour, day, month and weekday one by one has about 400."""
_MOST_CYCLES = 1_000_000_000
_MOMENT = timedelta(microseconds=1)
_FIRST_YEAR, _LAST_YEAR = 1970, 2199
"""Years a schedule may name. Cron expressions are worked out until 2200, and dates near 9999 cannot be added to."""
_FIRST_DAY, _LAST_DAY = date(_FIRST_YEAR, 1, 1), date(_LAST_YEAR, 12, 31)


@dataclass(frozen=True)
class Timetable:
    """What decides when a bot runs next."""

    schedule: Schedule
    delay_seconds: float
    """From the end of a cycle to the start of the next. It counts where the schedule names no moments."""
    cycles_done: int
    """Cycles since the bot was started."""

    @classmethod
    def of(cls, user: User) -> "Timetable":
        """Return the timetable of a user's bot."""
        return cls(user.schedule, user.delay_between_cycles, user.cycles_done)


@dataclass(frozen=True)
class NextRun:
    """What comes next."""

    at: datetime | None
    """None: the schedule is over."""
    missed: int = 0
    """Moments that passed without a run. With `run_once` the next run makes up for them."""
    over: str = ""
    """Why nothing comes, in words for the bot's user."""


def has_calendar(schedule: Schedule) -> bool:
    """Return whether the schedule names moments, so that the delay between cycles does not count."""
    return bool(schedule.cron or schedule.times or schedule.once)


def first_run(timetable: Timetable, now: datetime) -> NextRun:
    """Return the first run of a bot that is started: at once, or when its calendar says."""
    if has_calendar(timetable.schedule):
        return _bounded(timetable, _calendar_moment(timetable.schedule, now))
    return _bounded(timetable, allowed_from(timetable.schedule, now))


def coming_runs(timetable: Timetable, now: datetime, count: int) -> tuple[list[datetime], str]:
    """Return the next runs of a bot that is started now, at most `count`, and why there are no more.

    Cycles are taken to last no time. The second value is empty if more runs follow.
    """
    moments: list[datetime] = []
    coming = first_run(timetable, now)
    while coming.at is not None and len(moments) < count:
        moments.append(coming.at)
        timetable = replace(timetable, cycles_done=timetable.cycles_done + 1)
        coming = after_cycle(timetable, coming.at, coming.at)
    return moments, coming.over


def after_cycle(timetable: Timetable, scheduled_for: datetime, now: datetime) -> NextRun:
    """Return the run after one that was for `scheduled_for` and just ended. `cycles_done` counts it already."""
    schedule = timetable.schedule
    if not has_calendar(schedule):
        return _bounded(timetable, allowed_from(schedule, now + timedelta(seconds=timetable.delay_seconds)))
    if scheduled_for - now > LARGE_JUMP:
        scheduled_for = now
    missed, first_to_come = _missed_since(schedule, scheduled_for, now)
    if missed and schedule.missed is Missed.RUN_ONCE:
        return _bounded(timetable, allowed_from(schedule, now), missed)
    return _bounded(timetable, first_to_come, missed)


def when_late(timetable: Timetable, scheduled_for: datetime, now: datetime) -> NextRun:
    """Return what becomes of a run whose moment passed long ago, while the daemon did not run or the machine slept."""
    schedule = timetable.schedule
    calendar = has_calendar(schedule)
    if calendar:
        missed, first_to_come = _missed_since(schedule, scheduled_for, now)
    else:
        delay = max(1.0, timetable.delay_seconds)
        missed = min(MISSED_COUNTED, int((now - scheduled_for).total_seconds() // delay))
        first_to_come = allowed_from(schedule, scheduled_for + timedelta(seconds=delay * (1 + missed)))
    if schedule.missed is Missed.SKIP:
        return _bounded(timetable, first_to_come, missed + 1)
    return _bounded(timetable, allowed_from(schedule, now), missed + 1)


def not_before(timetable: Timetable, at: datetime) -> NextRun:
    """Return a run that is put off to that moment."""
    return _bounded(timetable, allowed_from(timetable.schedule, at))


def after_jump(timetable: Timetable, scheduled_for: datetime, now: datetime, jump: timedelta) -> NextRun:
    """Return the entered run after the clock was set back by `-jump`.

    Without a calendar, the time that is left to wait stays the same. A calendar's moments stay as they are.
    """
    if not has_calendar(timetable.schedule):
        return _bounded(timetable, allowed_from(timetable.schedule, scheduled_for + jump))
    if -jump > LARGE_JUMP:
        return _bounded(timetable, _calendar_moment(timetable.schedule, now))
    return NextRun(scheduled_for)


def next_try(timetable: Timetable, failed_at: datetime, failures_in_a_row: int, *, cut_off: bool) -> NextRun:
    """Return the cycle after one that broke off. Each failure in a row makes it later.

    A cycle that was `cut_off` continues, so its posts do not wait for the user's delay.
    """
    back_off = min(_LONGEST_BACK_OFF_SECONDS, _FIRST_BACK_OFF_SECONDS * 2 ** (failures_in_a_row - 1))
    delay = 0.0 if cut_off or has_calendar(timetable.schedule) else timetable.delay_seconds
    return _bounded(timetable, allowed_from(timetable.schedule, failed_at + timedelta(seconds=max(delay, back_off))))


def check_schedule(schedule: Schedule) -> None:
    """Check that the schedule makes sense.

    Raises:
        InvalidInput: it does not; the error names the field and the fix.
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
        first = _calendar_moment(schedule, start - _MOMENT)
        # Without a first day there may have been moments before the last one: the bot is told when it starts.
        over = schedule.starts_on and schedule.ends_on and first and wall_of(first, tz).date() > schedule.ends_on
        if first is None or over:
            raise InvalidInput("schedule", "cron and times name no moment outside the quiet hours and within the dates")


def _check_sizes(schedule: Schedule) -> None:
    """Check the lengths before anything is read: a long expression would cost time at every run."""
    for name, most in MOST_ENTRIES.items():
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


# Moments of a calendar.


def _missed_since(schedule: Schedule, moment: datetime, now: datetime) -> tuple[int, datetime | None]:
    """Return how many named moments lie in (moment, now], and the first after now."""
    missed = 0
    for coming in _moments(schedule, moment):
        if coming > now:
            return missed, coming
        missed += 1
        if missed >= MISSED_COUNTED:
            return missed, _calendar_moment(schedule, now)
    return missed, None


def _calendar_moment(schedule: Schedule, after: datetime) -> datetime | None:
    """Return the first moment the calendar names after that one."""
    return next(_moments(schedule, after), None)


def _moments(schedule: Schedule, after: datetime) -> Iterator[datetime]:
    """Yield the moments the calendar names after that one, in order, outside quiet hours, from the start date on."""
    tz = zone(schedule.timezone)
    if schedule.starts_on is not None:
        after = max(after, _beginning_of(schedule.starts_on, tz) - _MOMENT)
    rules = [cron_rule(written) for written in schedule.cron] + [hour_rule(written) for written in schedule.times]
    singles = sorted({allowed_from(schedule, _single(moment, tz)) for moment in schedule.once})
    coming: list[tuple[datetime, Rule | None]] = [(moment, None) for moment in singles if moment > after]
    coming += [(first, rule) for rule in rules if (first := _rule_moment(schedule, rule, after, tz)) is not None]
    while coming:
        first = min(coming, key=lambda entry: entry[0])[0]
        yield first
        over = [rule for moment, rule in coming if moment == first and rule is not None]
        coming = [entry for entry in coming if entry[0] > first]
        coming += [(later, rule) for rule in over if (later := _rule_moment(schedule, rule, first, tz)) is not None]


def _rule_moment(schedule: Schedule, rule: Rule, after: datetime, tz: ZoneInfo) -> datetime | None:
    for _ in range(_MOST_IN_QUIET_HOURS):
        first = next_moment(rule, after, tz)
        if first is None:
            return None
        loud = _loud_from(schedule, first, tz)
        if loud == first:
            return first
        after = loud - _MOMENT
    return None


def _single(moment: datetime, tz: ZoneInfo) -> datetime:
    """Return a single run's moment. Stored data may name any year; one out of bounds counts as the nearest within."""
    if not _FIRST_YEAR <= moment.year <= _LAST_YEAR:
        return _beginning_of(moment.date(), tz)
    return moment.astimezone(UTC) if moment.tzinfo is not None else moment_of(moment, tz)


# Bounds: quiet hours, dates, number of cycles.


def _bounded(timetable: Timetable, at: datetime | None, missed: int = 0) -> NextRun:
    schedule = timetable.schedule
    if schedule.max_cycles is not None and timetable.cycles_done >= schedule.max_cycles:
        done = "1 cycle is" if schedule.max_cycles == 1 else f"{schedule.max_cycles} cycles are"
        return NextRun(None, missed, f"its {done} done")
    if at is None:
        return NextRun(None, missed, "its schedule names no further moment")
    if schedule.ends_on is not None and wall_of(at, zone(schedule.timezone)).date() > schedule.ends_on:
        return NextRun(None, missed, f"its schedule names no further moment up to its last day, {schedule.ends_on}")
    return NextRun(at, missed)


def allowed_from(schedule: Schedule, at: datetime) -> datetime:
    """Return the first moment from `at` on that is not before the start date and not in quiet hours."""
    if schedule.starts_on is None and not schedule.quiet_hours:
        return at
    tz = zone(schedule.timezone)
    if schedule.starts_on is not None:
        at = max(at, _beginning_of(schedule.starts_on, tz))
    return _loud_from(schedule, at, tz)


def _beginning_of(day: date, tz: ZoneInfo) -> datetime:
    """Return the moment a day begins there. A stored day out of bounds counts as the nearest within."""
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
    if over <= at:  # in an hour that comes twice, the first one may be over already
        over = ends.replace(tzinfo=tz, fold=1).astimezone(UTC)
    # Clocks that are set back may show a time before the quiet hours again.
    return clocks_go_back(at, over, tz) or over


def _window(written: str) -> tuple[int, int]:
    """Return the minutes of the day at which the window begins and ends (not included). Raises ValueError."""
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
