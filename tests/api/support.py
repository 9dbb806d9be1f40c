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
from fastapi.routing import APIRoute

from api.app import RESOURCES
from api.context import ApiContext
from api.openapi.problem_codes import codes_of
from api.problems import CODES
from api.server.gateway import Gateway
from api.server.idempotency import needs_none
from api.server.server import Server
from bot.cycle.run import CycleProgress
from core.models import Session
from core.settings import load_settings
from data.journal.journal import Journal
from data.users.data_manager import DataManager
from scheduler.bots import Bots
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
    bots: Bots
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
def _operations() -> list[tuple[str, str, re.Pattern[str]]]:
    """Method, path and what fits the path, of everything in the document; whole names before placeholders."""
    found = []
    for route in (route for resource in RESOURCES for route in resource.routes.routes if isinstance(route, APIRoute)):
        fits = re.sub(r"\{\w+:path\}", ".+", route.path.replace(".", "[.]"))
        pattern = re.compile(re.sub(r"\{[^}]+\}", "[^/]+", fits))
        template = route.path.replace(":path}", "}")
        found += [(method.lower(), template, pattern) for method in route.methods or ()]
    return sorted(found, key=lambda one: one[1].count("{"))


def documented_codes(method: str, path: str, status: int) -> list[str]:
    """The codes the document promises for that status there; what is no operation has the framework's own."""
    path = "/api/" + path.removeprefix("/api/v1/") if path.startswith("/api/v1/") else path
    for known, template, fits in _operations():
        if known == method.lower() and (fits.fullmatch(path) or template == path):
            return codes_of(known, template, status, keyed=known != "get" and not needs_none(template))
    return [CODES[status]]


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
