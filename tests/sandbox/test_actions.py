"""Accounts are banned and restored, connections are closed, and timelines act on time."""

import asyncio
import time

import pytest
from telethon import errors

from sandbox.server import Sandbox
from sandbox.world import World, demo_world
from tests.sandbox.conftest import Clients, Starter, texts


async def test_a_banned_account_gets_an_error_and_stays_connected(sandbox: Sandbox, clients: Clients) -> None:
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


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("deactivated", errors.UserDeactivatedError),
        ("frozen", errors.FrozenMethodInvalidError),
        ("revoked", errors.SessionRevokedError),
        ("duplicated", errors.AuthKeyDuplicatedError),
    ],
)
async def test_an_account_is_refused_in_each_way_until_it_is_restored(
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


async def test_kicked_clients_come_back_and_lose_nothing(sandbox: Sandbox, clients: Clients) -> None:
    client = await clients(sandbox, "acc01")
    channel = await client.get_input_entity("plaza01")
    sending = [asyncio.create_task(client.send_message(channel, str(number))) for number in range(20)]
    await asyncio.sleep(0)
    sandbox.kick()
    await asyncio.wait_for(asyncio.gather(*sending), 20)
    assert sorted(texts(sandbox, "plaza01"), key=int) == [str(number) for number in range(20)]


async def test_an_outage_ends_and_clients_come_back(sandbox: Sandbox, clients: Clients) -> None:
    client = await clients(sandbox, "acc01", connection_retries=50, retry_delay=0.05)
    channel = await client.get_input_entity("plaza01")
    sandbox.actions.outage(0.3)
    began = time.monotonic()
    await asyncio.sleep(0.05)
    with pytest.raises(OSError, match=r"[Cc]onnect"):
        await asyncio.open_connection(*sandbox.address)
    await asyncio.wait_for(client.send_message(channel, "after all"), 20)
    assert time.monotonic() - began >= 0.3
    assert texts(sandbox, "plaza01") == ["after all"]


async def test_new_connections_are_dropped_for_a_while(sandbox: Sandbox) -> None:
    sandbox.actions.drop(30)
    reader, writer = await asyncio.open_connection(*sandbox.address)
    try:
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await asyncio.wait_for(reader.readexactly(1), 5)
    finally:
        writer.close()


async def test_a_ban_wave_is_drawn_from_the_seed(start: Starter) -> None:
    drawn = []
    for _ in range(2):
        sandbox = await start(demo_world(seed=5))
        drawn.append(sandbox.actions.ban_wave(4))
        states = {name: account["state"] for name, account in sandbox.report()["accounts"].items()}
        assert sorted(name for name, state in states.items() if state == "banned") == drawn[-1]
    assert drawn[0] == drawn[1]
    assert len(drawn[0]) == 4


async def test_a_timeline_acts_on_time(start: Starter, clients: Clients) -> None:
    world = World(
        accounts=demo_world().accounts[:3],
        timeline=[
            {"at": 0.05, "do": "frozen", "account": "acc01"},
            {"at": 0.05, "do": "fault", "rule": {"error": "SERVER_ERROR", "account": "acc02"}},
            {"at": 0.1, "do": "ban_wave", "count": 3},
        ],
    )
    sandbox = await start(world)
    for _ in range(200):
        if sandbox.report()["accounts"]["acc03"]["state"] == "banned":
            break
        await asyncio.sleep(0.01)
    states = [account["state"] for account in sandbox.report()["accounts"].values()]
    assert states == ["frozen", "banned", "banned"]
    assert len(sandbox.centre.rules.all()) == 1
