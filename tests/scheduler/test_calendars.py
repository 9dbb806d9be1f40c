"""Cron expressions and hours against an oracle that walks through the days minute by minute."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from scheduler.calendars import cron_rule, hour_rule, moment_of, next_moment

MINUTE = timedelta(minutes=1)

HARD_DAYS = {
    "Berlin loses an hour": ("Europe/Berlin", "2026-03-28", 3),
    "Berlin gets an hour twice": ("Europe/Berlin", "2026-10-24", 3),
    "New York loses an hour": ("America/New_York", "2026-03-07", 3),
    "New York gets an hour twice": ("America/New_York", "2026-10-31", 3),
    "Lord Howe loses half an hour": ("Australia/Lord_Howe", "2026-10-03", 3),
    "Lord Howe gets half an hour twice": ("Australia/Lord_Howe", "2026-04-04", 3),
    "São Paulo has no midnight": ("America/Sao_Paulo", "2018-11-03", 3),
    "São Paulo has two hours before midnight": ("America/Sao_Paulo", "2018-02-17", 3),
    "Samoa leaves out a whole day": ("Pacific/Apia", "2011-12-28", 5),
    "Kathmandu is off by 45 minutes": ("Asia/Kathmandu", "2026-02-28", 3),
    "Leap day": ("UTC", "2028-02-28", 3),
    "New Year": ("Pacific/Auckland", "2026-12-31", 2),
    "Casablanca goes back for Ramadan": ("Africa/Casablanca", "2026-02-14", 3),
}

# expression → minutes, hours, days, months, weekdays (0: Sunday)
EXPRESSIONS: dict[str, tuple[object, object, object, object, object]] = {
    "0 9 * * *": ({0}, {9}, None, None, None),
    "30 2 * * *": ({30}, {2}, None, None, None),
    "0 0 * * *": ({0}, {0}, None, None, None),
    "15,45 1-3 * * *": ({15, 45}, {1, 2, 3}, None, None, None),
    "*/20 * * * *": ({0, 20, 40}, None, None, None, None),
    "59 23 * * *": ({59}, {23}, None, None, None),
    "0 12 29 2 *": ({0}, {12}, {29}, {2}, None),
    "0 6 * * 0,6": ({0}, {6}, None, None, {0, 6}),
    "0 6 * * 7": ({0}, {6}, None, None, {0}),
    "0 6 * * 5-1": ({0}, {6}, None, None, {5, 6, 0, 1}),
    "*/30 */1 * * *": ({0, 30}, None, None, None, None),
    "*/30 0-23 * * *": ({0, 30}, None, None, None, None),
    "10 12-23,0-11 * * *": ({10}, None, None, None, None),
    "*/20 1-3 * * *": ({0, 20, 40}, {1, 2, 3}, None, None, None),
    "0 */2 * * *": ({0}, set(range(0, 24, 2)), None, None, None),
    "0 0 */2 * 1": ({0}, {0}, set(range(1, 32, 2)), None, {1}),
    "0 0 13 * */2": ({0}, {0}, {13}, None, {0, 2, 4, 6}),
}


def matches(expression: str, wall: datetime) -> bool:
    values = (wall.minute, wall.hour, wall.day, wall.month, (wall.weekday() + 1) % 7)
    allowed = EXPRESSIONS[expression]
    return all(chosen is None or value in chosen for value, chosen in zip(values, allowed, strict=True))  # type: ignore[operator]  # sets


def oracle(expression: str, tz: ZoneInfo, start: datetime, end: datetime) -> Iterator[datetime]:
    """Walk every minute. A fixed hour that is left out counts when the gap ends, one that comes twice the first."""
    every_hour = EXPRESSIONS[expression][1] is None
    repeats = every_hour or any(written.startswith("*") for written in expression.split()[:2])
    moment, before = start, (start - MINUTE).astimezone(tz).replace(tzinfo=None)
    while moment < end:
        local = moment.astimezone(tz)
        wall = local.replace(tzinfo=None)
        if every_hour:
            due = matches(expression, wall)
        else:
            left_out = [before + MINUTE * step for step in range(1, int((wall - before) / MINUTE))]
            due = any(matches(expression, gone) for gone in left_out) or (
                (repeats or local.fold == 0) and matches(expression, wall)
            )
        if due:
            yield moment
        moment, before = moment + MINUTE, wall


@pytest.mark.parametrize("day", HARD_DAYS)
@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_every_moment_of_a_hard_day_is_met_once(day: str, expression: str) -> None:
    name, first, days = HARD_DAYS[day]
    tz = ZoneInfo(name)
    start = moment_of(datetime.fromisoformat(first), tz)
    end = start + timedelta(days=days)
    rule, found, moment = cron_rule(expression), [], start - MINUTE
    while (coming := next_moment(rule, moment, tz)) is not None and coming < end:
        found.append(coming)
        moment = coming
    assert found == list(oracle(expression, tz, start, end))


@pytest.mark.parametrize("name", ["Europe/Berlin", "America/New_York"])
def test_a_whole_year_of_an_hour_that_daylight_saving_touches(name: str) -> None:
    tz, start = ZoneInfo(name), datetime(2026, 1, 1, tzinfo=UTC)
    moment, found = start - MINUTE, []
    while (coming := next_moment(hour_rule("02:30"), moment, tz)) is not None and coming.year < 2027:
        found.append(coming)
        moment = coming
    assert found == list(oracle("30 2 * * *", tz, start, datetime(2027, 1, 1, tzinfo=UTC)))
    assert len({moment.astimezone(tz).date() for moment in found}) == 365


def test_asking_from_any_second_gives_the_same_answer_as_asking_from_the_minute_before() -> None:
    tz, rule = ZoneInfo("Europe/Berlin"), cron_rule("*/20 * * * *")
    start = datetime(2026, 10, 24, 23, 0, tzinfo=UTC)
    for second in range(0, 4 * 3600, 97):
        after = start + timedelta(seconds=second, microseconds=1)
        coming = next_moment(rule, after, tz)
        assert coming is not None
        assert timedelta() < coming - after <= timedelta(minutes=20), "every 20 minutes, in the repeated hour too"
        assert coming.minute % 20 == 0


@pytest.mark.parametrize("expression", ["*/30 */1 * * *", "*/30 0-23 * * *", "*/30 0-11,12-23 * * *"])
def test_every_half_hour_is_every_half_hour_when_clocks_go_back(expression: str) -> None:
    rule, tz = cron_rule(expression), ZoneInfo("Europe/Berlin")
    moment = datetime(2026, 10, 24, 22, 0, tzinfo=UTC)
    for _ in range(12):
        coming = next_moment(rule, moment, tz)
        assert coming == moment + timedelta(minutes=30)
        moment = coming


@pytest.mark.parametrize(
    ("expression", "days"),
    [
        ("0 0 */2 * 1", [9, 23, 9, 23, 13]),  # Mondays on an odd day of the month
        ("0 0 1-31/2 * 1", [1, 2, 3, 5, 7]),  # every odd day, and every Monday
        ("0 0 1,2 * */6", [1, 1, 2]),  # the 1st or 2nd if it is a Saturday or Sunday
    ],
)
def test_a_field_that_begins_with_a_star_restricts_the_other_one_as_in_cron(expression: str, days: list[int]) -> None:
    rule, tz = cron_rule(expression), ZoneInfo("UTC")
    moment, found = datetime(2026, 1, 31, 12, tzinfo=UTC), []
    for _ in days:
        coming = next_moment(rule, moment, tz)
        assert coming is not None
        found.append(coming.day)
        moment = coming
    assert found == days


def test_day_and_weekday_together_mean_either_as_in_cron() -> None:
    rule, tz = cron_rule("0 9 13 * 5"), ZoneInfo("UTC")
    moment, found = datetime(2026, 2, 1, tzinfo=UTC), []
    for _ in range(5):
        coming = next_moment(rule, moment, tz)
        assert coming is not None
        found.append(coming.day)
        moment = coming
    assert found == [6, 13, 20, 27, 6], "every Friday; the 13th is one"


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("0 9 * *", "has 4 fields"),
        ("0 9 * * * *", "has 6 fields"),
        ("61 * * * *", "no cron expression"),
        ("0 9 30 2 *", "never comes"),
        ("0 9 * * 8", "no weekday"),
        ("0 9 * * mon/0", "no number above 0"),
        ("", "has 0 fields"),
    ],
)
def test_an_expression_that_means_nothing_is_refused_with_the_reason(expression: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        cron_rule(expression)
