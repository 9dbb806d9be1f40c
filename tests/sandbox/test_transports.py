"""Every TCP transport Telethon speaks, and what happens to connections."""

import asyncio
import time
from typing import Any

import pytest
from telethon import TelegramClient, connection
from telethon.network.connection.tcpintermediate import RandomizedIntermediatePacketCodec
from telethon.network.connection.tcpobfuscated import ConnectionTcpObfuscated
from telethon.sessions import MemorySession

from sandbox.server import Sandbox
from sandbox.world import World, demo_world
from tests.sandbox.conftest import Clients, Starter, texts


class ObfuscatedPadded(ConnectionTcpObfuscated):  # type: ignore[misc]  # Telethon ships no types
    """Obfuscated with padded intermediate packets, as MTProxy clients have it."""

    packet_codec = RandomizedIntermediatePacketCodec


@pytest.mark.parametrize(
    "transport",
    [
        connection.ConnectionTcpFull,
        connection.ConnectionTcpAbridged,
        connection.ConnectionTcpIntermediate,
        ConnectionTcpObfuscated,
        ObfuscatedPadded,
    ],
)
async def test_a_client_speaks_over_each_transport(sandbox: Sandbox, clients: Clients, transport: Any) -> None:
    client = await clients(sandbox, "acc01", connection=transport)
    await client.send_message("plaza01", "x" * 4000)
    assert texts(sandbox, "plaza01") == ["x" * 4000]


@pytest.mark.parametrize("transport", [connection.ConnectionTcpAbridged, ObfuscatedPadded])
async def test_a_key_is_exchanged_over_each_transport(sandbox: Sandbox, transport: Any) -> None:
    session = MemorySession()
    session.set_dc(sandbox.dc_id, *sandbox.address)
    client = TelegramClient(session, 1, "hash", connection=transport)
    await client.connect()
    try:
        assert not await client.is_user_authorized()
    finally:
        await client.disconnect()


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


async def test_salts_rotate_without_anybody_noticing(start: Starter, clients: Clients) -> None:
    world = demo_world(accounts=1, groups=1)
    world.salt_seconds = 1
    sandbox = await start(world)
    client = await clients(sandbox, "acc01")
    channel = await client.get_input_entity("plaza01")
    ends = time.monotonic() + 2.6
    while time.monotonic() < ends:
        await client.send_message(channel, "tick")
        await asyncio.sleep(0.05)
    assert len(set(texts(sandbox, "plaza01"))) == 1
    assert await client.get_me() is not None


async def test_a_wave_bans_so_many_accounts_drawn_from_the_seed(start: Starter) -> None:
    drawn = []
    for _ in range(2):
        sandbox = await start(demo_world(seed=5))
        drawn.append(sandbox.actions.ban_wave(4))
        states = {name: account["state"] for name, account in sandbox.report()["accounts"].items()}
        assert sorted(name for name, state in states.items() if state == "banned") == drawn[-1]
    assert drawn[0] == drawn[1]
    assert len(drawn[0]) == 4


async def test_a_timeline_does_things_at_their_time(start: Starter, clients: Clients) -> None:
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
