"""The sandbox fails exactly the calls that the fault rules name."""

import asyncio
import time

import pytest
from telethon import errors, functions

from sandbox.rules import matches
from sandbox.server import Sandbox
from tests.sandbox.conftest import Clients, texts


async def test_a_rule_fails_the_named_call_as_often_as_it_says(sandbox: Sandbox, clients: Clients) -> None:
    sandbox.add_fault(
        {"error": "FLOOD_WAIT_30", "account": "acc01", "method": "messages.sendMessage", "chat": "plaza01", "count": 1}
    )
    client = await clients(sandbox, "acc01")
    with pytest.raises(errors.FloodWaitError) as flood:
        await client.send_message("plaza01", "too fast")
    assert flood.value.seconds == 30
    client._flood_waited_requests.clear()
    await client.send_message("plaza01", "patient")
    assert texts(sandbox, "plaza01") == ["patient"]
    report = sandbox.report()
    assert report["floods"] == {"acc01": 1}
    assert [(entry["account"], entry["chat"], entry["error"]) for entry in report["refused"]] == [
        ("acc01", "plaza01", "FLOOD_WAIT_30")
    ]


async def test_a_rule_leaves_other_chats_and_accounts_alone(sandbox: Sandbox, clients: Clients) -> None:
    sandbox.add_fault({"error": "CHAT_WRITE_FORBIDDEN", "account": "acc01", "chat": "plaza01"})
    client, other = await clients(sandbox, "acc01"), await clients(sandbox, "acc02")
    with pytest.raises(errors.ChatWriteForbiddenError):
        await client(functions.messages.SendMessageRequest((await client.get_dialogs())[0].input_entity, "no"))
    await client.send_message("plaza02", "yes")
    await other.send_message("plaza01", "yes")


@pytest.mark.parametrize("way", ["drop_before", "drop_after", "hang_up_before", "hang_up_after"])
async def test_a_dropped_connection_neither_loses_nor_repeats_a_message(
    sandbox: Sandbox, clients: Clients, way: str
) -> None:
    client = await clients(sandbox, "acc01")
    channel = await client.get_input_entity("plaza01")
    sandbox.add_fault({"do": way, "method": "messages.sendMessage", "count": 1})
    await asyncio.wait_for(client.send_message(channel, "through"), 10)
    assert texts(sandbox, "plaza01") == ["through"]
    assert len(sandbox.report()["dedup_hits"]) == way.endswith("after")


@pytest.mark.parametrize(
    ("pattern", "name", "meant"),
    [
        ("*", "acc01", True),
        ("acc01", "acc01", True),
        ("acc01", "acc010", False),
        ("acc*", "acc010", True),
        ("acc?1", "acc01", True),
        ("acc0[12]", "acc02", True),
        ("acc0[12]", "acc03", False),
        ("messages.*", "messages.sendMessage", True),
        ("Acc01", "acc01", False),
    ],
)
def test_patterns_match_names(pattern: str, name: str, meant: bool) -> None:
    assert matches(pattern, name) is meant


async def test_a_silent_server_never_answers_though_it_may_have_delivered(sandbox: Sandbox, clients: Clients) -> None:
    client = await clients(sandbox, "acc01")
    channel = await client.get_input_entity("plaza01")
    for way, delivered in (("ignore", []), ("silent", ["lost reply"])):
        sandbox.clear_faults()
        sandbox.add_fault({"do": way, "method": "messages.sendMessage"})
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.send_message(channel, "lost reply"), 0.3)
        assert texts(sandbox, "plaza01") == delivered


async def test_a_delayed_answer_comes_late(sandbox: Sandbox, clients: Clients) -> None:
    client = await clients(sandbox, "acc01")
    channel = await client.get_input_entity("plaza01")
    sandbox.add_fault({"do": "delay", "seconds": 0.2, "method": "messages.sendMessage"})
    began = time.monotonic()
    await client.send_message(channel, "late")
    assert time.monotonic() - began >= 0.2
