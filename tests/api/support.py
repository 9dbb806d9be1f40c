"""What the API's tests share."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from api.app import RESOURCES
from api.context import ApiContext
from api.openapi.document import describe
from api.problems import CODES, MEDIA_TYPE
from api.server.gateway import Gateway
from api.server.server import Server
from bot.cycle.run import CycleProgress, CycleServices
from core.models import Session
from core.settings import load_settings
from data.journal.journal import Journal
from data.users.data_manager import DataManager
from scheduler.bots import Bots
from scheduler.housekeeping import Housekeeping
from sessions.account_services import AccountServices
from tests.support.clock import MovableClock

API_PAIRS = "1001:0123456789abcdef0123456789abcdef"
SECRET = "Zk3v9QpL7xW2mN8rT5yB1cD4fG6hJ0sA-uEiOq"
Remake = Callable[..., httpx.AsyncClient]


@dataclass(frozen=True)
class Api:
    """One API with everything behind it."""

    app: Gateway
    http: httpx.AsyncClient
    store: DataManager
    journal: Journal
    services: CycleServices
    bots: Bots
    housekeeping: Housekeeping
    clock: MovableClock
    accounts: AccountServices | None = None

    def openapi(self) -> dict[str, Any]:
        """The document it describes itself with."""
        return self.app.openapi()

    @property
    def context(self) -> ApiContext:
        """What the routes work with: tickets, streams, rates …"""
        return self.app.context


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
    assert code in documented_codes(answer.request.method, answer.request.url.path, status)
    return body


@cache
def _operations() -> list[tuple[re.Pattern[str], dict[str, Any]]]:
    """Every path of the document as a pattern, with its operations; paths without placeholders come first."""
    app = FastAPI()
    for resource in RESOURCES:
        app.include_router(resource.routes)
    describe(app)
    document = with_responses_in_place(app.openapi())
    paths = sorted(document["paths"].items(), key=lambda entry: entry[0].count("{"))
    return [(_pattern(path), operations) for path, operations in paths]


def _pattern(path: str) -> re.Pattern[str]:
    """What a placeholder stands for has no slash, unless it is a group."""
    return re.compile(re.sub(r"\\{(\w+)\\}", lambda name: ".+" if name[1] == "group" else "[^/]+", re.escape(path)))


def documented_codes(method: str, path: str, status: int) -> list[str]:
    """The codes that the document promises for that status there; what is no operation has the framework's own."""
    path = "/api/" + path.removeprefix("/api/v1/") if path.startswith("/api/v1/") else path
    for pattern, operations in _operations():
        if pattern.fullmatch(path) and method.lower() in operations:
            return codes_in(operations[method.lower()], status)
    return [CODES[status]]


def with_responses_in_place(document: dict[str, Any]) -> dict[str, Any]:
    """The document with each shared response where an operation names it."""
    shared = document["components"]["responses"]

    def in_place(response: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = shared[response["$ref"].rpartition("/")[2]] if "$ref" in response else response
        return found

    paths = {
        path: {
            method: operation | {"responses": {status: in_place(one) for status, one in operation["responses"].items()}}
            for method, operation in operations.items()
        }
        for path, operations in document["paths"].items()
    }
    return document | {"paths": paths}


def codes_in(operation: dict[str, Any], status: int) -> list[str]:
    """The codes of an operation's problems of that status, as the document has them."""
    schema = operation["responses"][str(status)]["content"][MEDIA_TYPE]["schema"]
    codes: list[str] = schema["allOf"][1]["properties"]["code"]["enum"]
    return codes


async def until(holds: Callable[[], bool], seconds: float = 10.0) -> None:
    """Wait until it holds; fail when it does not in time."""
    async with asyncio.timeout(seconds):
        while not holds():  # noqa: ASYNC110  what it waits for sets no event
            await asyncio.sleep(0.005)


@asynccontextmanager
async def serving(app: Gateway, **settings: Any) -> AsyncIterator[Server]:
    """The app behind the daemon's server on a free port of loopback."""
    server = Server(app, load_settings(**settings), graceful_seconds=1)
    task = asyncio.create_task(server.serve())
    try:
        await until(lambda: server.started or task.done())
        yield server
    finally:
        server.should_exit = True
        await task


@asynccontextmanager
async def served(app: Gateway) -> AsyncIterator[int]:
    """The same with settings as they come; gives the port."""
    async with serving(app) as server:
        yield server.port


async def add_account(api: Api, name: str = "s1") -> None:
    """A spare account in the pool."""
    await api.store.transact(lambda tx: tx.put_session(name, Session(added_at=api.clock.now())))


def show_progress(api: Api, monkeypatch: pytest.MonkeyPatch, **progress: Any) -> None:
    """As if the scheduler ran a cycle that far."""
    shown = CycleProgress(**progress)
    monkeypatch.setattr(api.bots, "progress", lambda _: shown)
