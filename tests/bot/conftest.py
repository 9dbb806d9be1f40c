"""A sandbox with two accounts that are connected, and a user's media folder."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from telethon import TelegramClient

from sandbox.server import Sandbox
from sandbox.world import AccountSpec, ChatSpec, World
from tests.support.films import film, sound
from tests.support.pictures import png


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[Sandbox]:
    world = World(
        accounts=[AccountSpec(name="ann"), AccountSpec(name="bob")],
        chats=[
            ChatSpec(username="plaza"),
            ChatSpec(username="annex", members=["ann"]),
            ChatSpec(username="forum", kind="forum", topics=["News", "Chess"]),
            ChatSpec(username="vault", protected=True),
        ],
    )
    centre = Sandbox(world, folder=tmp_path / "dc")
    await centre.start()
    yield centre
    await centre.stop()


@contextlib.asynccontextmanager
async def _connected(sandbox: Sandbox, name: str, folder: Path) -> AsyncIterator[Any]:
    path = sandbox.write_session(name, folder / name)
    client = TelegramClient(str(path), 1, "hash", flood_sleep_threshold=0, request_retries=1, retry_delay=0)
    await client.connect()
    yield client
    await client.disconnect()


@pytest.fixture
async def ann(sandbox: Sandbox, tmp_path: Path) -> AsyncIterator[Any]:
    async with _connected(sandbox, "ann", tmp_path) as client:
        yield client


@pytest.fixture
async def bob(sandbox: Sandbox, tmp_path: Path) -> AsyncIterator[Any]:
    async with _connected(sandbox, "bob", tmp_path) as client:
        yield client


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The user's media folder."""
    made = tmp_path / "media"
    made.mkdir()
    (made / "cat.png").write_bytes(png())
    (made / "dog.png").write_bytes(png(shade=10))
    (made / "film.mp4").write_bytes(film())
    (made / "talk.ogg").write_bytes(sound("ogg"))
    (made / "song.mp3").write_bytes(sound("mp3"))
    (made / "paper.pdf").write_bytes(b"%PDF" + bytes(700_000))
    (made / "plain").write_bytes(b"anything")
    return made
