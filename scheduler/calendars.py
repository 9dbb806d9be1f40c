"""Wall time and moments: cron expressions, hours of the day and daylight saving. Pure.

APScheduler's CronTrigger says which wall times an expression means, on a calendar without daylight saving. This module
decides how a wall time becomes a moment, because CronTrigger itself runs a job never or twice around a change. The
rules are those of cron daemons. A time in a skipped hour runs when the gap ends. A time that comes twice runs once. An
expression that repeats within the day follows real time in both hours, and one of every hour fills no gap.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from apscheduler.triggers.cron import CronTrigger

_FIELDS = ("minute", "hour", "day", "month", "day_of_week")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_YEARS = "1970-2200"  # ends the search for a day that never comes, such as 30 February
_SECOND = timedelta(seconds=1)
_AROUND = timedelta(hours=26)  # no zone ever moved its clocks by more


@dataclass(frozen=True)
class Rule:
    """Wall times that come again and again."""

    triggers: tuple[CronTrigger, ...]
    every_hour: bool
    """Whether it means every hour of the day, so that a skipped hour leaves no gap in real time."""
    repeats: bool
    """Whether it means an interval rather than hours of the day, so that an hour that comes twice counts twice."""

    def first_wall(self, start: datetime) -> datetime | None:
        """Return the first wall time at or after `start` (both naive)."""
        found = [trigger.get_next_fire_time(None, start.replace(tzinfo=UTC)) for trigger in self.triggers]
        return min((wall.replace(tzinfo=None) for wall in found if wall is not None), default=None)

    def walls(self, start: datetime) -> Iterator[datetime]:
        """Yield every wall time from `start` on, in order."""
        wall = self.first_wall(start)
        while wall is not None:
            yield wall
            wall = self.first_wall(wall + _SECOND)


@lru_cache(maxsize=4096)
def cron_rule(expression: str) -> Rule:
    """Return the meaning of a cron expression of five fields. When day and weekday are both named, either is enough;
    a field that begins with `*` names none, so `*/2` and a weekday mean both.

    Raises:
        ValueError: saying what is wrong with it.
    """
    parts = expression.lower().split()
    if len(parts) != len(_FIELDS):
        raise ValueError(f"{expression!r} has {len(parts)} fields; write minute hour day month weekday")
    fields = dict(zip(_FIELDS, parts, strict=True))
    begins_with_star = {name for name, written in fields.items() if written.startswith("*")}
    fields["day_of_week"] = _weekdays(fields["day_of_week"])
    either = [fields]
    if not begins_with_star & {"day", "day_of_week"}:
        either = [fields | {"day_of_week": "*"}, fields | {"day": "*"}]
    try:
        triggers = tuple(CronTrigger(year=_YEARS, second=0, timezone=UTC, **chosen) for chosen in either)
    except ValueError as error:
        raise ValueError(f"{expression!r} is no cron expression: {error}") from None
    every_hour = _names_every_hour(triggers[0])
    rule = Rule(triggers, every_hour, repeats=every_hour or bool(begins_with_star & {"minute", "hour"}))
    if rule.first_wall(datetime(2000, 1, 1)) is None:  # noqa: DTZ001  wall time
        raise ValueError(f"{expression!r} names a day that never comes")
    return rule


def _names_every_hour(trigger: CronTrigger) -> bool:
    """Return whether the field names all its values, however it is written: `*`, `*/1`, `0-23` …"""
    (hours,) = (field for field in trigger.fields if field.name == "hour")
    day = datetime(2000, 1, 1)  # noqa: DTZ001  wall time
    return all(hours.get_next_value(day.replace(hour=hour)) == hour for hour in range(24))


def _weekdays(field: str) -> str:
    """Return the weekday field by names: cron counts from Sunday, APScheduler from Monday."""
    if field == "*":
        return field
    named: list[str] = []
    for part in field.split(","):
        span, _, step = part.partition("/")
        first, dash, last = span.partition("-")
        if span == "*":
            begin, end = 0, 6
        else:
            begin = _weekday(first)
            end = _weekday(last) if dash else (6 if step else begin)
            end += 7 if end < begin else 0
        if step and not (step.isdecimal() and int(step) > 0):
            raise ValueError(f"{part!r} has a step that is no number above 0")
        named += [_DAYS[day % 7] for day in range(begin, end + 1, int(step or 1))]
    return ",".join(dict.fromkeys(named))


def _weekday(written: str) -> int:
    if written in _DAYS:
        return _DAYS.index(written)
    if written.isdecimal() and int(written) <= 7:
        return int(written)
    raise ValueError(f"{written!r} is no weekday; write 0 to 7 (0 and 7: Sunday) or sun to sat")


@lru_cache(maxsize=4096)
def hour_rule(written: str) -> Rule:
    """Return every day at "HH:MM". Raises ValueError."""
    at = hour_of_day(written)
    return cron_rule(f"{at.minute} {at.hour} * * *")


def hour_of_day(written: str) -> time:
    """Return a "HH:MM". Raises ValueError."""
    hour, colon, minute = written.partition(":")
    if colon and len(minute) == 2 and hour.isdecimal() and minute.isdecimal() and int(hour) < 24 and int(minute) < 60:
        return time(int(hour), int(minute))
    raise ValueError(f"{written!r} is no hour of the day; write it as HH:MM, for example 09:30")


_NO_PLACES = {"localtime", "posixrules", "Factory"}
"""Names in the tz database whose meaning depends on the machine."""


@lru_cache(maxsize=1024)
def zone(name: str) -> ZoneInfo:
    """Return a time zone by its IANA name. Raises ValueError."""
    unknown = ValueError(f"there is no time zone {name!r}; write an IANA name, for example Europe/Berlin")
    if name in _NO_PLACES:
        raise unknown
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise unknown from None


def next_moment(rule: Rule, after: datetime, tz: ZoneInfo) -> datetime | None:
    """Return the rule's first moment after that one; None when there is none."""
    moved = _clocks_move_by(after, tz)
    wall_after = wall_of(after, tz)
    if not moved:
        wall = rule.first_wall(wall_after.replace(microsecond=0) + _SECOND)
        if wall is None:
            return None
        if wall.replace(tzinfo=tz).utcoffset() == wall.replace(tzinfo=tz, fold=1).utcoffset():
            return moment_of(wall, tz)
    return _next_around_a_change(rule, after, tz, max(moved, timedelta(hours=3)))


def _next_around_a_change(rule: Rule, after: datetime, tz: ZoneInfo, moved: timedelta) -> datetime | None:
    """Return the earliest moment near a change of clocks, where wall times are not in the order of their moments."""
    best: datetime | None = None
    for wall in rule.walls(wall_of(after, tz) - moved):
        if best is not None and wall > wall_of(best, tz) + moved:
            break
        for moment in _moments(rule, wall, tz):
            if moment > after and (best is None or moment < best):
                best = moment
    return best


def _moments(rule: Rule, wall: datetime, tz: ZoneInfo) -> tuple[datetime, ...]:
    both = {wall.replace(tzinfo=tz, fold=fold).astimezone(UTC) for fold in (0, 1)}
    shown = tuple(moment for moment in sorted(both) if wall_of(moment, tz) == wall)
    if shown:
        return shown if rule.repeats else shown[:1]
    return () if rule.every_hour else (moment_of(wall, tz),)


def wall_of(moment: datetime, tz: ZoneInfo) -> datetime:
    """Return what clocks there show, naive."""
    return moment.astimezone(tz).replace(tzinfo=None)


def moment_of(wall: datetime, tz: ZoneInfo) -> datetime:
    """Return the moment (UTC) at which clocks there show `wall`: the first of two, or the end of a gap it is in."""
    first = wall.replace(tzinfo=tz, fold=0).astimezone(UTC)
    if wall_of(first, tz) == wall:
        return first
    return _change_between(wall.replace(tzinfo=tz, fold=1).astimezone(UTC), first, tz)


def clocks_go_back(start: datetime, end: datetime, tz: ZoneInfo) -> datetime | None:
    """Return when clocks there are set back between two moments, at most about a day apart; None when they are not."""
    if _offset(end, tz) >= _offset(start, tz):
        return None
    return _change_between(start, end, tz)


def _change_between(before: datetime, after: datetime, tz: ZoneInfo) -> datetime:
    offset = _offset(after, tz)
    while after - before > _SECOND:
        middle = before + (after - before) // 2
        if _offset(middle, tz) == offset:
            after = middle
        else:
            before = middle
    return after.replace(microsecond=0)


def midnight(day: date, tz: ZoneInfo) -> datetime:
    """Return the moment a day begins there."""
    return moment_of(datetime.combine(day, time()), tz)


def _clocks_move_by(moment: datetime, tz: ZoneInfo) -> timedelta:
    """Return by how much clocks there are moved around that moment: zero on nearly every day."""
    offsets = [_offset(moment + shift, tz) for shift in (-_AROUND, timedelta(), _AROUND)]
    return max(offsets) - min(offsets)


def _offset(moment: datetime, tz: ZoneInfo) -> timedelta:
    return moment.astimezone(tz).utcoffset() or timedelta()
