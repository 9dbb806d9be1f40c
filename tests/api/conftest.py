"""The API over a real store and journal in a folder of the test's own."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from api.app import create_app
from api.shell import Shell
from api.tokens import issue_token
from core.settings import Settings, load_settings
from data.data_manager import DataManager
from data.journal import Journal
from tests.api.support import SECRET, Api, StoredBots
from tests.support.clock import MovableClock


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock()


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.chdir(tmp_path)
    return load_settings(jwt_secret=SECRET, state_dir=tmp_path / "state")


@pytest.fixture
async def api(settings: Settings, clock: MovableClock) -> AsyncIterator[Api]:
    store = DataManager.open(settings.state_dir, clock)
    journal = Journal.open(settings.state_dir)
    bots = StoredBots(store, clock)
    app = create_app(settings, store, journal, bots, clock)
    assert isinstance(app, Shell)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://postfleet.test") as http:
        yield Api(app=app, http=http, store=store, journal=journal, bots=bots, clock=clock)
    await app.state.memory.close()
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
