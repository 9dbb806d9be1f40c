"""When the next cycle starts."""

import contextlib
import json
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import InvalidInput
from core.models import Missed, Schedule
from scheduler.timing import Timetable, after_cycle, after_jump, check_schedule, first_run, next_try, when_late
from tests.support.clock import START

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)


def timetable(delay: float = 3600, cycles_done: int = 0, **schedule: Any) -> Timetable:
    return Timetable(Schedule(**schedule), delay, cycles_done)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_without_a_calendar_a_bot_begins_at_once_and_again_its_delay_after_each_end() -> None:
    assert first_run(timetable(), START).at == START
    assert after_cycle(timetable(90), START, START + HOUR).at == START + HOUR + timedelta(seconds=90)


def test_broken_cycles_wait_longer_each_time_up_to_an_hour() -> None:
    tries = [next_try(timetable(7200), START, n, cut_off=True).at for n in (1, 2, 3, 20)]
    assert [(at - START).total_seconds() for at in tries if at is not None] == [30, 60, 120, 3600]


def test_after_a_cycle_that_left_no_posts_behind_the_next_try_waits_for_the_users_delay_too() -> None:
    assert next_try(timetable(7200), START, 1, cut_off=False).at == START + timedelta(hours=2)
    assert next_try(timetable(1), START, 1, cut_off=False).at == START + timedelta(seconds=30)


def test_a_next_try_keeps_to_the_schedule_as_every_run_does() -> None:
    assert next_try(timetable(quiet_hours=("09:00-10:00",)), START, 1, cut_off=True).at == START + HOUR
    assert next_try(timetable(ends_on=START.date() - timedelta(days=1)), START, 1, cut_off=True).at is None


def test_a_calendar_waits_for_its_first_moment() -> None:
    daily = timetable(times=("09:00", "18:30"), timezone="Europe/Berlin")
    assert first_run(daily, START).at == utc("2026-03-02 17:30")
    assert after_cycle(daily, utc("2026-03-02 17:30"), utc("2026-03-02 17:40")).at == utc("2026-03-03 08:00")


def test_single_runs_happen_at_their_moment_and_then_the_schedule_is_over() -> None:
    once = timetable(once=(datetime(2026, 3, 2, 12, 0), utc("2026-03-05 08:00")), timezone="Europe/Berlin")  # noqa: DTZ001
    assert first_run(once, START).at == utc("2026-03-02 11:00")
    assert after_cycle(once, utc("2026-03-02 11:00"), utc("2026-03-02 11:01")).at == utc("2026-03-05 08:00")
    end = after_cycle(once, utc("2026-03-05 08:00"), utc("2026-03-05 08:01"))
    assert (end.at, end.over) == (None, "its schedule names no further moment")


def test_quiet_hours_move_a_delay_to_their_end_and_leave_calendar_moments_out() -> None:
    quiet = timetable(quiet_hours=("22:00-07:00",), timezone="Europe/Berlin")
    assert first_run(quiet, utc("2026-03-02 23:00")).at == utc("2026-03-03 06:00")
    assert first_run(quiet, utc("2026-03-02 20:59")).at == utc("2026-03-02 20:59")
    assert first_run(quiet, utc("2026-03-02 21:00")).at == utc("2026-03-03 06:00")
    every_hour = timetable(cron=("0 * * * *",), quiet_hours=("22:00-07:00",), timezone="Europe/Berlin")
    assert after_cycle(every_hour, utc("2026-03-02 20:00"), utc("2026-03-02 20:01")).at == utc("2026-03-03 06:00")


def test_a_single_run_in_quiet_hours_waits_for_their_end() -> None:
    once = timetable(once=(utc("2026-03-02 23:00"),), quiet_hours=("22:00-07:00",))
    assert first_run(once, START).at == utc("2026-03-03 07:00")


def test_quiet_hours_on_the_night_the_clocks_go_back_last_an_hour_longer() -> None:
    quiet = timetable(quiet_hours=("22:00-07:00",), timezone="Europe/Berlin")
    assert first_run(quiet, utc("2026-10-24 20:00")).at == utc("2026-10-25 06:00")
    assert first_run(quiet, utc("2026-03-28 21:00")).at == utc("2026-03-29 05:00")


def quiet_by_the_wall(windows: tuple[str, ...], wall: datetime) -> bool:
    for first, _, last in (window.partition("-") for window in windows):
        shown = f"{wall:%H:%M}"
        if first <= shown < last if first < last else (shown >= first or shown < last):
            return True
    return False


@pytest.mark.parametrize(
    "windows",
    [
        ("02:30-07:00",),
        ("22:00-07:00",),
        ("02:50-02:10",),
        ("01:40-02:20",),
        ("02:30-02:45", "01:15-01:50"),
        ("23:30-07:00",),
        ("23:30-00:10", "00:40-01:20", "02:10-02:40"),
        ("02:15-02:30", "02:30-02:10"),
    ],
)
@pytest.mark.parametrize(
    ("zone", "night"),
    [
        ("Europe/Berlin", "2026-10-24 20:00"),
        ("Europe/Berlin", "2026-03-28 20:00"),
        ("America/New_York", "2026-11-01 02:00"),
        ("Australia/Lord_Howe", "2026-04-04 10:00"),
        ("America/Sao_Paulo", "2018-02-17 22:00"),
        ("America/Havana", "2026-11-01 02:00"),
    ],
)
def test_on_the_nights_clocks_are_moved_a_delay_waits_for_the_first_minute_the_wall_does_not_call_quiet(
    windows: tuple[str, ...], zone: str, night: str
) -> None:
    quiet, tz = timetable(quiet_hours=windows, timezone=zone), ZoneInfo(zone)
    minutes = [utc(night) + step * MINUTE for step in range(40 * 60)]
    loud = None
    for minute in reversed(minutes):
        if not quiet_by_the_wall(windows, minute.astimezone(tz)):
            loud = minute
        assert loud is None or first_run(quiet, minute).at == loud


def test_start_and_end_dates_are_days_of_the_users_time_zone() -> None:
    days = timetable(starts_on=date(2026, 3, 10), ends_on=date(2026, 3, 11), timezone="America/New_York")
    assert first_run(days, START).at == utc("2026-03-10 04:00")
    assert after_cycle(days, START, utc("2026-03-12 02:59")).at == utc("2026-03-12 03:59")
    end = after_cycle(days, START, utc("2026-03-12 03:30"))
    assert (end.at, end.over) == (None, "its schedule names no further moment up to its last day, 2026-03-11")


def test_a_stored_first_or_last_day_in_a_year_nobody_may_write_any_more_means_always_or_never() -> None:
    for_ever = timetable(ends_on=date(9999, 12, 31), starts_on=date(1, 1, 1), timezone="Asia/Tokyo")
    assert first_run(for_ever, START).at == START
    assert after_cycle(for_ever, START, START).at == START + HOUR
    never = first_run(timetable(starts_on=date(9999, 12, 31)), START).at
    assert never is not None
    assert never.year == 2199
    assert (
        first_run(timetable(ends_on=date(1, 1, 1)), START).over
        == "its schedule names no further moment up to its last day, 0001-01-01"
    )


def test_after_the_wanted_number_of_cycles_nothing_comes() -> None:
    assert after_cycle(timetable(cycles_done=1, max_cycles=2), START, START).at is not None
    end = after_cycle(timetable(cycles_done=2, max_cycles=2), START, START)
    assert (end.at, end.over) == (None, "its 2 cycles are done")


def test_a_cycle_that_outlives_its_interval_starts_the_next_one_late_and_only_once() -> None:
    busy = timetable(cron=("*/10 * * * *",))
    late = after_cycle(busy, START, START + 35 * MINUTE)
    assert (late.at, late.missed) == (START + 35 * MINUTE, 3)
    again = after_cycle(busy, START + 35 * MINUTE, START + 36 * MINUTE)
    assert (again.at, again.missed) == (START + 40 * MINUTE, 0)


def test_missed_runs_can_be_left_out() -> None:
    busy = timetable(cron=("*/10 * * * *",), missed=Missed.SKIP)
    late = after_cycle(busy, START, START + 35 * MINUTE)
    assert (late.at, late.missed) == (START + 40 * MINUTE, 3)


def test_what_was_missed_while_the_machine_slept_is_made_up_once_or_left_out() -> None:
    night = START + 9 * HOUR + timedelta(seconds=7)
    assert (when_late(timetable(), START, night).at, when_late(timetable(), START, night).missed) == (night, 10)
    skipped = when_late(timetable(missed=Missed.SKIP), START, night)
    assert (skipped.at, skipped.missed) == (START + 10 * HOUR, 10)
    daily = when_late(timetable(times=("09:00",), missed=Missed.SKIP), START, START + timedelta(days=3, hours=1))
    assert (daily.at, daily.missed) == (START + timedelta(days=4), 4)
    assert when_late(timetable(0, missed=Missed.SKIP), START, night).at is not None


def test_a_clock_that_was_set_back_changes_neither_what_is_left_to_wait_nor_the_calendar() -> None:
    back = -HOUR
    assert after_jump(timetable(), START + 50 * MINUTE, START, back).at == START - 10 * MINUTE
    assert after_jump(timetable(times=("10:00",)), START + HOUR, START, back).at == START + HOUR


def test_a_clock_that_was_wrong_by_a_year_does_not_make_a_calendar_wait_for_a_year() -> None:
    next_year = START + timedelta(days=365)
    assert after_jump(timetable(times=("10:00",)), next_year, START, -timedelta(days=365)).at == START + HOUR
    assert after_cycle(timetable(times=("10:00",)), next_year, START).at == START + HOUR


@pytest.mark.parametrize(
    ("schedule", "field"),
    [
        (Schedule(timezone="Mars/Olympus"), "timezone"),
        (Schedule(timezone="../etc/passwd"), "timezone"),
        (Schedule(timezone=""), "timezone"),
        (Schedule(cron=("every day",)), "cron"),
        (Schedule(cron=("* * * * *",) * 21), "cron"),
        (Schedule(cron=("1," * 90_000 + "1 9 * * *",)), "cron"),
        (Schedule(times=("9",)), "times"),
        (Schedule(times=("09:00",) * 49), "times"),
        (Schedule(times=("0" * 3_000 + "9:00",)), "times"),
        (Schedule(once=(utc("2026-03-02"),) * 201), "once"),
        (Schedule(quiet_hours=("22:00-07:00",) * 11), "quiet_hours"),
        (Schedule(quiet_hours=("0" * 3_000 + "9:00-10:00",)), "quiet_hours"),
        (Schedule(timezone="Europe/" + "B" * 500), "timezone"),
        (Schedule(times=("24:00",)), "times"),
        (Schedule(quiet_hours=("22-7",)), "quiet_hours"),
        (Schedule(quiet_hours=("07:00-07:00",)), "quiet_hours"),
        (Schedule(quiet_hours=("00:00-12:00", "12:00-00:00")), "quiet_hours"),
        (Schedule(starts_on=date(2026, 3, 2), ends_on=date(2026, 3, 1)), "ends_on"),
        (Schedule(starts_on=date(1, 1, 1), cron=("* * * * *",), timezone="Asia/Tokyo"), "starts_on"),
        (Schedule(starts_on=date(1969, 12, 31)), "starts_on"),
        (Schedule(starts_on=date(2200, 1, 1)), "starts_on"),
        (Schedule(ends_on=date(1969, 12, 31)), "ends_on"),
        (Schedule(ends_on=date(9999, 12, 31)), "ends_on"),
        (Schedule(once=(utc("2026-03-02"), utc("1969-12-31 23:59"))), "once"),
        (Schedule(once=(utc("2200-01-01"),)), "once"),
        (Schedule(max_cycles=0), "max_cycles"),
        (Schedule(max_cycles=10**30), "max_cycles"),
        *((Schedule(timezone=name), "timezone") for name in ("localtime", "posixrules", "Factory")),
        (Schedule(times=("03:00",), quiet_hours=("22:00-07:00",)), "schedule"),
    ],
)
def test_a_schedule_that_cannot_be_meant_is_refused_by_its_field(schedule: Schedule, field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        check_schedule(schedule)
    assert refused.value.field.removeprefix("schedule.") == field


def test_an_expression_that_names_everything_one_by_one_is_taken() -> None:
    spans = (range(60), range(24), range(1, 32), range(1, 13))
    minutes, every_hour, days, months = (",".join(map(str, span)) for span in spans)
    check_schedule(Schedule(cron=(f"{minutes} {every_hour} {days} {months} sun,mon,tue,wed,thu,fri,sat",)))


hours = st.builds("{:02}:{:02}".format, st.integers(0, 23), st.integers(0, 59))
schedules = st.builds(
    Schedule,
    timezone=st.sampled_from(["UTC", "Europe/Berlin", "America/Sao_Paulo", "Australia/Lord_Howe", "Asia/Kathmandu"]),
    cron=st.lists(st.sampled_from(["*/7 * * * *", "0 9 * * 1-5", "30 2 * * *", "0 0 1 * *"]), max_size=2).map(tuple),
    times=st.lists(hours, max_size=3).map(tuple),
    quiet_hours=st.lists(st.sampled_from(["22:00-07:00", "12:00-13:30", "01:30-02:30"]), max_size=2).map(tuple),
    missed=st.sampled_from(list(Missed)),
)
moments = st.datetimes(datetime(2018, 1, 1), datetime(2030, 1, 1)).map(lambda wall: wall.replace(tzinfo=UTC))  # noqa: DTZ001


@settings(max_examples=60)
@given(schedules, moments, st.floats(0, 200_000))
def test_the_next_run_is_never_in_the_past_nor_in_quiet_hours_and_time_always_moves_on(
    schedule: Schedule, scheduled_for: datetime, took: float
) -> None:
    somebody = Timetable(schedule, 600.0, 0)
    now = scheduled_for + timedelta(seconds=took)
    coming = after_cycle(somebody, scheduled_for, now).at
    if coming is None:
        return
    assert coming >= now
    quiet_hours_alone = timetable(timezone=schedule.timezone, quiet_hours=schedule.quiet_hours)
    assert first_run(quiet_hours_alone, coming).at == coming
    following = after_cycle(somebody, coming, coming + MINUTE).at
    assert following is None or following > coming


any_day = st.dates() | st.sampled_from([date.min, date.max])
any_moment = st.builds(
    "{}{}".format,
    st.datetimes().map(datetime.isoformat) | st.sampled_from(["0001-01-01T00:00:00", "9999-12-31T23:59:59"]),
    st.sampled_from(["", "Z", "+14:00", "-12:00", "+23:59", "-23:59"]),
)
stored_schedules = st.fixed_dictionaries(
    {},
    optional={
        "timezone": st.sampled_from(["UTC", "Europe/Berlin", "Pacific/Kiritimati", "Etc/GMT+12", "Asia/Manila"]),
        "cron": st.lists(st.sampled_from(["*/7 * * * *", "0 9 * * 1-5", "0 0 29 2 *", "0 0 13 * 5"]), max_size=2),
        "times": st.lists(hours, max_size=2),
        "once": st.lists(any_moment, max_size=3),
        "quiet_hours": st.lists(st.sampled_from(["22:00-07:00", "00:00-12:00", "12:00-00:00"]), max_size=2),
        "starts_on": any_day.map(date.isoformat),
        "ends_on": any_day.map(date.isoformat),
        "missed": st.sampled_from(list(Missed)),
    },
).map(lambda fields: msgspec.json.decode(json.dumps(fields), type=Schedule))
any_clock = st.datetimes(datetime(1971, 1, 1), datetime(2150, 12, 31)).map(lambda wall: wall.replace(tzinfo=UTC))  # noqa: DTZ001


@settings(max_examples=300)
@given(stored_schedules, any_clock, any_clock, st.floats(0, 30 * 86400))
def test_no_schedule_that_can_be_stored_is_too_far_off_to_be_reckoned_with(
    schedule: Schedule, one: datetime, other: datetime, delay: float
) -> None:
    somebody = Timetable(schedule, delay, 0)
    earlier, later = sorted((one, other))
    with contextlib.suppress(InvalidInput):
        check_schedule(schedule)
    entered = [
        first_run(somebody, earlier).at,
        after_cycle(somebody, earlier, later).at,
        after_cycle(somebody, later, earlier).at,
        when_late(somebody, earlier, later).at,
        after_jump(somebody, later, earlier, earlier - later).at,
        next_try(somebody, later, 5, cut_off=False).at,
    ]
    assert all(moment is None or moment.timestamp() < 2**33 for moment in entered)
