"""An account at work in a cycle is `posting`, wherever its state is shown."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.api.routes.test_sessions import Site, open_site
from tests.support.house import until

GROUP = "@plaza"


@pytest.fixture
async def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Site]:
    monkeypatch.chdir(tmp_path)
    async with open_site(tmp_path) as opened, ticking(opened):
        yield opened


@asynccontextmanager
async def ticking(site: Site) -> AsyncIterator[None]:
    await site.house.scheduler.take_over()
    task = asyncio.create_task(site.house.scheduler.run())
    try:
        yield
    finally:
        await site.house.scheduler.leave(5)
        await task


async def shown(site: Site) -> dict[str, Any]:
    """What the sync state says: each account's health, and its ETag."""
    answer = await site.ask("alice", "GET", "/api/sync/state")
    return {one["name"]: one["health"] for one in answer.json()["sessions"]} | {"etag": answer.headers["etag"]}


async def listed(site: Site, who: str = "alice", path: str = "", *, operator: bool = False) -> dict[str, str]:
    accounts = (await site.ask(who, "GET", path, operator=operator)).json()["accounts"]
    return {one["name"]: one["state"] for one in accounts}


async def test_an_account_is_posting_from_the_first_to_the_last_post_of_its_share(site: Site) -> None:
    name = await site.logged_in("alice")
    await site.house.add_user(
        "alice", [GROUP], assigned_sessions=site.house.user("alice").assigned_sessions, delay_between_cycles=3600.0
    )
    idle = await shown(site)
    assert idle[name] == "ready"
    site.house.sandbox.add_fault({"do": "delay", "seconds": 2.0, "method": "messages.sendMessage", "count": 1})
    await site.house.bots.start("alice")
    await until(site.house.bots.posting, "the share to begin")
    busy = await shown(site)
    assert (busy[name], busy["etag"] != idle["etag"]) == ("posting", True)
    assert (await listed(site))[name] == "posting"
    assert (await listed(site, "root", "/api/admin/sessions", operator=True))[name] == "posting"
    await until(lambda: site.house.texts(GROUP), "the post")
    await until(lambda: not site.house.bots.posting(), "the end of the share")
    done = await shown(site)
    assert (done[name], done["etag"] != busy["etag"]) == ("ready", True)


async def test_an_account_that_is_only_asked_how_it_is_is_not_posting(site: Site) -> None:
    name = await site.logged_in("alice")
    site.house.sandbox.add_fault({"do": "delay", "seconds": 1.0, "method": "account.getPassword", "count": 1})
    check = asyncio.create_task(site.ask("alice", "POST", f"/{name}/check"))
    await until(lambda: site.house.services.clients.at_work(name), "the check")
    assert (await listed(site))[name] == "ready"
    assert (await check).json()["alive"]
