"""A cycle over a network that breaks: what was sent counts once, what was not is sent again."""

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from telethon.crypto import AuthKey
from telethon.errors import AuthKeyNotFound
from telethon.sessions import MemorySession

from core.models import DeliveryState, PostContent
from sandbox.server import Sandbox
from sandbox.world import demo_world
from sessions.connections.client import PostingClient, connect
from tests.support.clock import HurriedClock
from tests.support.house import House, house_on, open_house, until

G1, G2, G3 = "@plaza01", "@plaza02", "@plaza03"
SEND = "messages.sendMessage"


@pytest.mark.parametrize("fault", ["drop_after", "drop_before", "hang_up_after", "hang_up_before", "silent"])
async def test_a_lost_answer_leads_to_one_post_not_two_and_not_none(tmp_path: Path, fault: str) -> None:
    async with open_house(tmp_path, send_timeout_seconds=0.5) as house:
        house.sandbox.add_fault({"do": fault, "method": SEND, "chat": "plaza01", "count": 2})
        await house.add_user("alice", [G1, G2])
        await house.cycle("alice")
        assert (house.texts(G1), house.texts(G2)) == (["Hello from alice"], ["Hello from alice"])
        assert {delivery.state for delivery in (await house.deliveries("alice")).values()} == {DeliveryState.DELIVERED}
        assert house.journal.stats("alice").total_success == 2


async def test_random_id_duplicate_counts_once_and_its_message_is_found(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        house.sandbox.add_fault({"do": "drop_after", "method": SEND, "count": 1})
        house.sandbox.add_fault({"error": "RANDOM_ID_DUPLICATE", "method": SEND})
        await house.add_user("alice", [G1])
        await house.cycle("alice")
        delivery = (await house.deliveries("alice"))[G1]
        assert delivery.state is DeliveryState.DELIVERED
        assert [message["id"] for message in house.messages(G1)] == [delivery.message_id]
        calls = house.sandbox.report()["rpc"]
        assert sum(calls[SEND].values()) == 2, "the refused repeat is the last"
        assert sum(calls["messages.getHistory"].values()) == 1, "the message is looked for"


async def test_one_account_that_hangs_does_not_hold_up_the_others(tmp_path: Path) -> None:
    async with open_house(tmp_path, sessions_at_start=2, send_timeout_seconds=1.0) as house:
        house.sandbox.add_fault({"do": "ignore", "account": "acc01", "method": SEND, "count": 2})
        await house.add_user("alice", [G1, G2, G3])
        await house.cycle("alice")
        assert [house.texts(group) for group in (G1, G2, G3)] == [["Hello from alice"]] * 3


async def test_no_connection_or_task_is_left_after_a_cancelled_cycle(tmp_path: Path) -> None:
    async with open_house(tmp_path, sessions_at_start=3) as house:
        before = asyncio.all_tasks()
        await house.add_user("alice", [f"@plaza0{number}" for number in range(1, 7)], delay_between_posts=30.0)
        cycle = asyncio.create_task(house.cycle("alice"))
        await until(lambda: house.services.clients.open == 3, "the connections")
        cycle.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cycle
        assert house.services.clients.open == 0
        await until(lambda: not (asyncio.all_tasks() - before), "the tasks to end")


async def test_an_account_banned_after_an_unanswered_send_is_looked_up_by_another_and_counted_once(
    tmp_path: Path,
) -> None:
    world = demo_world(accounts=3, groups=1, ban_after_sends=1, ban_account="acc01")
    async with open_house(tmp_path, world, sessions_at_start=1) as house:
        house.sandbox.add_fault({"do": "drop_after", "method": SEND, "account": "acc01"})
        await house.add_user("alice", [G1])
        await house.cycle("alice")
        assert house.texts(G1) == ["Hello from alice"]
        delivery = (await house.deliveries("alice"))[G1]
        assert (delivery.state, delivery.session) == (DeliveryState.DELIVERED, "acc01")
        assert house.messages(G1)[0]["id"] == delivery.message_id


async def test_an_account_banned_before_its_send_arrived_leaves_an_unknown_end_and_no_second_post(
    tmp_path: Path,
) -> None:
    async with open_house(tmp_path, accounts=3, sessions_at_start=1, send_timeout_seconds=1.0) as house:
        house.sandbox.add_fault({"do": "drop_before", "method": SEND, "account": "acc01", "count": 1})
        house.sandbox.add_fault({"error": "USER_DEACTIVATED_BAN", "method": SEND, "account": "acc01"})
        await house.add_user("alice", [G1])
        await house.cycle("alice")
        assert house.texts(G1) == []
        assert (await house.deliveries("alice"))[G1].state is DeliveryState.UNKNOWN
        assert "Could not find out whether the post reached" in house.said("alice")


async def test_a_refused_connection_leaves_no_unread_error_behind_for_the_log(tmp_path: Path) -> None:
    unread: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unread.append(str(context)))
    async with open_house(tmp_path) as house:
        session = MemorySession()
        session.set_dc(house.sandbox.dc_id, *house.sandbox.address)
        session.auth_key = AuthKey(b"\x42" * 256)  # nobody's
        client = PostingClient(session, 1001, "hash", connection_retries=1, auto_reconnect=False)
        with pytest.raises(AuthKeyNotFound):
            await connect(client)
        await client.disconnect()
        del client
    gc.collect()
    assert unread == []


async def test_an_outage_is_sat_out_and_the_user_reads_about_it(tmp_path: Path) -> None:
    async with open_house(tmp_path, sessions_at_start=1, network_patience_seconds=30) as house:
        house.sandbox.add_fault({"do": "drop_before", "account": "acc01", "count": 12})
        await house.add_user("alice", [G1, G2])
        cycle = asyncio.create_task(house.cycle("alice"))
        await until(lambda: "cannot reach Telegram and keeps trying" in house.said("alice"), "the first word of it")
        house.sandbox.clear_faults()
        await cycle
        assert [house.texts(group) for group in (G1, G2)] == [["Hello from alice"]] * 2
        assert house.said("alice").count("cannot reach Telegram") == 1


@asynccontextmanager
async def hurried_house(folder: Path, **settings: Any) -> AsyncIterator[House]:
    """Its pauses pass 40 times as fast."""
    sandbox = Sandbox(demo_world(accounts=2, groups=3), folder=folder / "dc")
    await sandbox.start()
    try:
        async with house_on(folder, sandbox, clock=HurriedClock(40), sessions_at_start=1, **settings) as house:
            yield house
    finally:
        await sandbox.stop()


async def test_a_connection_that_closes_in_every_send_is_an_outage_and_sat_out_with_the_patience_of_one(
    tmp_path: Path,
) -> None:
    async with hurried_house(tmp_path, network_patience_seconds=300) as house:
        house.sandbox.add_fault({"do": "hang_up_after", "method": SEND, "count": 9})
        await house.add_user("alice", [G1])
        await house.cycle("alice")
        assert house.texts(G1) == ["Hello from alice"]
        assert (await house.deliveries("alice"))[G1].state is DeliveryState.DELIVERED
        assert house.said("alice").count("cannot reach Telegram and keeps trying") == 1


@pytest.mark.parametrize("fault", ["hang_up_before", "drop_before"])
async def test_a_connection_that_closes_while_a_post_is_pinned_leaves_the_post_delivered(
    tmp_path: Path, fault: str
) -> None:
    async with open_house(tmp_path, sessions_at_start=1) as house:
        house.sandbox.add_fault({"do": fault, "method": "messages.updatePinnedMessage", "count": 1})
        await house.add_user("alice", [G1, G2], post_content=PostContent(text="Hello from alice", pin=True))
        await house.cycle("alice")
        assert (house.texts(G1), house.texts(G2)) == (["Hello from alice"], ["Hello from alice"])
        assert house.said("alice").count("Could not pin the post") == 2, (
            "one for the connection, one for want of rights"
        )
        assert house.user("alice").group_holds == {}


async def test_a_connection_that_closes_while_it_is_looked_after_posts_ends_the_look_alone(tmp_path: Path) -> None:
    async with open_house(tmp_path, sessions_at_start=1, check_posts_after_seconds=0.1) as house:
        house.sandbox.add_fault({"do": "hang_up_before", "method": "channels.getMessages", "count": 1})
        await house.add_user("alice", [G1])
        await house.cycle("alice")
        assert "keeps trying" not in house.said("alice")
        assert (await house.deliveries("alice"))[G1].state is DeliveryState.DELIVERED
