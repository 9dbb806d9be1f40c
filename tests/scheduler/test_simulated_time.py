"""The scheduler over long and hard stretches of simulated time: every due run once, none early, none late."""

import os
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

from core.models import BotStatus, Missed, Schedule, User
from tests.scheduler.support import TimeHouse, time_house
from tests.support.clock import START

NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)
USERS = int(os.environ.get("POSTFLEET_SIMULATED_USERS", "24"))
DAYS = int(os.environ.get("POSTFLEET_SIMULATED_DAYS", "365"))
ZONES = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "UTC")
SECOND = timedelta(seconds=1)


def mixed(number: int) -> User:
    """Delays, calendars, quiet hours, in many zones."""
    zone = ZONES[number % len(ZONES)]
    hour = f"{number % 24:02}:{number * 7 % 60:02}"
    match number % 4:
        case 0:
            return User(delay_between_cycles=86400 * (1 + number % 5) - 61 * number)
        case 1:
            return User(schedule=Schedule(timezone=zone, times=(hour,)))
        case 2:
            return User(schedule=Schedule(timezone=zone, times=("02:30",)))
        case _:
            quiet = Schedule(timezone=zone, quiet_hours=("22:00-07:00",))
            return User(delay_between_cycles=100_000, schedule=quiet)


def check_year(house: TimeHouse, user_id: str, user: User, end: datetime) -> list[float]:
    """Every run that was due happened once; answers how late each was, in seconds."""
    begun, ended = house.cycles.begun[user_id], house.cycles.ended[user_id]
    assert begun, "it ran at all"
    tz = ZoneInfo(user.schedule.timezone)
    if user.schedule.times:
        hour, minute = map(int, user.schedule.times[0].split(":"))
        days = [moment.astimezone(tz).date() for moment in begun]
        late = []
        for moment in begun:
            local = moment.astimezone(tz)
            due = datetime(local.year, local.month, local.day, hour, minute, tzinfo=tz).astimezone(UTC)
            if due.astimezone(tz).replace(tzinfo=None) != datetime(local.year, local.month, local.day, hour, minute):  # noqa: DTZ001
                continue  # that hour was left out that day; the calendars' own tests say when it runs
            late.append((moment - due).total_seconds())
        whole = {days[0] + timedelta(days=n) for n in range((days[-1] - days[0]).days + 1)}
        assert sorted(days) == sorted(whole), "every day of its own zone, once"
        assert (NEW_YEAR.astimezone(tz).date() - days[0]).days >= -1
        assert (end.astimezone(tz).date() - days[-1]).days <= 1
        return late
    late = []
    delay = timedelta(seconds=user.delay_between_cycles)
    for due, moment in zip([NEW_YEAR, *(last_end + delay for last_end in ended)], begun, strict=False):
        if user.schedule.quiet_hours:
            local = moment.astimezone(tz)
            assert 7 <= local.hour < 22
            if (due.astimezone(tz).hour + 2) % 24 < 9:
                due = max(due, local.replace(minute=0, second=0, microsecond=0))
        late.append((moment - due).total_seconds())
    assert end - begun[-1] <= timedelta(seconds=user.delay_between_cycles + 10 * 3600)
    return late


async def test_a_year_of_mixed_schedules_every_due_run_happens_once_and_on_time(tmp_path: Path) -> None:
    end = NEW_YEAR + timedelta(days=DAYS)
    async with time_house(tmp_path, NEW_YEAR, tick_seconds=43200.0) as house:
        house.cycles.seconds = lambda user_id: float(int(user_id[4:]) % 7 * 60)
        users = {f"user{number:04}": mixed(number) for number in range(USERS)}
        await house.add_users(users, running=False)
        await house.begin(users)
        await house.pass_time(end)
        late = sorted(seconds for user_id, user in users.items() for seconds in check_year(house, user_id, user, end))
        runs = sum(map(len, house.cycles.begun.values()))
        print(  # noqa: T201  the figure is what a long run of this is for
            f"{USERS} users, {DAYS} days, {runs} runs, late p50 {late[len(late) // 2]:.3f} s max {late[-1]:.3f} s"
        )
        assert late[0] > -0.001, "never early"
        assert late[-1] <= 2.0, "within one tick of the usual length"


async def test_a_clock_set_back_neither_delays_a_delay_nor_repeats_a_calendar(tmp_path: Path) -> None:
    async with time_house(tmp_path, tick_seconds=60.0) as house:
        users = {"alice": User(delay_between_cycles=1800), "bob": User(schedule=Schedule(times=("10:00",)))}
        await house.add_users(users, running=False)
        await house.begin(users)
        await house.wait(minutes=70)
        assert (len(house.cycles.begun["alice"]), len(house.cycles.begun["bob"])) == (3, 1)
        house.clock.set_wall(-3600)
        await house.wait(minutes=61)
        assert len(house.cycles.begun["alice"]) == 5, "two more in an hour that was lived through"
        assert len(house.cycles.begun["bob"]) == 1, "ten o'clock came twice on the wall, and was met once"
        await house.wait(days=1)
        assert len(house.cycles.begun["bob"]) == 2


async def test_a_clock_that_was_a_year_ahead_starves_nobody(tmp_path: Path) -> None:
    async with time_house(tmp_path, START + timedelta(days=365), tick_seconds=60.0) as house:
        users = {"alice": User(delay_between_cycles=1800), "bob": User(schedule=Schedule(times=("10:00",)))}
        await house.add_users(users, running=False)
        await house.begin(users)
        await house.wait(minutes=70)
        house.clock.set_wall(-365 * 86400.0)
        await house.wait(hours=24)
        assert len(house.cycles.begun["bob"]) == 2
        assert len(house.cycles.begun["alice"]) in range(50, 53)


async def test_a_long_sleep_of_the_machine_ends_without_a_stampede(tmp_path: Path) -> None:
    async with time_house(tmp_path, tick_seconds=2.0, catch_up_per_second=20.0) as house:
        users = {f"user{number:03}": User(delay_between_cycles=3600) for number in range(100)}
        users["skips"] = User(delay_between_cycles=3600, schedule=Schedule(missed=Missed.SKIP))
        users["daily"] = User(schedule=Schedule(times=("10:00", "11:00", "12:00")))
        await house.add_users(users, running=False)
        await house.begin(users)
        await house.wait(minutes=1)
        house.clock.set_wall(8 * 3600.0)
        await house.wait(seconds=30)
        second = sorted(moments[1] for user_id, moments in house.cycles.begun.items() if user_id[0] == "u")
        assert len(second) == 100, "nobody is forgotten"
        assert all(later - earlier >= timedelta(seconds=0.04) for earlier, later in pairwise(second))
        assert second[-1] - second[0] < timedelta(seconds=10)
        assert "8 runs since" in house.said("user007")[-1]
        assert len(house.cycles.begun["skips"]) == 1
        assert "left out" in house.said("skips")[-1]
        assert len(house.cycles.begun["daily"]) == 1, "three were missed, one makes up for them"
        assert "3 runs" in house.said("daily")[-1]
        await house.wait(hours=1)
        assert len(house.cycles.begun["skips"]) == 2
        assert house.cycles.begun["skips"][1].minute == 0


async def test_a_cycle_that_outlives_its_interval_starts_the_next_one_late_never_twice(tmp_path: Path) -> None:
    async with time_house(tmp_path) as house:
        users = {"alice": User(schedule=Schedule(cron=("*/10 * * * *",)))}
        await house.add_users(users, running=False)
        await house.begin(users)
        house.cycles.seconds = lambda _: 25 * 60.0
        await house.wait(minutes=71)
        begun = [(moment - START) / timedelta(minutes=1) for moment in house.cycles.begun["alice"]]
        assert [round(minute) for minute in begun] == [10, 35, 60]
        assert "2 runs were due while the last cycle was still running; one makes up for them" in house.said("alice")


async def test_a_bot_ends_after_its_cycles_and_says_so(tmp_path: Path) -> None:
    async with time_house(tmp_path) as house:
        users = {
            "alice": User(delay_between_cycles=60, schedule=Schedule(max_cycles=3)),
            "bob": User(schedule=Schedule(times=("12:00",), ends_on=date(2026, 3, 3))),
            "carol": User(schedule=Schedule(once=(START + timedelta(hours=2),))),
        }
        await house.add_users(users, running=False)
        await house.begin(users)
        await house.wait(days=3)
        assert {name: len(moments) for name, moments in house.cycles.begun.items()} == {
            "alice": 3,
            "bob": 2,
            "carol": 1,
        }
        assert {house.user(name).bot_status for name in users} == {BotStatus.STOPPED}
        assert "The bot is stopped: its 3 cycles are done" in house.said("alice")
        assert "The bot is stopped: its schedule names no further moment up to its last day, 2026-03-03" in house.said(
            "bob"
        )
        assert "The bot is stopped: its schedule names no further moment" in house.said("carol")


async def test_broken_cycles_back_off_and_end_in_error(tmp_path: Path) -> None:
    async with time_house(tmp_path) as house:
        users = {"alice": User(delay_between_cycles=1), "bob": User(delay_between_cycles=60)}
        house.cycles.faults["alice"] = [RuntimeError("broken") for _ in range(9)]
        await house.add_users(users, running=False)
        await house.begin(users)
        await house.wait(minutes=30)
        waits = [(moment - START).total_seconds() for moment in house.cycles.begun["alice"]]
        assert [round(seconds) for seconds in waits] == [0, 30, 90, 210, 450]
        assert house.user("alice").bot_status is BotStatus.ERROR
        assert "5 cycles in a row broke off (RuntimeError)" in (house.user("alice").status_reason or "")
        assert len(house.cycles.begun["bob"]) in {30, 31}, "nobody else's trouble"


async def test_a_changed_schedule_moves_the_run_that_waits(tmp_path: Path) -> None:
    async with time_house(tmp_path) as house:
        users = {"alice": User(delay_between_cycles=3600)}
        await house.add_users(users, running=False)
        await house.begin(users)
        await house.wait(minutes=10)

        async def change(user: User) -> None:
            await house.change_schedule("alice", delay_between_cycles=user.delay_between_cycles, schedule=user.schedule)
            await house.calm()

        await change(User(delay_between_cycles=1200))
        assert house.user("alice").next_run_at == START + timedelta(minutes=20)
        await change(User(delay_between_cycles=60))
        assert len(house.cycles.begun["alice"]) == 2, "that delay is over already"
        await change(User(schedule=Schedule(times=("18:00",))))
        assert house.user("alice").next_run_at == START.replace(hour=18)
        await house.wait(hours=8)
        assert len(house.cycles.begun["alice"]) == 2


async def test_on_a_resume_what_is_late_is_spread_out_and_told(tmp_path: Path) -> None:
    async with time_house(tmp_path, ticking=False, resume_on_start=True) as house:
        long_ago = START - timedelta(hours=5)
        users = {f"user{number}": User(next_run_at=long_ago) for number in range(40)}
        users["later"] = User(next_run_at=START + timedelta(hours=1))
        await house.add_users(users)
        await house.scheduler.take_over()
        house.tick()
        await house.wait(seconds=30)
        begun = sorted(moments[0] for moments in house.cycles.begun.values())
        assert len(begun) == 40
        assert begun[-1] - begun[0] >= timedelta(seconds=1.9), "20 a second"
        assert "could not begin in time, now made up for by one" in house.said("user1")[-1]
        await house.wait(hours=1)
        assert len(house.cycles.begun["later"]) == 1
