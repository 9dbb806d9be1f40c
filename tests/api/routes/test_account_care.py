"""Accounts deleted and given another API pair, and pairs checked and removed, over the API."""

import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from core.models import SessionState
from tests.api.routes.test_sessions import ANN, WORLD, Site, open_site
from tests.api.support import problem
from tests.support.house import API_PAIRS

REAL = {int(pair.split(":")[0]): pair.split(":")[1] for pair in API_PAIRS.split(",")} | {1003: "ab" * 16}
NEW = {"api_id": 1003, "api_hash": "ab" * 16}
MISTYPED = {"api_id": 1003, "api_hash": "ba" * 16}


@pytest.fixture
async def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Site]:
    """Telegram knows the pairs of the settings, and 1003."""
    monkeypatch.chdir(tmp_path)
    async with open_site(tmp_path, replace(WORLD, api_pairs=dict(REAL))) as opened:
        yield opened


def login_states(site: Site, account: str) -> list[str]:
    centre = site.house.sandbox.centre
    return [login.state for login in centre.keys.logins_of(centre.account(account))][1:]


async def test_its_owner_deletes_an_account_which_is_logged_out(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "postfleet.security")
    name = await site.logged_in("alice")
    problem(await site.ask("mallory", "DELETE", f"/{name}"), 404, "unknown_session")
    assert login_states(site, "ann") == ["ok"]
    done = await site.ask("alice", "DELETE", f"/{name}")
    assert (done.status_code, done.json()) == (200, {"name": name, "logged_out": True, "reason": None})
    assert "ok" not in login_states(site, "ann")
    assert (await site.ask("alice", "GET", "")).json()["accounts"] == []
    assert "session_deleted" in [record.__dict__.get("action") for record in caplog.records]
    assert f"{name} was deleted" in site.house.said("alice")
    problem(await site.ask("alice", "DELETE", f"/{name}"), 404, "unknown_session")
    assert await site.logged_in("alice") == name


async def test_a_login_that_is_used_elsewhere_stays_open(site: Site) -> None:
    name = await site.logged_in("alice")
    done = await site.ask("alice", "DELETE", f"/{name}?log_out=false")
    assert (done.json()["logged_out"], login_states(site, "ann")) == (False, ["ok"])


async def test_who_posts_with_a_spare_account_may_release_and_not_delete_it(site: Site) -> None:
    await site.house.add_user("bob", ["@plaza"])
    begun = (await site.ask("root", "POST", "/logins", {"phone": ANN, "spare": True}, operator=True)).json()
    done = await site.ask("root", "POST", f"/logins/{begun['id']}/code", {"code": "12345"}, operator=True)
    name = done.json()["session"]
    await site.house.give_sessions("bob")
    problem(await site.ask("bob", "DELETE", f"/{name}"), 403, "forbidden")
    assert (await site.ask("root", "DELETE", f"/{name}", operator=True)).status_code == 200
    assert site.house.user("bob").assigned_sessions == ()


async def test_an_account_at_work_is_not_deleted(site: Site) -> None:
    name = await site.logged_in("alice")
    api_id = site.house.store.snapshot.sessions[name].api_id
    assert api_id is not None
    async with site.house.services.clients.connected(name, api_id):
        problem(await site.ask("alice", "DELETE", f"/{name}"), 409, "session_in_use")


async def test_a_mistyped_pair_is_refused_and_one_that_cannot_be_checked_is_added_unchecked(site: Site) -> None:
    refused = await site.ask("root", "POST", "/api/admin/pairs", MISTYPED, operator=True)
    assert problem(refused, 422, "invalid_input")["errors"][0]["field"] == "api_hash"
    site.house.sandbox.actions.drop(60)
    problem(await site.ask("root", "POST", "/api/admin/pairs", NEW, operator=True), 409, "pair_not_checked")
    assert 1003 not in site.house.services.sessions.pairs.usable()
    added = await site.ask("root", "POST", "/api/admin/pairs", {**NEW, "unchecked": True}, operator=True)
    assert added.status_code == 201
    assert 1003 in site.house.services.sessions.pairs.usable()
    problem(await site.ask("root", "POST", "/api/admin/pairs/1003/check", operator=True), 409, "pair_not_checked")


async def test_an_operator_checks_gives_and_removes_pairs(site: Site) -> None:
    name = await site.logged_in("alice")
    assert (await site.ask("root", "POST", "/api/admin/pairs", NEW, operator=True)).status_code == 201
    assert (await site.ask("root", "POST", "/api/admin/pairs/1003/check", operator=True)).status_code == 204
    problem(await site.ask("root", "POST", "/api/admin/pairs/7/check", operator=True), 404, "not_found")
    where = f"/api/admin/sessions/{name}/pair"
    problem(await site.ask("alice", "PUT", where, {"api_id": 1003}), 403, "forbidden")
    assert (await site.ask("root", "PUT", where, {"api_id": 1003}, operator=True)).status_code == 204
    assert site.house.store.snapshot.sessions[name].api_id == 1003
    stays = await site.ask("root", "DELETE", "/api/admin/pairs/1003", operator=True)
    assert name in problem(stays, 409, "conflict")["detail"]
    site.house.sandbox.ban("ann", "revoked")
    await site.house.services.clients.close()
    lost = await site.ask("root", "PUT", where, {"api_id": 1001}, operator=True)
    problem(lost, 409, "login_lost")
    await site.house.services.sessions.set_state(name, SessionState.NEEDS_LOGIN, "revoked")
    gone = await site.ask("root", "DELETE", "/api/admin/pairs/1003", operator=True)
    assert (gone.status_code, gone.json()["need_login"]) == (200, [name])
    problem(await site.ask("root", "DELETE", "/api/admin/pairs/1003", operator=True), 404, "not_found")
    problem(await site.ask("root", "DELETE", "/api/admin/pairs/1001", operator=True), 422, "invalid_input")


async def test_only_operators_choose_the_pair_of_a_login(site: Site) -> None:
    problem(await site.ask("alice", "POST", "/logins", {"phone": ANN, "api_id": 1002}), 403, "forbidden")
    begun = await site.ask("root", "POST", "/logins", {"phone": ANN, "api_id": 1002}, operator=True)
    assert begun.status_code == 201
