"""RESUME_ON_START: what bots do that ran when the daemon ended, however it ended and whatever its clock said."""

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from core.models import Cycle, PostContent, PostType, Schedule, User
from data.users.data_manager import DataManager
from scheduler.scheduler import Scheduler
from tests.scheduler.support import TimeHouse, time_house
from tests.support.clock import START


async def made(house: TimeHouse, began: datetime, ended: datetime | None, user: str = "alice") -> None:
    """A cycle that the journal knows."""
    number = int(began.timestamp() * 1000)
    cycle = Cycle(id=number, user=user, post_type=PostType.TEXT, post_content=PostContent(text="Hi"), started_at=began)
    await house.services.journal.plan_cycle(cycle, [])
    if ended is not None:
        await house.services.journal.finish_cycle(user, number, ended)


async def add_by_a_command(house: TimeHouse, user_id: str) -> None:
    """Another process writes users.json."""
    command = DataManager.open(house.services.settings.state_dir, house.clock)
    await command.transact(lambda tx: tx.put_user(user_id, User()))
    await command.close()


@pytest.mark.parametrize(
    ("schedule", "latest"),
    [(Schedule(), START + timedelta(hours=1)), (Schedule(times=("12:00",)), START.replace(hour=12))],
)
async def test_a_run_entered_while_the_clock_was_ahead_is_no_further_away_after_a_restart(
    tmp_path: Path, schedule: Schedule, latest: object
) -> None:
    async with time_house(tmp_path, ticking=False, resume_on_start=True) as house:
        ahead = START + timedelta(days=365)
        await house.add_users({"alice": User(delay_between_cycles=3600, schedule=schedule, next_run_at=ahead)})
        await house.scheduler.take_over()
        house.tick()
        await house.wait(hours=4)
        assert house.cycles.begun["alice"][0] == latest


async def test_bots_that_were_due_during_a_short_restart_do_not_all_begin_at_once(tmp_path: Path) -> None:
    async with time_house(tmp_path, ticking=False, resume_on_start=True, catch_up_per_second=20.0) as house:
        due = User(next_run_at=START - timedelta(seconds=30))
        await house.add_users({f"user{number}": due for number in range(100)})
        await house.scheduler.take_over()
        house.tick()
        await house.wait(seconds=30)
        begun = sorted(moments[0] for moments in house.cycles.begun.values())
        assert len(begun) == 100
        assert begun[-1] - begun[0] >= timedelta(seconds=4)


async def test_what_a_command_writes_meanwhile_brings_none_of_them_forward(tmp_path: Path) -> None:
    async with time_house(
        tmp_path, ticking=False, resume_on_start=True, catch_up_per_second=1.0, tick_seconds=2.0
    ) as house:
        due = User(next_run_at=START - timedelta(seconds=30))
        await house.add_users({f"user{number}": due for number in range(20)})
        await house.scheduler.take_over()
        house.tick()
        await house.wait(seconds=3)
        await add_by_a_command(house, "bob")
        await house.wait(seconds=5)
        assert 8 <= len(house.cycles.begun) <= 9, "one a second"


@pytest.mark.parametrize("planned_before", [timedelta(), timedelta(hours=2)], ids=["its own", "gone on with"])
async def test_a_cycle_that_finished_just_before_the_daemon_was_killed_is_not_made_again(
    tmp_path: Path, planned_before: timedelta
) -> None:
    async with time_house(tmp_path, ticking=False, resume_on_start=True) as house:
        slot = START - timedelta(seconds=20)
        await house.add_users({"alice": User(delay_between_cycles=3600, next_run_at=slot)})
        await made(house, slot - planned_before, slot + timedelta(seconds=10))
        await house.scheduler.take_over()
        house.tick()
        await house.wait(hours=1)
        assert [round((moment - START).total_seconds()) for moment in house.cycles.begun["alice"]] == [3590]


async def test_a_finished_cycle_is_not_made_again_though_one_was_made_before_while_the_clock_was_ahead(
    tmp_path: Path,
) -> None:
    async with time_house(tmp_path, ticking=False, resume_on_start=True) as house:
        slot = START - timedelta(seconds=20)
        await house.add_users({"alice": User(delay_between_cycles=3600, next_run_at=slot)})
        await made(house, START + timedelta(seconds=30), slot - timedelta(seconds=5))
        await made(house, slot, slot + timedelta(seconds=10))
        await house.scheduler.take_over()
        house.tick()
        await house.wait(hours=1)
        assert [round((moment - START).total_seconds()) for moment in house.cycles.begun["alice"]] == [3590]


async def test_a_cycle_made_while_the_clock_was_ahead_is_not_taken_for_the_one_that_is_due(tmp_path: Path) -> None:
    async with time_house(tmp_path, ticking=False, resume_on_start=True) as house:
        slot = START - timedelta(seconds=20)
        await house.add_users({"alice": User(delay_between_cycles=3600, next_run_at=slot)})
        await made(house, START + timedelta(hours=20), START + timedelta(hours=20, seconds=5))
        await made(house, slot - timedelta(hours=1), slot - timedelta(minutes=59))
        await house.scheduler.take_over()
        house.tick()
        await house.wait(minutes=30)
        assert house.minutes("alice") == [0]


async def test_a_calendar_met_by_a_clock_that_was_a_little_ahead_is_not_met_again(tmp_path: Path) -> None:
    async with time_house(tmp_path, ticking=False, resume_on_start=True) as house:
        ten_past = START + timedelta(minutes=10)
        daily = User(schedule=Schedule(times=("09:10",)), next_run_at=ten_past + timedelta(days=1))
        await house.add_users({"alice": daily})
        await made(house, ten_past, ten_past + timedelta(minutes=1))
        await house.scheduler.take_over()
        house.tick()
        await house.wait(hours=25)
        assert house.minutes("alice") == [24 * 60 + 10]


@pytest.mark.parametrize("ago", [timedelta(hours=2), timedelta(seconds=30)])
async def test_what_was_cut_off_is_not_gone_on_with_in_quiet_hours(tmp_path: Path, ago: timedelta) -> None:
    async with time_house(tmp_path, ticking=False, resume_on_start=True) as house:
        quiet = Schedule(quiet_hours=("08:59-10:00",))
        await house.add_users({"alice": User(next_run_at=START - ago, schedule=quiet)})
        await made(house, START - ago, None)
        await house.scheduler.take_over()
        house.tick()
        await house.wait(minutes=61)
        assert house.minutes("alice") == [60]


async def test_a_cycle_that_waits_for_the_end_of_quiet_hours_says_so_and_no_command_brings_it_forward(
    tmp_path: Path,
) -> None:
    async with time_house(tmp_path, ticking=False, resume_on_start=True, tick_seconds=2.0) as house:
        quiet = Schedule(quiet_hours=("08:59-10:00",))
        slot = START - timedelta(seconds=30)
        await house.add_users({"alice": User(next_run_at=slot, schedule=quiet), "bob": User()})
        await made(house, slot, None)
        await house.scheduler.take_over()
        assert house.user("alice").next_run_at == START + timedelta(hours=1)
        house.tick()
        await house.wait(seconds=5)
        await add_by_a_command(house, "carol")
        await house.wait(minutes=61)
        assert house.minutes("alice")[0] == 60


@pytest.mark.parametrize("quiet_hours", [(), ("08:59-09:30",)])
async def test_a_single_run_that_passed_while_the_daemon_was_away_is_made_up_for_after_what_was_cut_off(
    tmp_path: Path, quiet_hours: tuple[str, ...]
) -> None:
    async with time_house(tmp_path, ticking=False, resume_on_start=True) as house:
        slot, passed = START - timedelta(hours=2), START - timedelta(hours=1)
        singles = User(next_run_at=slot, schedule=Schedule(once=(slot, passed), quiet_hours=quiet_hours))
        await house.add_users({"zoe": singles, "alice": singles})
        for user in ("zoe", "alice"):
            await made(house, slot, None, user)
        await house.scheduler.take_over()
        house.tick()
        await house.wait(hours=1)
        assert [len(house.cycles.begun[user]) for user in ("zoe", "alice")] == [2, 2], (
            "what was left, and the other run"
        )


async def test_single_runs_are_made_up_for_though_the_daemon_is_killed_again_before_what_was_cut_off_goes_on(
    tmp_path: Path,
) -> None:
    async with time_house(tmp_path, ticking=False, resume_on_start=True, catch_up_per_second=0.1) as house:
        slot, missed = START - timedelta(minutes=10), START - timedelta(minutes=5)
        twice = User(next_run_at=slot, schedule=Schedule(once=(slot, missed)))
        await house.add_users({"alice": twice, "bob": twice, "carol": twice})
        for user in house.store.snapshot.users:
            await made(house, slot, None, user)
        await house.scheduler.take_over()
        house.scheduler = Scheduler(house.services, house.cycles)  # it was killed at once, and started again
        await house.scheduler.take_over()
        house.tick()
        await house.wait(minutes=2)
        for user in ("alice", "bob", "carol"):
            assert len(house.cycles.begun[user]) == 2
            assert "1 run was due while the last cycle was still running; one makes up for them" in house.said(user)


async def test_missed_runs_that_are_made_up_for_one_after_the_other_do_not_begin_in_quiet_hours(tmp_path: Path) -> None:
    async with time_house(tmp_path, ticking=False, resume_on_start=True, catch_up_per_second=0.05) as house:
        due = User(next_run_at=START - timedelta(hours=2), schedule=Schedule(quiet_hours=("09:01-10:00",)))
        await house.add_users({f"user{number}": due for number in range(6)})
        await house.scheduler.take_over()
        house.tick()
        await house.wait(minutes=61)
        assert sorted(house.minutes(f"user{number}")[0] for number in range(6)) == [0, 0.3, 0.7, 60, 60, 60]
