"""What the API's tests share."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import msgspec
import uvicorn
from starlette.types import ASGIApp

from api.shell import Shell
from core.errors import NoContent, NoGroups
from core.models import BotStatus
from data.data_manager import DataManager, Transaction
from data.journal import Journal
from tests.support.clock import MovableClock

SECRET = "Zk3v9QpL7xW2mN8rT5yB1cD4fG6hJ0sA-uEiOq"


@dataclass(frozen=True)
class Change:
    status: BotStatus
    changed: bool
    text: str


@dataclass(frozen=True)
class Progress:
    cycle: int
    total: int
    done: int
    delivered: int


class StoredBots:
    """Starts and stops bots in the real store without a scheduler behind them."""

    def __init__(self, store: DataManager, clock: MovableClock) -> None:
        self._store = store
        self._clock = clock
        self.running: dict[str, Progress] = {}
        self.stopped_now: list[bool] = []

    async def start(self, user_id: str) -> Change:
        def begin(tx: Transaction) -> Change:
            user = tx.user(user_id)
            if not user.groups:
                raise NoGroups("Add a group first: PATCH /api/config with groups")
            if not user.post_content:
                raise NoContent("Write a post first: PATCH /api/config with post_content")
            if user.bot_status is BotStatus.RUNNING:
                return Change(user.bot_status, False, "It runs already")
            tx.put_user(
                user_id,
                msgspec.structs.replace(user, bot_status=BotStatus.RUNNING, next_run_at=self._clock.now()),
            )
            return Change(BotStatus.RUNNING, True, "Started")

        return await self._store.transact(begin)

    async def stop(self, user_id: str, *, now: bool = False) -> Change:
        self.stopped_now.append(now)

        def end(tx: Transaction) -> Change:
            user = tx.user(user_id)
            if user.bot_status is BotStatus.STOPPED:
                return Change(user.bot_status, False, "It is stopped")
            tx.put_user(user_id, msgspec.structs.replace(user, bot_status=BotStatus.STOPPED, next_run_at=None))
            return Change(BotStatus.STOPPED, True, "Stopped")

        return await self._store.transact(end)

    def progress(self, user_id: str) -> Progress | None:
        return self.running.get(user_id)


@dataclass(frozen=True)
class Api:
    """One API with everything behind it."""

    app: ASGIApp
    http: httpx.AsyncClient
    store: DataManager
    journal: Journal
    bots: StoredBots
    clock: MovableClock

    @property
    def app_state(self) -> Any:
        """What FastAPI's application holds: tickets, streams, rates …"""
        assert isinstance(self.app, Shell)
        return self.app.state


def problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The problem document, after checking that it is one."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert body["code"] == code
    assert body["status"] == status
    assert body["request_id"] == answer.headers["x-request-id"]
    assert body["detail"]
    assert "Traceback" not in answer.text
    return body


async def until(holds: Callable[[], bool], seconds: float = 10.0) -> None:
    """Wait until it holds; fail when it does not in time."""
    async with asyncio.timeout(seconds):
        while not holds():  # noqa: ASYNC110  what it waits for sets no event
            await asyncio.sleep(0.005)


@asynccontextmanager
async def served(app: ASGIApp) -> AsyncIterator[int]:
    """The app behind a real server on a free port of loopback; gives the port."""
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None, timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    try:
        await until(lambda: server.started or task.done())
        port: int = server.servers[0].sockets[0].getsockname()[1]
        yield port
    finally:
        server.should_exit = True
        await task
