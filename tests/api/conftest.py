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
from bot.cycle.run import CycleServices
from bot.cycle.runner import CycleRunner
from core.settings import Settings, load_settings
from data.journal.journal import Journal
from data.users.data_manager import DataManager
from scheduler.bots import Bots
from scheduler.housekeeping import Housekeeping
from scheduler.scheduler import Scheduler
from sessions.account_services import AccountServices
from sessions.client import Clients
from sessions.logins import Logins
from sessions.pool import Pool
from sessions.session_manager import SessionManager
from sessions.vault import Vault
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
    store = DataManager.open(settings.state_dir, clock)
    journal = Journal.open(settings.state_dir)
    services = real_services(settings, store, journal, clock)
    bots = bots_of(services)
    account_services = real_accounts(settings, store, journal, clock) if accounts else None
    app = create_app(settings, store, journal, bots, clock, account_services)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://postfleet.test") as http:
        yield Api(app, http, store, journal, services, bots, clock, account_services)
    await app.close()
    if account_services is not None:
        await account_services.logins.close()
    await journal.close()
    await store.close()


@pytest.fixture
def alice(clock: MovableClock) -> dict[str, str]:
    return bearer(clock, "alice")


@pytest.fixture
def bob(clock: MovableClock) -> dict[str, str]:
    return bearer(clock, "bob")


def bearer(clock: MovableClock, user_id: str) -> dict[str, str]:
    token = issue_token(SECRET, user_id, now=clock.now(), lifetime=timedelta(hours=1))
    return {"Authorization": f"Bearer {token}"}


def real_services(settings: Settings, store: DataManager, journal: Journal, clock: MovableClock) -> CycleServices:
    """What real bots post with."""
    pool = Pool(settings.state_dir, Vault.open(settings.state_dir), store, clock)
    sessions = SessionManager(settings, store, pool, clock)
    return CycleServices.put_together(settings, store, journal, sessions, Clients(settings, pool), clock)


def bots_of(services: CycleServices, housekeeping: Housekeeping | None = None) -> Bots:
    """Real bots whose scheduler does not tick: a started bot waits for its first cycle."""
    return Bots(services, Scheduler(services, CycleRunner(services)), housekeeping)


def real_accounts(settings: Settings, store: DataManager, journal: Journal, clock: MovableClock) -> AccountServices:
    """The services for accounts."""
    pool = Pool(settings.state_dir, Vault.open(settings.state_dir), store, clock)
    sessions, clients = SessionManager(settings, store, pool, clock), Clients(settings, pool)
    return AccountServices(store, journal, pool, sessions, clients, Logins(sessions, clients, clock), clock)


@pytest.fixture
def remake(api: Api, settings: Settings) -> Remake:
    """A client of an API with other settings over the same services."""

    def make(**changes: Any) -> httpx.AsyncClient:
        changed = load_settings(**{**settings.model_dump(), **changes})
        app = create_app(changed, api.store, api.journal, api.bots, api.clock)
        return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://postfleet.test")

    return make
