"""What cannot be written for a while, or breaks off half-way, costs nobody their next run."""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from core.errors import StateDamaged, StateError, StateNotWritten, StateTooNew
from core.models import BotStatus, Delivery, DeliveryState, Event, Schedule, User
from data.users.data_manager import Transaction
from scheduler.scheduler import DOUBTS_LOOK_SECONDS
from scheduler.watchdog import Watchdog
from tests.scheduler.support import TimeHouse, no_accounts, time_house
from tests.support.clock import START
from tests.support.house import SOON, until


def fill_the_disk(house: TimeHouse, patch: pytest.MonkeyPatch, refusals: int) -> None:
    """So many commits of users.json fail, then there is room again."""
    original, left = house.store.transact, [refusals]

    async def transact(change: Callable[[Transaction], Any]) -> Any:
        if left[0]:
            left[0] -= 1
            raise StateNotWritten("no space left on device")
        return await original(change)

    patch.setattr(house.store, "transact", transact)


def break_the_log(house: TimeHouse, patch: pytest.MonkeyPatch) -> None:
    """No line of any user's log can be written."""

    async def add_event(event: Event) -> None:
        raise StateError(f"the journal cannot be written: {event.text}")

    patch.setattr(house.services.journal, "add_event", add_event)


def left_by_alice(state: DeliveryState = DeliveryState.PLANNED) -> Delivery:
    """A post of a cycle that broke off."""
    return Delivery(user="alice", cycle=1, group="@plaza", session="acc01", random_id=1, planned_at=START, state=state)


async def test_the_end_of_a_cycle_that_cannot_be_written_begins_no_second_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with time_house(tmp_path) as house:
        await house.add_users({"alice": User(delay_between_cycles=3600)}, running=False)
        house.cycles.seconds = lambda _: 60
        await house.begin(["alice"])
        await house.wait(seconds=30)
        fill_the_disk(house, monkeypatch, 20)
        await house.wait(minutes=100)
        assert house.minutes("alice") == [0, 61]


@pytest.mark.parametrize("kind", [StateNotWritten, StateDamaged, StateTooNew])
async def test_cycles_that_cannot_be_written_down_for_long_stop_no_bot_and_go_on_as_soon_as_there_is_room(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, kind: type[StateError]
) -> None:
    async with time_house(tmp_path) as house:
        await house.add_users({"alice": User(delay_between_cycles=3600)}, running=False)
        house.cycles.faults["alice"] = [kind("the journal: no space left on device") for _ in range(20)]
        await house.begin(["alice"])
        await house.wait(minutes=15)
        assert house.user("alice").bot_status is BotStatus.RUNNING
        assert house.minutes("alice") == [round(0.5 * number, 1) for number in range(21)]
    assert caplog.text.count("A cycle broke off: the journal: no space left on device") == 20
    assert "Traceback" not in caplog.text


async def test_a_single_run_that_passes_while_the_disk_is_full_is_made_up_for_after_the_cycle_that_broke_off(
    tmp_path: Path,
) -> None:
    async with time_house(tmp_path) as house:
        singles = Schedule(once=(START + timedelta(minutes=1), START + timedelta(minutes=5)))
        await house.add_users({"alice": User(schedule=singles)}, running=False)
        house.cycles.faults["alice"] = [StateNotWritten("the journal: no space left on device") for _ in range(20)]
        house.cycles.left["alice"] = left_by_alice()
        await house.begin(["alice"])
        await house.wait(minutes=30)
        assert house.minutes("alice")[-2:] == [11, 11], "what was left of the first, and the second"


async def test_a_cycle_of_which_only_the_end_could_not_be_written_costs_its_bot_no_run(tmp_path: Path) -> None:
    async with time_house(tmp_path) as house:
        await house.add_users({"alice": User(delay_between_cycles=3600)}, running=False)
        house.cycles.faults["alice"] = [StateNotWritten("the journal: no space left on device")]
        house.cycles.left["alice"] = left_by_alice(DeliveryState.DELIVERED)
        await house.begin(["alice"])
        await house.wait(minutes=65)
        assert house.minutes("alice") == [0, 0.5, 60.5], "the second one only writes that the first one ended"


@pytest.mark.parametrize("planned", [True, False])
@pytest.mark.parametrize("back", [0, 25])
async def test_a_single_run_that_comes_while_a_cycle_waits_to_be_tried_again_is_not_lost(
    tmp_path: Path, back: int, planned: bool
) -> None:
    """Also when nothing of it could be written, and when the clock is set back meanwhile."""
    async with time_house(tmp_path, tick_seconds=1.0) as house:
        once = (START + timedelta(seconds=1), START + timedelta(seconds=15))
        await house.add_users({"alice": User(schedule=Schedule(once=once))}, running=False)
        house.cycles.faults["alice"] = [StateNotWritten("the journal: no space left on device")] * 2
        if planned:
            house.cycles.left["alice"] = left_by_alice()
        await house.begin(["alice"])
        await house.wait(seconds=28)
        house.clock.set_wall(-back)
        await house.wait(minutes=3)
        assert len(house.cycles.begun["alice"]) == 4
        assert "1 run was due while the last cycle was still running; one makes up for them" in house.said("alice")


async def test_single_runs_that_come_while_a_disk_is_full_for_long_are_told_once_and_made_up_for_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with time_house(tmp_path) as house:
        once = tuple(START + timedelta(minutes=minute) for minute in (1, 2, 3))
        await house.add_users({"alice": User(schedule=Schedule(once=once))}, running=False)
        await house.begin(["alice"])
        await house.wait(seconds=50)
        house.cycles.seconds = lambda _: 5
        fill_the_disk(house, monkeypatch, 60)
        await house.wait(minutes=30)
        assert len(house.cycles.begun["alice"]) == 2
        assert [text for text in house.said("alice") if "run" in text] == [
            "2 runs were due while the last cycle was still running; one makes up for them"
        ]


async def test_a_bot_that_is_started_again_after_a_cycle_broke_off_makes_up_for_nothing_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with time_house(tmp_path) as house:
        monkeypatch.setattr(house.services.sessions, "assign_at_start", no_accounts)
        daily = Schedule(times=("09:01", "10:00", "12:00"))
        await house.add_users({"alice": User(schedule=daily)}, running=False)
        house.cycles.faults["alice"] = [StateNotWritten("the journal: no space left on device")]
        house.cycles.left["alice"] = left_by_alice()
        await house.bots.start("alice")
        await house.wait(seconds=70)
        await house.bots.stop("alice")
        await house.wait(hours=2)
        await house.bots.start("alice")
        await house.wait(hours=2)
        assert house.minutes("alice") == [1, 180]


async def test_the_clock_is_set_back_while_the_end_of_a_cycle_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with time_house(tmp_path, tick_seconds=2.0) as house:
        await house.add_users({"alice": User(delay_between_cycles=600)}, running=False)
        house.cycles.seconds = lambda _: 60
        await house.begin(["alice"])
        await house.wait(seconds=30)
        fill_the_disk(house, monkeypatch, 5)
        await house.wait(seconds=35)
        house.clock.set_wall(-86400.0)
        await house.wait(hours=2)
        assert len(house.cycles.begun["alice"]) > 5


async def test_a_stop_and_a_start_while_the_end_of_a_cycle_cannot_be_written_both_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with time_house(tmp_path) as house:
        monkeypatch.setattr(house.services.sessions, "assign_at_start", no_accounts)
        once = User(delay_between_cycles=3600, schedule=Schedule(max_cycles=1))
        await house.add_users({"alice": once}, running=False)
        house.cycles.seconds = lambda _: 5
        await house.bots.start("alice")
        await house.wait(seconds=1)
        fill_the_disk(house, monkeypatch, 1)
        await house.wait(seconds=7)
        await house.bots.stop("alice", now=True)
        await house.bots.start("alice")
        await house.wait(minutes=5)
        assert len(house.cycles.begun["alice"]) == 2


async def test_who_leaves_does_not_wait_for_a_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with time_house(tmp_path) as house:
        await house.add_users({"alice": User(delay_between_cycles=60)}, running=False)
        house.cycles.seconds = lambda _: 5
        await house.begin(["alice"])
        await house.wait(seconds=1)
        fill_the_disk(house, monkeypatch, 10**9)
        await house.wait(seconds=30)
        caught = [task for task in house.scheduler._tasks if not task.done()]
        await house.scheduler.leave(SOON)
        assert caught
        assert not any(task.cancelled() for task in caught), "each ended by itself"
    assert "the next start finds out: no space left on device" in caplog.text
    assert "Traceback" not in caplog.text


async def test_late_runs_that_cannot_be_entered_at_once_are_made_up_for_when_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with time_house(tmp_path, tick_seconds=2.0) as house:
        users = {f"user{number}": User(delay_between_cycles=3600) for number in range(5)}
        await house.add_users(users, running=False)
        await house.begin(users)
        await house.wait(minutes=1)
        fill_the_disk(house, monkeypatch, 20)
        house.clock.set_wall(8 * 3600.0)
        await house.wait(hours=12)
        assert {user_id: len(house.cycles.begun[user_id]) for user_id in users} == dict.fromkeys(users, 13)


async def test_a_clock_set_back_while_the_disk_is_full_delays_nobody_for_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with time_house(tmp_path, tick_seconds=2.0) as house:
        await house.add_users({"alice": User(delay_between_cycles=600)}, running=False)
        await house.begin(["alice"])
        await house.wait(minutes=1)
        fill_the_disk(house, monkeypatch, 3)
        house.clock.set_wall(-86400.0)
        await house.wait(minutes=25)
        assert len(house.cycles.begun["alice"]) == 3


async def test_a_log_that_cannot_be_written_stops_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with time_house(tmp_path, tick_seconds=2.0) as house:
        users = {f"user{number}": User(delay_between_cycles=3600) for number in range(3)}
        await house.add_users(users, running=False)
        await house.begin(users)
        await house.wait(minutes=1)
        break_the_log(house, monkeypatch)
        house.cycles.faults = {"user0": [RuntimeError("broken")]}
        house.clock.set_wall(8 * 3600.0)
        await house.wait(hours=4)
        assert all(len(house.cycles.begun[user_id]) >= 4 for user_id in users)


async def test_runs_that_are_late_because_the_disk_was_full_begin_one_after_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with time_house(tmp_path, catch_up_per_second=1.0) as house:
        users = [f"user{number}" for number in range(20)]
        await house.add_users(dict.fromkeys(users, User(delay_between_cycles=1)), running=False)
        house.cycles.seconds = lambda user_id: 1 + int(user_id[4:]) / 10
        await house.begin(users)
        await house.wait(seconds=0.5)
        fill_the_disk(house, monkeypatch, 20 * 20)
        await house.wait(minutes=5)
        begun = sorted(moments[1] for moments in house.cycles.begun.values())
        assert len(begun) == 20
        assert begun[-1] - begun[0] >= timedelta(seconds=18)


async def test_a_start_and_a_stop_that_cannot_be_told_are_a_start_and_a_stop_and_answered_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with time_house(tmp_path) as house:
        monkeypatch.setattr(house.services.sessions, "assign_at_start", no_accounts)
        await house.add_users({"alice": User(delay_between_cycles=600)}, running=False)
        break_the_log(house, monkeypatch)
        assert (await house.bots.start("alice")).changed
        await house.wait(minutes=1)
        assert house.minutes("alice") == [0]
        assert (await house.bots.stop("alice")).changed
        assert house.user("alice").bot_status is BotStatus.STOPPED


def hang_the_disk(house: TimeHouse, patch: pytest.MonkeyPatch) -> asyncio.Event:
    """No commit of users.json goes on before the event, whoever stops waiting for it."""
    works, original = asyncio.Event(), house.store.transact

    async def transact(change: Callable[[Transaction], Any]) -> Any:
        async def work() -> Any:
            await works.wait()
            return await original(change)

        return await asyncio.shield(asyncio.ensure_future(work()))

    patch.setattr(house.store, "transact", transact)
    return works


async def cut_off(request: Coroutine[Any, Any, Any]) -> None:
    """The server gives a request up, as it does when its time is over."""
    task = asyncio.ensure_future(request)
    await asyncio.sleep(0)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def test_a_start_that_was_cut_off_before_its_commit_was_through_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with time_house(tmp_path, tick_seconds=2.0) as house:
        monkeypatch.setattr(house.services.sessions, "assign_at_start", no_accounts)
        await house.add_users({"alice": User(delay_between_cycles=3600)}, running=False)
        works = hang_the_disk(house, monkeypatch)
        await cut_off(house.bots.start("alice"))
        works.set()
        await until(lambda: house.user("alice").bot_status is BotStatus.RUNNING, "the commit to be through")
        await house.wait(seconds=DOUBTS_LOOK_SECONDS + 4)
        assert len(house.cycles.begun["alice"]) == 1


@pytest.mark.parametrize(("delay", "begins"), [(300.0, 5), (1200.0, 20)])
async def test_a_change_of_the_delay_that_was_cut_off_is_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, delay: float, begins: float
) -> None:
    async with time_house(tmp_path, tick_seconds=2.0) as house:
        await house.add_users({"alice": User(delay_between_cycles=600)}, running=False)
        await house.begin(["alice"])
        await house.wait(minutes=1)
        works = hang_the_disk(house, monkeypatch)
        await cut_off(house.change_schedule("alice", delay_between_cycles=delay))
        works.set()
        await house.wait(minutes=24)
        assert house.minutes("alice")[1] == begins


async def test_the_watchdog_ends_a_cycle_once_however_long_the_disk_hangs_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with time_house(tmp_path, stuck_cycle_seconds=600.0) as house:
        await house.add_users({"alice": User(delay_between_cycles=60)}, running=False)
        hangs = {"alice": 10**9}
        house.cycles.seconds = lambda user_id: hangs.get(user_id, 0)
        await house.begin(["alice"])
        await house.wait(minutes=20)
        watchdog, works = Watchdog(house.services, house.scheduler), hang_the_disk(house, monkeypatch)
        watchdog.look()
        await until(lambda: house.scheduler.running["alice"].over, "the cycle to be ended")
        assert watchdog.look() == [], "it is over"
        works.set()
        hangs.clear()
        await house.wait(minutes=10)
        assert len(house.cycles.begun["alice"]) > 1
