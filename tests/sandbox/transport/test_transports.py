"""Every TCP transport that Telethon supports."""

from typing import Any

import pytest
from telethon import TelegramClient, connection
from telethon.network.connection.tcpintermediate import RandomizedIntermediatePacketCodec
from telethon.network.connection.tcpobfuscated import ConnectionTcpObfuscated
from telethon.sessions import MemorySession

from sandbox.server import Sandbox
from tests.sandbox.conftest import Clients, texts


class ObfuscatedPadded(ConnectionTcpObfuscated):  # type: ignore[misc]  # Telethon ships no types
    """Obfuscated transport with padded intermediate packets, as MTProxy clients use it."""

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
async def test_a_client_works_over_each_transport(sandbox: Sandbox, clients: Clients, transport: Any) -> None:
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
