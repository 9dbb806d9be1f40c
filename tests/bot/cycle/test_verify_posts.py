"""After the post: posts that a moderating bot takes away are noticed, told and counted as what they were."""

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from bot.cycle.run import CycleControl, StopReason
from core.models import DeliveryState
from sandbox.world import AccountSpec, ChatSpec, World
from tests.support.house import open_house, until

WATCHED, QUIET = "@watched", "@quiet"


def world() -> World:
    chats = [ChatSpec(username="watched", deletes_after=0.2), ChatSpec(username="quiet")]
    return World(accounts=[AccountSpec(name="acc01")], chats=chats)


async def test_a_post_that_was_taken_away_is_told_and_the_one_that_stands_is_not(tmp_path: Path) -> None:
    async with open_house(tmp_path, world(), check_posts_after_seconds=1.0) as house:
        await house.add_user("alice", [WATCHED, QUIET])
        await house.cycle("alice")
        deliveries = await house.deliveries("alice")
        assert (deliveries[WATCHED].state, deliveries[WATCHED].error) == (DeliveryState.DELIVERED, "POST_REMOVED")
        assert (deliveries[QUIET].state, deliveries[QUIET].error) == (DeliveryState.DELIVERED, None)
        told = [event.group for event in house.events("alice") if event.action == "post_removed"]
        assert told == [WATCHED]
        stats = house.journal.stats("alice")
        assert (stats.total_posts, stats.total_success, stats.total_failures) == (2, 2, 0)
        long_ago = house.services.clock.now() - timedelta(hours=1)
        health = {one.key: one.health for one in await house.journal.counts("alice", long_ago, by_group=True)}
        assert health == {WATCHED: 0, QUIET: 100}


async def test_nobody_looks_unless_asked_to(tmp_path: Path) -> None:
    async with open_house(tmp_path, world()) as house:
        await house.add_user("alice", [WATCHED, QUIET])
        await house.cycle("alice")
        assert "channels.getMessages" not in house.sandbox.report()["rpc"]


async def test_a_stop_does_not_wait_for_the_look(tmp_path: Path) -> None:
    async with open_house(tmp_path, world(), check_posts_after_seconds=600) as house:
        await house.add_user("alice", [QUIET])
        control = CycleControl()
        cycle = asyncio.create_task(house.cycle("alice", control))
        await until(lambda: house.journal.stats("alice").total_success, "the post")
        control.end(StopReason.STOPPED)
        await cycle
        assert await house.journal.unfinished_cycle("alice") is None


async def test_cancelled_while_it_waits_to_look_it_leaves_no_task_and_no_connection(tmp_path: Path) -> None:
    async with open_house(tmp_path, world(), check_posts_after_seconds=600) as house:
        await house.add_user("alice", [QUIET])
        before = asyncio.all_tasks()
        cycle = asyncio.create_task(house.cycle("alice"))
        await until(lambda: house.journal.stats("alice").total_success, "the post")
        cycle.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cycle
        assert house.services.clients.open == 0
        await until(lambda: not (asyncio.all_tasks() - before), "the tasks to end")


async def test_trouble_while_looking_spoils_nothing(tmp_path: Path) -> None:
    async with open_house(tmp_path, world(), check_posts_after_seconds=0.3) as house:
        house.sandbox.add_fault({"error": "CHANNEL_PRIVATE", "method": "channels.getMessages"})
        await house.add_user("alice", [WATCHED, QUIET])
        await house.cycle("alice")
        assert {one.state for one in (await house.deliveries("alice")).values()} == {DeliveryState.DELIVERED}
        assert house.user("alice").group_holds == {}
