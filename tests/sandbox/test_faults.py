"""The sandbox misbehaves exactly when told to."""

import asyncio

import httpx
import pytest
from telethon import errors, functions

from sandbox.rules import matches
from sandbox.server import Sandbox
from sandbox.world import demo_world
from tests.sandbox.conftest import Clients, Starter, texts


async def test_a_rule_strikes_the_named_call_so_many_times(sandbox: Sandbox, clients: Clients) -> None:
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


async def test_other_chats_and_accounts_are_not_struck(sandbox: Sandbox, clients: Clients) -> None:
    sandbox.add_fault({"error": "CHAT_WRITE_FORBIDDEN", "account": "acc01", "chat": "plaza01"})
    client, other = await clients(sandbox, "acc01"), await clients(sandbox, "acc02")
    with pytest.raises(errors.ChatWriteForbiddenError):
        await client(functions.messages.SendMessageRequest((await client.get_dialogs())[0].input_entity, "no"))
    await client.send_message("plaza02", "yes")
    await other.send_message("plaza01", "yes")


async def test_a_banned_account_is_told_so_and_stays_connected(sandbox: Sandbox, clients: Clients) -> None:
    client = await clients(sandbox, "acc01")
    channel = await client.get_input_entity("plaza01")
    sandbox.ban("acc01")
    with pytest.raises(errors.UserDeactivatedBanError):
        await client.send_message(channel, "too late")
    assert client.is_connected()
    assert await client.get_me() is None


async def test_an_account_is_banned_after_its_third_message(start: Starter, clients: Clients) -> None:
    sandbox = await start(demo_world(accounts=2, groups=2, ban_after_sends=3))
    client = await clients(sandbox, "acc02")
    for number in range(3):
        await client.send_message("plaza01", str(number))
    with pytest.raises(errors.UserDeactivatedBanError):
        await client.send_message("plaza01", "3")
    assert sandbox.report()["accounts"]["acc02"]["state"] == "banned"
    assert sandbox.report()["accounts"]["acc01"]["state"] == "active"


@pytest.mark.parametrize("way", ["drop_before", "drop_after", "hang_up_before", "hang_up_after"])
async def test_a_dropped_connection_loses_and_doubles_nothing(sandbox: Sandbox, clients: Clients, way: str) -> None:
    client = await clients(sandbox, "acc01")
    channel = await client.get_input_entity("plaza01")
    sandbox.add_fault({"do": way, "method": "messages.sendMessage", "count": 1})
    await asyncio.wait_for(client.send_message(channel, "through"), 10)
    assert texts(sandbox, "plaza01") == ["through"]
    assert len(sandbox.report()["dedup_hits"]) == way.endswith("after")


async def test_the_control_channel_adds_lists_and_removes_rules(sandbox: Sandbox) -> None:
    async with httpx.AsyncClient(base_url=sandbox.control_url) as control:
        added = await control.post("/faults", json={"error": "CHAT_WRITE_FORBIDDEN", "chat": "plaza01"})
        assert added.status_code == 201
        assert (await control.get("/faults")).json()["faults"] == [added.json()]
        assert (await control.delete("/faults")).json() == {"removed": 1}
        assert (await control.get("/faults")).json() == {"faults": []}


@pytest.mark.parametrize(
    ("rule", "named"),
    [
        ({}, "error"),
        ({"do": "explode"}, "do"),
        ({"error": "X", "probability": 2}, "probability"),
        ({"error": "X", "colour": "red"}, "colour"),
        ({"error": "X", "count": "many"}, "count"),
        ([], "object"),
    ],
)
async def test_a_rule_that_cannot_be_is_refused_by_name(sandbox: Sandbox, rule: object, named: str) -> None:
    async with httpx.AsyncClient(base_url=sandbox.control_url) as control:
        answer = await control.post("/faults", json=rule)
    assert answer.status_code == 400
    assert named in answer.json()["error"]


async def test_the_control_channel_bans_restores_and_kicks(sandbox: Sandbox, clients: Clients) -> None:
    client = await clients(sandbox, "acc01")
    async with httpx.AsyncClient(base_url=sandbox.control_url) as control:
        assert (await control.post("/accounts/acc01/ban")).json()["account"]["state"] == "banned"
        assert (await control.post("/accounts/acc01/restore")).json()["account"]["state"] == "active"
        assert (await control.post("/accounts/nobody/ban")).status_code == 404
        assert (await control.post("/kick", json={"accounts": ["acc01"]})).json() == {"kicked": 1}
    assert (await client.get_me()).first_name == "acc01"


async def test_the_control_channel_tells_of_messages_as_they_arrive(sandbox: Sandbox, clients: Clients) -> None:
    client = await clients(sandbox, "acc01")
    async with httpx.AsyncClient(base_url=sandbox.control_url) as control:
        waiting = asyncio.create_task(control.get("/messages", params={"after": 0, "wait": 10}, timeout=15))
        await client.send_message("plaza01", "first")
        answer = (await waiting).json()
    assert [(entry["chat"], entry["text"]) for entry in answer["messages"]] == [("plaza01", "first")]
    assert answer["last"] == 1


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("deactivated", errors.UserDeactivatedError),
        ("frozen", errors.FrozenMethodInvalidError),
        ("revoked", errors.SessionRevokedError),
        ("duplicated", errors.AuthKeyDuplicatedError),
    ],
)
async def test_an_account_ends_in_each_way_and_is_restored(
    sandbox: Sandbox, clients: Clients, kind: str, error: type[Exception]
) -> None:
    client = await clients(sandbox, "acc01")
    channel = await client.get_input_entity("plaza01")
    sandbox.ban("acc01", kind)
    with pytest.raises(error):
        await client.send_message(channel, "no")
    assert sandbox.report()["accounts"]["acc01"]["state"] == kind
    sandbox.actions.restore("acc01")
    await client.send_message(channel, "yes")
    assert texts(sandbox, "plaza01") == ["yes"]


async def test_a_frozen_account_still_reads(sandbox: Sandbox, clients: Clients) -> None:
    client = await clients(sandbox, "acc01")
    await client.send_message("plaza01", "before")
    sandbox.ban("acc01", "frozen")
    assert [message.text for message in await client.get_messages("plaza01")] == ["before"]
    assert (await client.get_me()).first_name == "acc01"


async def test_the_control_channel_tells_codes_waves_and_outages(sandbox: Sandbox) -> None:
    async with httpx.AsyncClient(base_url=sandbox.control_url) as control:
        assert (await control.get("/accounts/acc01/code")).json() == {"code": None}
        assert len((await control.post("/ban-wave", json={"count": 2})).json()["banned"]) == 2
        assert (await control.post("/drop", json={"seconds": 0.01})).json() == {"ok": True}
        assert (await control.post("/outage", json={"seconds": 0.01})).json() == {"ok": True}
        for path, body in (
            ("/outage", {"seconds": -1}),
            ("/drop", {}),
            ("/ban-wave", {"count": 0}),
            ("/kick", {"accounts": 1}),
        ):
            assert (await control.post(path, json=body)).status_code == 400
        assert (await control.post("/kick", content=b"{")).status_code == 400
        assert (await control.get("/world")).json()["seed"] == 1
        assert "messages" not in (await control.get("/report?messages=0")).json()["chats"]["plaza01"]


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
def test_patterns_mean_names(pattern: str, name: str, meant: bool) -> None:
    assert matches(pattern, name) is meant
