"""Keys from a key exchange, keys derived from the seed, and unknown keys."""

import asyncio
import stat
from pathlib import Path

import pytest
from telethon import TelegramClient, errors
from telethon.crypto import AuthKey
from telethon.sessions import MemorySession

from sandbox.keys import server_key
from sandbox.server import Sandbox


async def test_a_new_client_gets_a_key_and_is_not_signed_in(sandbox: Sandbox) -> None:
    session = MemorySession()
    session.set_dc(sandbox.dc_id, *sandbox.address)
    client = TelegramClient(session, 1, "hash", retry_delay=0)
    await client.connect()
    try:
        assert not await client.is_user_authorized()
        assert sandbox.handshakes == 1
    finally:
        await client.disconnect()


async def test_an_unknown_key_is_refused(sandbox: Sandbox) -> None:
    session = MemorySession()
    session.set_dc(sandbox.dc_id, *sandbox.address)
    session.auth_key = AuthKey(b"\x42" * 256)
    client = TelegramClient(session, 1, "hash", connection_retries=0)
    with pytest.raises((errors.AuthKeyNotFound, ConnectionError)):
        await client.connect()
    await client.disconnect()
    await asyncio.gather(client.disconnected, return_exceptions=True)  # Telethon keeps the reason there as well


def test_private_files_are_private(sandbox: Sandbox, tmp_path: Path) -> None:
    session = sandbox.write_session("acc01", tmp_path / "acc01")
    assert session.suffix == ".session"
    for path in (session, sandbox.folder / "private.pem"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_each_session_of_an_account_has_its_own_key(sandbox: Sandbox, tmp_path: Path) -> None:
    one, other = (sandbox.write_session("acc01", tmp_path / f"s{number}", number) for number in (0, 1))
    assert one.read_bytes() != other.read_bytes()


def test_a_folder_keeps_its_key(tmp_path: Path) -> None:
    first, again = server_key(tmp_path), server_key(tmp_path)
    assert first.fingerprint == again.fingerprint
