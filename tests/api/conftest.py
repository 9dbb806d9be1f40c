"""The API over a real store and journal in a folder of the test's own."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.app import create_app
from api.security.tokens import issue_token
from core.settings import Settings, load_settings
from scheduler.services import open_services
from tests.api.support import API_PAIRS, SECRET, Api, Remake
from tests.support.clock import MovableClock


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock()


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.chdir(tmp_path)
    return load_settings(jwt_secret=SECRET, api_pairs=API_PAIRS, state_dir=tmp_path / "state")


@pytest.fixture
async def api(settings: Settings, clock: MovableClock) -> AsyncIterator[Api]:
    """Without accounts: whatever is about them says so."""
    async with open_api(settings, clock, accounts=False) as opened:
        yield opened


@pytest.fixture
async def whole_api(settings: Settings, clock: MovableClock) -> AsyncIterator[Api]:
    """With accounts, and a Telegram that nobody answers at."""
    nowhere = load_settings(**{**settings.model_dump(), "dc": "2,127.0.0.1,1"})
    async with open_api(nowhere, clock, accounts=True) as opened:
        yield opened


@asynccontextmanager
async def open_api(settings: Settings, clock: MovableClock, *, accounts: bool) -> AsyncIterator[Api]:
    async with open_services(settings, clock) as services:
        given = services.accounts if accounts else None
        store, journal = services.accounts.store, services.journal
        app = create_app(settings, store, journal, services.bots, clock, given)
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://postfleet.test") as http:
            yield Api(app, http, store, journal, services.cycle, services.bots, services.housekeeping, clock, given)
        await app.close()


@pytest.fixture
def alice(clock: MovableClock) -> dict[str, str]:
    return bearer(clock, "alice")


@pytest.fixture
def bob(clock: MovableClock) -> dict[str, str]:
    return bearer(clock, "bob")


def bearer(clock: MovableClock, user_id: str) -> dict[str, str]:
    token = issue_token(SECRET, user_id, now=clock.now(), lifetime=timedelta(hours=1))
    return {"Authorization": f"Bearer {token}"}


@pytest.fixture
def remake(api: Api, settings: Settings) -> Remake:
    """A client of an API with other settings over the same services."""

    def make(**changes: Any) -> httpx.AsyncClient:
        changed = load_settings(**{**settings.model_dump(), **changes})
        app = create_app(changed, api.store, api.journal, api.bots, api.clock)
        return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://postfleet.test")

    return make
