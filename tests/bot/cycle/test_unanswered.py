"""Posts whose answer was lost are looked for before they are closed, whatever ends them."""

import asyncio
from pathlib import Path

import pytest

from bot.cycle.run import CycleControl, StopReason
from core.models import DeliveryState, Media, Poll, PostContent, PostType
from sandbox.server import Sandbox
from sandbox.world import demo_world
from tests.support.clock import HurriedClock
from tests.support.house import House, house_on, open_house, until
from tests.support.pictures import png

G1, G2 = "@plaza01", "@plaza02"
GROUPS = [f"@plaza{number:02}" for number in range(1, 5)]
ANY_POST = "messages.[sf]*"
POSTS = {
    PostType.TEXT: PostContent(text="Hello"),
    PostType.PHOTO: PostContent(text="see", media=(Media(file="cat.png"),)),
    PostType.ALBUM: PostContent(text="see", media=(Media(file="cat.png"), Media(file="cat.png"))),
    PostType.POLL: PostContent(poll=Poll(question="Tea?", answers=("yes", "no"))),
}


async def stop_while_in_flight(house: House, arrived: int) -> None:
    """Stop the bot at once while no post has its answer yet; so many have arrived."""
    control = CycleControl()
    await house.give_sessions("alice")
    cycle = asyncio.create_task(house.cycle("alice", control))
    await until(lambda: sum(bool(house.messages(group)) for group in GROUPS) >= arrived, "the posts to arrive")
    control.end(StopReason.STOPPED)
    await cycle


@pytest.mark.parametrize("kind", POSTS, ids=str)
async def test_a_stop_at_once_counts_what_had_arrived(tmp_path: Path, kind: PostType) -> None:
    async with open_house(tmp_path, sessions_at_start=4, send_timeout_seconds=1.0) as house:
        folder = house.settings.state_dir / "media" / "alice"
        folder.mkdir(parents=True)
        (folder / "cat.png").write_bytes(png())
        house.sandbox.add_fault({"do": "silent", "method": ANY_POST})
        await house.add_user("alice", GROUPS, post_type=kind, post_content=POSTS[kind])
        await stop_while_in_flight(house, arrived=4)
        ends = await house.deliveries("alice")
        assert {delivery.state for delivery in ends.values()} == {DeliveryState.DELIVERED}
        for group, delivery in ends.items():
            assert delivery.message_id == house.messages(group)[0]["id"]
        assert [len(house.messages(group)) for group in GROUPS] == [max(1, len(POSTS[kind].media))] * 4
        assert "Could not find out" not in house.said("alice")
        assert await house.journal.unfinished_cycle("alice") is None


async def test_a_stop_at_once_does_not_take_the_post_of_the_cycle_before_for_this_one(tmp_path: Path) -> None:
    async with open_house(tmp_path, sessions_at_start=1, send_timeout_seconds=0.5) as house:
        await house.add_user("alice", [G1])
        await house.cycle("alice")
        house.sandbox.add_fault({"do": "ignore", "method": ANY_POST})
        control = CycleControl()
        cycle = asyncio.create_task(house.cycle("alice", control))
        await until(lambda: "cannot reach Telegram" in house.said("alice"), "the first lost answer")
        control.end(StopReason.STOPPED)
        await cycle
        delivery = (await house.deliveries("alice"))[G1]
        assert delivery.state is DeliveryState.UNKNOWN
        assert delivery.reason == "the bot was stopped; it does not stand in the chat"
        assert len(house.texts(G1)) == 1


async def test_a_stop_at_once_leaves_out_what_telegram_had_refused_for_a_while(tmp_path: Path) -> None:
    async with open_house(tmp_path, sessions_at_start=1) as house:
        house.sandbox.add_fault({"error": "FLOOD_WAIT_3", "method": ANY_POST, "count": 1})
        await house.add_user("alice", [G1, G2])
        control = CycleControl()
        cycle = asyncio.create_task(house.cycle("alice", control))
        await until(lambda: "rests until" in house.said("alice"), "the flood wait")
        control.end(StopReason.STOPPED)
        await cycle
        ends = await house.deliveries("alice")
        assert {delivery.state for delivery in ends.values()} == {DeliveryState.SKIPPED}, "a refusal is an answer"


async def test_content_that_is_refused_to_one_account_leaves_the_post_of_another_one_counted(tmp_path: Path) -> None:
    async with open_house(tmp_path, sessions_at_start=2, send_timeout_seconds=1.0) as house:
        house.sandbox.add_fault({"do": "silent", "method": ANY_POST, "account": "acc02"})
        house.sandbox.add_fault(
            {"do": "delay", "method": "contacts.resolveUsername", "account": "acc01", "seconds": 0.5}
        )
        house.sandbox.add_fault({"error": "MESSAGE_EMPTY", "method": ANY_POST, "account": "acc01"})
        await house.add_user("alice", GROUPS)
        await house.cycle("alice")
        ends = await house.deliveries("alice")
        standing = {group for group in GROUPS if house.texts(group)}
        assert len(standing) == 1
        assert {group for group, end in ends.items() if end.state is DeliveryState.DELIVERED} == standing
        assert {end.state for group, end in ends.items() if group not in standing} == {DeliveryState.FAILED}


@pytest.mark.parametrize("first", ["silent", "ignore"])
@pytest.mark.parametrize("then", ["RPC_CALL_FAIL", "CHAT_WRITE_FORBIDDEN", "FLOOD_WAIT_600", "SLOWMODE_WAIT_600"])
async def test_what_ends_a_post_after_its_answer_was_lost_does_not_hide_that_it_arrived(
    tmp_path: Path, first: str, then: str
) -> None:
    sandbox = Sandbox(demo_world(accounts=1, groups=2), folder=tmp_path / "dc")
    await sandbox.start()
    try:
        async with house_on(tmp_path, sandbox, clock=HurriedClock(20), send_timeout_seconds=0.5) as house:
            sandbox.add_fault({"do": first, "method": ANY_POST, "chat": "plaza01", "count": 1})
            sandbox.add_fault({"error": then, "method": ANY_POST, "chat": "plaza01"})
            await house.add_user("alice", [G1])
            await house.cycle("alice")
            delivery = (await house.deliveries("alice"))[G1]
            if first == "silent":
                assert delivery.state is DeliveryState.DELIVERED
                assert [message["id"] for message in house.messages(G1)] == [delivery.message_id]
            else:
                assert delivery.state is DeliveryState.UNKNOWN
                assert str(delivery.reason).endswith("it does not stand in the chat")
            assert "tried again" not in str(delivery.reason)
    finally:
        await sandbox.stop()


async def test_what_was_in_flight_when_its_account_began_to_rest_is_looked_for_after_a_restart(tmp_path: Path) -> None:
    async with open_house(tmp_path, accounts=1, send_timeout_seconds=0.5) as house:
        house.sandbox.add_fault({"do": "silent", "method": ANY_POST})
        await house.add_user("alice", [G1])
        control = CycleControl()
        cycle = asyncio.create_task(house.cycle("alice", control))
        await until(lambda: house.texts(G1), "the post to arrive")
        control.end(StopReason.SHUTDOWN)
        await cycle
        until_then = house.services.clock.now().replace(year=house.services.clock.now().year + 1)
        await house.services.sessions.hold("acc01", until_then, "PEER_FLOOD", "Telegram limited this account")
        await house.cycle("alice")
        assert (await house.deliveries("alice"))[G1].state is DeliveryState.DELIVERED
        assert len(house.texts(G1)) == 1


async def test_what_cannot_be_looked_for_says_so(tmp_path: Path) -> None:
    async with open_house(tmp_path, accounts=1, send_timeout_seconds=0.5) as house:
        house.sandbox.add_fault({"do": "silent", "method": ANY_POST})
        house.sandbox.add_fault({"error": "CHANNEL_PRIVATE", "method": "messages.getHistory"})
        await house.add_user("alice", [G1])
        control = CycleControl()
        cycle = asyncio.create_task(house.cycle("alice", control))
        await until(lambda: house.texts(G1), "the post to arrive")
        control.end(StopReason.STOPPED)
        await cycle
        delivery = (await house.deliveries("alice"))[G1]
        assert (delivery.state, delivery.reason) == (
            DeliveryState.UNKNOWN,
            "the bot was stopped; it could not be looked for",
        )
