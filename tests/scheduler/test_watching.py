"""What dies is begun again, what is stuck is ended, and nobody waits for who has much to do."""

import asyncio
import logging
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.pacing.fair_slots import FairSlots
from core.models import User
from scheduler.supervise import keep_alive
from scheduler.watchdog import Watchdog
from tests.scheduler.support import time_house
from tests.support.clock import START, MovableClock
from tests.support.house import open_house, until


async def test_a_task_that_dies_is_logged_with_its_traceback_and_begun_again(caplog: pytest.LogCaptureFixture) -> None:
    clock, lives = MovableClock(), []

    async def work() -> None:
        lives.append(clock.monotonic())
        if len(lives) < 4:
            raise ZeroDivisionError

    with caplog.at_level(logging.ERROR):
        kept = asyncio.create_task(keep_alive("counter", work, clock))
        await asyncio.sleep(0)
        await clock.advance(10)
        await kept
    assert lives == [0.0, 0.5, 1.5, 3.5]
    assert "The counter died" in caplog.text
    assert "ZeroDivisionError" in caplog.text


async def test_a_cancelled_task_is_not_begun_again() -> None:
    clock, lives = MovableClock(), []

    async def work() -> None:
        lives.append(1)
        await clock.sleep(60)

    kept = asyncio.create_task(keep_alive("sleeper", work, clock))
    await asyncio.sleep(0)
    kept.cancel()
    with pytest.raises(asyncio.CancelledError):
        await kept
    await clock.advance(600)
    assert lives == [1]


async def test_a_stuck_cycle_is_ended_told_and_tried_again(tmp_path: Path) -> None:
    async with time_house(tmp_path, stuck_cycle_seconds=600.0) as house:
        await house.add_users(
            {"alice": User(delay_between_posts=30), "bob": User(delay_between_cycles=60)}, running=False
        )
        await house.begin(["alice", "bob"])
        hangs = {"alice": 10**9}
        house.cycles.seconds = lambda user_id: hangs.get(user_id, 0)
        await house.wait(minutes=11)
        watchdog = Watchdog(house.services, house.scheduler)
        assert watchdog.look() == [], "it may rest between posts, and wait for Telegram, on top of the limit"
        await house.wait(minutes=1)
        hangs.clear()
        assert watchdog.look() == ["alice"]
        await house.calm()
        assert not house.scheduler.running
        assert any("no sign of life" in text for text in house.said("alice"))
        await house.wait(minutes=10)
        begun = [round((moment - START).total_seconds()) for moment in house.cycles.begun["alice"]]
        assert begun == [0, 12 * 60 + 30], "what is left of it does not wait for the hour between cycles"
        assert not any("no sign of life" in text for text in house.said("bob"))


async def test_a_cycle_is_not_taken_for_stuck_because_the_whole_machine_stood_still(tmp_path: Path) -> None:
    async with time_house(tmp_path, stuck_cycle_seconds=600.0) as house:
        await house.add_users({"alice": User()}, running=False)
        house.cycles.seconds = lambda _: 120.0
        await house.begin(["alice"])
        await house.wait(seconds=1)
        watching = asyncio.create_task(Watchdog(house.services, house.scheduler).run())
        await asyncio.sleep(0)
        await house.clock.go_to(START + timedelta(hours=3))  # at once: nobody did anything in between
        await until(lambda: not house.scheduler.running, "the cycle to end by itself")
        watching.cancel()
        assert not any("no sign of life" in text for text in house.said("alice"))
        assert house.user("alice").cycles_done == 1


async def test_a_pause_that_is_made_shorter_while_an_account_rests_ends_sooner_and_is_not_taken_for_stuck(
    tmp_path: Path,
) -> None:
    clock = MovableClock()
    async with open_house(tmp_path, accounts=1, clock=clock, stuck_cycle_seconds=60.0, tick_seconds=60.0) as house:
        await house.add_user("alice", ["@plaza01", "@plaza02"], delay_between_posts=3600.0)
        ticking = asyncio.create_task(house.scheduler.run())
        await house.bots.start("alice")
        await until(lambda: house.journal.stats("alice").total_success == 1 and clock.sleepers > 1, "a post, a rest")
        await clock.advance(3000)
        await house.change_user("alice", delay_between_posts=10.0)
        assert Watchdog(house.services, house.scheduler).look() == []
        await clock.advance(30)
        await until(lambda: house.journal.stats("alice").total_success == 2, "the second post")
        await house.scheduler.leave(1)
        ticking.cancel()


async def test_a_cycle_that_keeps_the_operators_distance_between_posts_to_a_group_is_not_stuck(tmp_path: Path) -> None:
    async with time_house(tmp_path, stuck_cycle_seconds=600.0, group_gap_seconds=3600.0) as house:
        await house.add_users({"alice": User()}, running=False)
        await house.begin(["alice"])
        house.cycles.seconds = lambda _: 10.0**9
        await house.wait(minutes=65)
        watchdog = Watchdog(house.services, house.scheduler)
        assert watchdog.look() == []
        await house.wait(minutes=10)
        assert watchdog.look() == ["alice"]
        await house.calm()


@pytest.mark.parametrize("which", ["connections", "sends"])
async def test_a_cycle_that_waits_for_its_turn_is_not_stuck_however_long_that_takes(tmp_path: Path, which: str) -> None:
    async with time_house(
        tmp_path, stuck_cycle_seconds=600.0, max_concurrent_sessions=1, max_concurrent_sends=1
    ) as house:
        slots = getattr(house.services, which)
        await house.add_users({"alice": User()}, running=False)
        house.cycles.seconds = lambda _: 10.0**9
        await house.begin(["alice"])
        async with slots.taken_by("somebody else"):
            waiting = asyncio.create_task(hold(slots, "alice", []))
            await house.wait(hours=2)
            watchdog = Watchdog(house.services, house.scheduler)
            assert watchdog.look() == []
        await waiting
        assert watchdog.look() == ["alice"], "now it has no excuse any more"
        await house.calm()


async def test_a_cycles_task_that_dies_outside_the_cycle_does_not_take_its_user_along(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with time_house(tmp_path) as house:
        await house.add_users({"alice": User(delay_between_cycles=3600)}, running=False)
        original = house.scheduler._turns._run_and_enter

        async def broken(*_: object) -> None:
            raise MemoryError

        monkeypatch.setattr(house.scheduler._turns, "_run_and_enter", broken)
        await house.begin(["alice"])
        await house.calm()
        monkeypatch.setattr(house.scheduler._turns, "_run_and_enter", original)
        await house.wait(seconds=40)
        assert [round((moment - START).total_seconds()) for moment in house.cycles.begun["alice"]] == [30]


# Slots.


async def hold(slots: FairSlots, user: str, order: list[str], seconds: float = 0.0) -> None:
    async with slots.taken_by(user):
        order.append(user)
        await asyncio.sleep(seconds)


async def test_a_user_with_five_groups_is_served_next_though_one_with_five_hundred_came_first() -> None:
    slots, order = FairSlots(lambda: 7), list[str]()
    many = [asyncio.create_task(hold(slots, "big", order)) for _ in range(500)]
    await asyncio.sleep(0)
    few = [asyncio.create_task(hold(slots, "small", order)) for _ in range(5)]
    await asyncio.gather(*many, *few)
    assert max(place for place, user in enumerate(order) if user == "small") < 30
    assert not slots.held_by("big")


async def test_who_holds_more_than_another_who_waits_should_give_way() -> None:
    slots = FairSlots(lambda: 2)
    async with slots.taken_by("big"), slots.taken_by("big"):
        assert not slots.should_give_way("big")
        waiting = asyncio.create_task(hold(slots, "small", []))
        await asyncio.sleep(0)
        assert slots.should_give_way("big")
        assert slots.is_waiting("small")
    await waiting


async def test_a_raised_limit_lets_in_who_waits_and_a_lowered_one_takes_nothing_away() -> None:
    most = 1
    slots, order = FairSlots(lambda: most), list[str]()
    async with slots.taken_by("first"):
        waiting = [asyncio.create_task(hold(slots, user, order, 60)) for user in ("second", "third", "fourth")]
        await asyncio.sleep(0)
        most = 3
        slots.refill()
        await asyncio.sleep(0)
        assert order == ["second", "third"]
        most = 1
        assert slots.held_by("second") == 1
    await asyncio.sleep(0)
    assert order == ["second", "third"], "no new one until there is room by the lower limit"
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)


async def test_a_rest_with_a_slot_ends_when_somebody_with_fewer_comes_to_wait() -> None:
    clock, slots = MovableClock(), FairSlots(lambda: 1)
    async with slots.taken_by("big"):
        resting = asyncio.create_task(slots.rest(clock, asyncio.Event(), 3600, "big"))
        await asyncio.sleep(0)
        waiting = asyncio.create_task(hold(slots, "small", []))
        await asyncio.wait_for(resting, 5)
        assert slots.should_give_way("big")
    await waiting


@given(
    st.integers(1, 4),
    st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["run", "cancel"]), st.integers(0, 3)), max_size=40),
)
def test_no_slot_is_ever_lost_or_given_twice_whoever_is_cancelled(most: int, steps: list[tuple[str, str, int]]) -> None:
    async def play() -> None:
        slots = FairSlots(lambda: most)
        inside = 0

        async def one(user: str, turns: int) -> None:
            nonlocal inside
            async with slots.taken_by(user):
                inside += 1
                try:
                    assert inside <= most
                    for _ in range(turns):
                        await asyncio.sleep(0)
                finally:
                    inside -= 1

        tasks = []
        for user, what, turns in steps:
            task = asyncio.create_task(one(user, turns))
            tasks.append(task)
            if what == "cancel":
                asyncio.get_running_loop().call_soon(task.cancel)
            await asyncio.sleep(0)
        for answer in await asyncio.gather(*tasks, return_exceptions=True):
            assert answer is None or isinstance(answer, asyncio.CancelledError)
        async with asyncio.timeout(5):
            for _ in range(most):
                await slots._take("last")
        assert slots.held_by("last") == most

    asyncio.run(play())
