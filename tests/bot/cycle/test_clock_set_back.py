"""The clock is set back while bots post: pauses are kept, nobody waits for the clock to catch up."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from bot.cycle.runner import CycleRunner
from bot.health import Health
from bot.pacing.post_history import PostHistory
from tests.support.clock import MovableClock
from tests.support.house import House, open_house, until

G1, G2 = "@plaza01", "@plaza02"
HOUR, DAY, YEAR = 3600.0, 86_400.0, 365 * 86_400.0


async def posts_after(house: House, seconds: float) -> int:
    """How many posts stand in the group after one more cycle so much later. Whatever has to wait is left out."""
    house.services.clock.set_wall(seconds)  # type: ignore[attr-defined]  # it is a MovableClock
    await house.cycle("alice")
    return len(house.texts(G1))


@pytest.mark.parametrize("back", [1.0, HOUR, DAY, YEAR])
async def test_pauses_between_posts_are_kept_once_more_and_no_longer(tmp_path: Path, back: float) -> None:
    clock = MovableClock()
    async with open_house(tmp_path, accounts=1, clock=clock) as house:
        await house.add_user("alice", [G1])
        await house.cycle("alice")
        clock.set_wall(-back)
        books, session = house.services.history, house.store.snapshot.sessions["acc01"]
        standing = books.account("acc01", session)
        place = books.in_group("alice", "acc01", G1, 0, None)
        now = clock.now()
        assert [*standing.account_posts, standing.account_asked] == [now, now]
        assert (place.group_last, place.own_last_in_group) == (now, now)
        clock.set_wall(5)
        assert books.account("acc01", session).account_posts[-1] == now, "it ages from then on"
        assert books.in_group("alice", "acc01", G1, 0, None).group_last == now


@pytest.mark.parametrize("restarted", [False, True])
async def test_the_daily_number_of_posts_is_neither_exceeded_nor_counted_for_longer(
    tmp_path: Path, restarted: bool
) -> None:
    clock = MovableClock()
    async with open_house(
        tmp_path, accounts=1, clock=clock, daily_posts_per_account=3, wait_patience_seconds=0
    ) as house:
        await house.add_user("alice", [G1])
        for _ in range(3):
            await posts_after(house, 6 * HOUR)
        if restarted:
            house.cycles = CycleRunner(
                replace(house.services, history=PostHistory(house.journal, house.settings, clock))
            )
        assert await posts_after(house, -YEAR) == 3, "three posts of the last twelve hours"
        assert await posts_after(house, 11 * HOUR) == 3
        assert await posts_after(house, 2 * HOUR) == 4
        assert await posts_after(house, 4 * HOUR) == 4
        assert await posts_after(house, 2 * HOUR) == 5


async def test_after_a_restart_only_posts_from_before_the_clock_was_set_back_count_as_just_made(tmp_path: Path) -> None:
    clock = MovableClock()
    async with open_house(tmp_path, accounts=1, clock=clock) as house:
        await house.add_user("alice", [G1, G2])
        await house.cycle("alice")
        await posts_after(house, -HOUR)
        await posts_after(house, 600)
        books = PostHistory(house.journal, house.settings, clock)
        await books.open("alice")
        standing = books.account("acc01", house.store.snapshot.sessions["acc01"])
        ages = [(clock.now() - at).total_seconds() for at in standing.account_posts]
        assert ages == [600, 600, 0, 0, 0, 0], "those of before it was set back count as just made, and no others"


@pytest.mark.parametrize("error", ["FLOOD_WAIT_600", "SLOWMODE_WAIT_600"])
async def test_a_wait_telegram_asked_for_is_kept_as_long_as_it_asked(tmp_path: Path, error: str) -> None:
    clock = MovableClock()
    async with open_house(tmp_path, accounts=1, clock=clock, wait_patience_seconds=0) as house:
        await house.add_user("alice", [G1], delay_between_cycles=60.0)
        house.sandbox.add_fault({"error": error, "method": "messages.sendMessage", "count": 1})
        await house.cycle("alice")
        assert await posts_after(house, -YEAR) == 0
        assert await posts_after(house, 599) == 0
        assert await posts_after(house, 2) == 1


async def test_spare_accounts_rest_no_longer_either(tmp_path: Path) -> None:
    clock = MovableClock()
    async with open_house(tmp_path, accounts=1, clock=clock) as house:
        later = clock.now() + timedelta(hours=1)
        await house.services.sessions.hold("acc01", later, "FLOOD_WAIT", "Telegram asked for a pause")
        clock.set_wall(-YEAR)
        await Health.of(house.services, house.journal).round()
        hold = house.store.snapshot.sessions["acc01"].hold
        assert hold is not None
        assert hold.until == clock.now() + timedelta(hours=1)


async def test_a_wait_asked_for_before_the_clock_went_wrong_and_right_again_is_not_cut_short(tmp_path: Path) -> None:
    clock = MovableClock()
    async with open_house(tmp_path, accounts=1, clock=clock, wait_patience_seconds=0) as house:
        await house.add_user("alice", [G1])
        house.sandbox.add_fault({"error": "FLOOD_WAIT_600", "method": "messages.sendMessage", "count": 1})
        await house.cycle("alice")
        clock.set_wall(HOUR)
        assert await posts_after(house, -HOUR + 590) == 0
        assert await posts_after(house, 20) == 1


async def test_a_look_at_posts_soon_after_they_were_made_waits_no_longer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = MovableClock()
    async with open_house(tmp_path, clock=clock, check_posts_after_seconds=10) as house:
        await house.add_user("alice", [G1])
        note = house.services.history.posted

        def posted(*what: Any) -> None:
            note(*what)
            clock.set_wall(-HOUR)

        monkeypatch.setattr(house.services.history, "posted", posted)
        cycle = asyncio.create_task(house.cycle("alice"))
        await until(lambda: clock.sleepers, "the look to be waited for")
        await clock.advance(10)
        await cycle
