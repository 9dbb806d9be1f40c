"""A running sandbox and stock Telethon clients that speak to it."""

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from telethon import TelegramClient
from telethon.crypto import rsa

from sandbox.server import Sandbox
from sandbox.world import World, demo_world

Starter = Callable[..., Awaitable[Sandbox]]
Clients = Callable[..., Awaitable[Any]]


@pytest.fixture(scope="session")
def dc_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one RSA key for the whole test run, because creating a key takes longer than most tests."""
    return tmp_path_factory.mktemp("dc")


@pytest.fixture
async def start(dc_folder: Path) -> AsyncIterator[Starter]:
    """Starts sandboxes and stops them at the end."""
    async with AsyncExitStack() as stack:

        async def starter(world: World | None = None, **options: Any) -> Sandbox:
            sandbox = Sandbox(world or demo_world(accounts=4, groups=3), folder=dc_folder, **options)
            await sandbox.start()
            TelegramClient._config = None  # Telethon keeps the first list of data centres for the whole process
            stack.push_async_callback(sandbox.stop)
            rsa.add_key(sandbox.public_key_path.read_text(), old=False)
            return sandbox

        yield starter


@pytest.fixture
async def sandbox(start: Starter) -> Sandbox:
    """Four accounts in three supergroups."""
    return await start()


@pytest.fixture
async def clients(tmp_path: Path) -> AsyncIterator[Clients]:
    """Connects stock clients from ready session files and disconnects them at the end."""
    files = itertools.count()
    async with AsyncExitStack() as stack:

        async def connect(sandbox: Sandbox, account: str, number: int = 0, **options: Any) -> Any:
            path = sandbox.write_session(account, tmp_path / f"{account}-{next(files)}", number)
            settings: dict[str, Any] = {"flood_sleep_threshold": 0, "request_retries": 1, "retry_delay": 0.01}
            client = TelegramClient(str(path), 1, "hash", **settings | options)
            stack.push_async_callback(client.disconnect)
            await client.connect()
            return client

        yield connect


def texts(sandbox: Sandbox, chat: str) -> list[str]:
    """Return the texts of a chat's messages, oldest first."""
    return [message["text"] for message in sandbox.report()["chats"][chat]["messages"]]
