"""What is entered in `next_run_at` when something happens in between: one user's trouble is no other's."""

from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from msgspec.structs import replace

from core.models import BotStatus, Schedule, User
from scheduler import next_run as entries
from scheduler.timing import NextRun, Timetable
from tests.scheduler.support import no_accounts, time_house


@pytest.fixture
def unthinkable(monkeypatch: pytest.MonkeyPatch) -> None:
    """No moment of a schedule with as many as 999 cycles can be worked out."""

    def broken(name: str) -> None:
        original = getattr(entries, name)

        def work(timetable: Timetable, *rest: object) -> NextRun:
            if timetable.schedule.max_cycles == 999:
                raise OverflowError("date value out of range")
            result: NextRun = original(timetable, *rest)
            return result

        monkeypatch.setattr(entries, name, work)

    for name in ("first_run", "after_cycle", "when_late", "after_jump"):
        broken(name)


@pytest.mark.usefixtures("unthinkable")
@pytest.mark.parametrize("jump", [8 * 3600.0, -5.0])
async def test_a_schedule_that_cannot_be_worked_out_stops_its_own_bot_alone(tmp_path: Path, jump: float) -> None:
    async with time_house(tmp_path, tick_seconds=2.0) as house:
        await house.add_users({"bob": User(delay_between_cycles=600), "eve": User()}, running=False)
        await house.begin(["bob", "eve"])
        await house.wait(minutes=1)
        await house.change("eve", schedule=Schedule(max_cycles=999))
        house.clock.set_wall(jump)
        await house.wait(hours=2)
        assert len(house.cycles.begun["bob"]) >= 12
        assert house.user("eve").bot_status is BotStatus.STOPPED
        assert "change it with PATCH" in str(house.user("eve").status_reason)
        assert any("change it with PATCH" in text for text in house.said("eve"))


async def test_a_delay_that_was_stored_before_there_was_a_least_one_does_not_post_without_pause(tmp_path: Path) -> None:
    async with time_house(tmp_path, least_cycle_delay_seconds=60.0) as house:
        await house.add_users({"alice": User(delay_between_cycles=0.0001)}, running=False)
        await house.begin(["alice"])
        await house.wait(minutes=10)
        begun = house.cycles.begun["alice"]
        assert 9 <= len(begun) <= 11
        assert min(later - before for before, later in pairwise(begun)) >= timedelta(seconds=60)


async def test_a_bot_that_is_stopped_now_and_started_again_begins_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with time_house(tmp_path) as house:
        monkeypatch.setattr(house.services.sessions, "assign_at_start", no_accounts)
        once = User(delay_between_cycles=3600, schedule=Schedule(max_cycles=1))
        await house.add_users({"alice": once}, running=False)
        house.cycles.seconds = lambda _: 600
        await house.bots.start("alice")
        await house.wait(minutes=5)
        await house.bots.stop("alice", now=True)
        await house.bots.start("alice")
        await house.wait(minutes=30)
        assert house.minutes("alice") == [0, 10]
        assert house.user("alice").status_reason == "its 1 cycle is done"


async def test_a_schedule_changed_after_a_stop_and_a_start_within_one_cycle_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with time_house(tmp_path) as house:
        monkeypatch.setattr(house.services.sessions, "assign_at_start", no_accounts)
        await house.add_users({"alice": User(schedule=Schedule(times=("09:01", "12:00")))}, running=False)
        house.cycles.seconds = lambda _: 600
        await house.bots.start("alice")
        await house.wait(minutes=2)
        await house.bots.stop("alice", now=True)
        await house.bots.start("alice")
        await house.change_schedule("alice", schedule=Schedule(times=("15:00",)))
        await house.wait(hours=12)
        assert house.minutes("alice") == [1, 360]


async def test_a_clock_set_back_after_a_stop_and_a_start_within_one_cycle_delays_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with time_house(tmp_path, tick_seconds=2.0) as house:
        monkeypatch.setattr(house.services.sessions, "assign_at_start", no_accounts)
        await house.add_users({"alice": User(delay_between_cycles=3600)}, running=False)
        house.cycles.seconds = lambda _: 60
        await house.bots.start("alice")
        await house.wait(seconds=10)
        await house.bots.stop("alice", now=True)
        await house.bots.start("alice")
        house.clock.set_wall(-6 * 3600.0)
        await house.wait(minutes=70)
        assert len(house.cycles.begun["alice"]) >= 2


async def test_a_delay_changed_before_the_first_cycle_of_a_start_does_not_count_from_cycles_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with time_house(tmp_path) as house:
        monkeypatch.setattr(house.services.sessions, "assign_at_start", no_accounts)
        quiet = Schedule(quiet_hours=("09:05-10:00",))
        await house.add_users({"alice": User(delay_between_cycles=6 * 3600, schedule=quiet)}, running=False)
        await house.bots.start("alice")
        await house.wait(minutes=5)
        await house.bots.stop("alice")
        await house.wait(minutes=5)
        await house.bots.start("alice")
        await house.change_schedule("alice", delay_between_cycles=5 * 3600.0)
        await house.wait(hours=2)
        assert house.minutes("alice") == [0, 60]


async def test_a_calendar_set_during_a_cycle_counts_from_then(tmp_path: Path) -> None:
    async with time_house(tmp_path) as house:
        await house.add_users({"alice": User(delay_between_cycles=36000)}, running=False)
        house.cycles.seconds = lambda _: 3600
        await house.begin(["alice"])
        await house.wait(minutes=50)
        await house.change_schedule("alice", schedule=Schedule(times=("09:30",)))
        await house.wait(hours=25)
        assert house.minutes("alice") == [0, 24.5 * 60]
        assert not any("due while" in text for text in house.said("alice"))


async def test_a_delay_changed_after_the_clock_was_set_back_is_counted_from_now(tmp_path: Path) -> None:
    async with time_house(tmp_path, tick_seconds=2.0) as house:
        await house.add_users({"alice": User(delay_between_cycles=3600)}, running=False)
        await house.begin(["alice"])
        await house.wait(minutes=1)
        house.clock.set_wall(-365 * 86400.0)
        await house.wait(minutes=1)
        await house.change_schedule("alice", delay_between_cycles=600.0)
        planned = house.user("alice").next_run_at
        assert planned is not None
        assert planned - house.clock.now() <= timedelta(minutes=10)


async def test_failures_from_before_a_stop_do_not_count_for_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with time_house(tmp_path) as house:
        monkeypatch.setattr(house.services.sessions, "assign_at_start", no_accounts)
        await house.add_users({"alice": User(delay_between_cycles=60)}, running=False)
        house.cycles.faults = {"alice": [RuntimeError("broken") for _ in range(6)]}
        await house.bots.start("alice")
        await house.wait(minutes=5)
        assert len(house.cycles.begun["alice"]) == 4
        await house.bots.stop("alice")
        await house.bots.start("alice")
        await house.wait(minutes=1, seconds=10)
        assert house.user("alice").bot_status is BotStatus.RUNNING


async def test_a_retry_keeps_to_quiet_hours(tmp_path: Path) -> None:
    async with time_house(tmp_path) as house:
        quiet = User(delay_between_cycles=0, schedule=Schedule(quiet_hours=("09:00-10:00",)))
        await house.add_users({"alice": User(delay_between_cycles=0)}, running=False)
        house.cycles.faults = {"alice": [RuntimeError("broken")]}
        house.cycles.seconds = lambda _: 5
        await house.begin(["alice"])
        await house.change("alice", schedule=replace(quiet.schedule, ends_on=date(2026, 3, 2)))
        await house.wait(minutes=62)
        assert house.minutes("alice")[:2] == [0, 60]
