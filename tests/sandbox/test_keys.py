"""Keys: the exchange a new client makes, ready-made ones, and what happens with unknown ones."""

import asyncio
import stat
from pathlib import Path

import pytest
from telethon import TelegramClient, errors
from telethon.crypto import AuthKey
from telethon.sessions import MemorySession

from sandbox.mtproto.primes import random_pq
from sandbox.server import Sandbox


async def test_a_new_client_makes_a_key_and_is_nobody_yet(sandbox: Sandbox) -> None:
    session = MemorySession()
    session.set_dc(sandbox.dc_id, *sandbox.address)
    client = TelegramClient(session, 1, "hash", retry_delay=0)
    await client.connect()
    try:
        assert not await client.is_user_authorized()
        assert sandbox.handshakes == 1
    finally:
        await client.disconnect()


async def test_a_key_nobody_knows_is_refused(sandbox: Sandbox) -> None:
    session = MemorySession()
    session.set_dc(sandbox.dc_id, *sandbox.address)
    session.auth_key = AuthKey(b"\x42" * 256)
    client = TelegramClient(session, 1, "hash", connection_retries=0)
    with pytest.raises((errors.AuthKeyNotFound, ConnectionError)):
        await client.connect()
    await client.disconnect()
    await asyncio.gather(client.disconnected, return_exceptions=True)  # Telethon keeps the reason there, too


def test_the_number_to_factor_never_reads_as_negative() -> None:
    for _ in range(200):
        pq = random_pq()
        assert int.from_bytes(pq.to_bytes((pq.bit_length() + 7) // 8, "big"), "big", signed=True) > 0


def test_private_files_are_private(sandbox: Sandbox, tmp_path: Path) -> None:
    session = sandbox.write_session("acc01", tmp_path / "acc01")
    assert session.suffix == ".session"
    for path in (session, sandbox.folder / "private.pem"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_sessions_of_an_account_have_keys_of_their_own(sandbox: Sandbox, tmp_path: Path) -> None:
    one, other = (sandbox.write_session("acc01", tmp_path / f"s{number}", number) for number in (0, 1))
    assert one.read_bytes() != other.read_bytes()
