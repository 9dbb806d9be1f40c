"""Accounts over the API, with logins against a real data centre."""

import asyncio
import base64
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from msgspec.structs import replace
from telethon import TelegramClient, functions
from telethon.sessions import SQLiteSession

from api.app import create_app
from api.security.tokens import OPERATOR, issue_token
from core.models import Session, SessionState
from sandbox.world import AccountSpec, ChatSpec, World
from tests.api.support import problem
from tests.support.house import SECRET, House, open_house

ANN, BOB = "+9996600001", "+9996600002"
WORLD = World(
    accounts=[AccountSpec("ann", phone=ANN), AccountSpec("bob", phone=BOB, password="correct horse")],
    chats=[ChatSpec("plaza")],
)


@dataclass
class Site:
    """The API of a house, and people with tokens."""

    house: House
    http: httpx.AsyncClient

    async def ask(
        self, who: str, method: str, path: str, body: Any = None, *, operator: bool = False
    ) -> httpx.Response:
        now = self.house.services.clock.now()
        roles = [OPERATOR] if operator else []
        token = issue_token(SECRET, who, now=now, lifetime=timedelta(hours=1), roles=roles)
        whole = path if path.startswith("/api/") else f"/api/sessions{path}"
        return await self.http.request(method, whole, json=body, headers={"Authorization": f"Bearer {token}"})

    async def logged_in(self, who: str, phone: str = ANN) -> str:
        """The session of an account that was just logged in."""
        begun = (await self.ask(who, "POST", "/logins", {"phone": phone})).json()
        done = await self.ask(who, "POST", f"/logins/{begun['id']}/code", {"code": "12345"})
        assert done.status_code == 200, done.text
        return str(done.json()["session"])


@pytest.fixture
async def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Site]:
    monkeypatch.chdir(tmp_path)
    async with open_site(tmp_path) as opened:
        yield opened


@asynccontextmanager
async def open_site(folder: Path, world: World = WORLD) -> AsyncIterator[Site]:
    """A house without accounts, and its API."""
    (folder / "state" / "sessions" / "available").mkdir(parents=True)
    async with open_house(folder, world) as house:
        accounts = house.accounts
        app = create_app(house.settings, house.store, house.journal, house.bots, accounts.clock, accounts)
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://postfleet.test") as http:
            yield Site(house, http)
        await app.close()


async def test_an_account_is_logged_in_by_phone_code_and_password(site: Site) -> None:
    begun = await site.ask("alice", "POST", "/logins", {"phone": BOB, "label": "second phone"})
    assert (begun.status_code, begun.json()["step"]) == (201, "code")
    where = f"/logins/{begun.json()['id']}"
    wrong = await site.ask("alice", "POST", f"{where}/code", {"code": "00000"})
    assert problem(wrong, 422, "invalid_input")["errors"][0]["field"] == "code"
    asked = await site.ask("alice", "POST", f"{where}/code", {"code": "12345"})
    assert asked.json()["step"] == "password"
    done = await site.ask("alice", "POST", f"{where}/password", {"password": "correct horse"})
    assert done.json()["step"] == "done"
    problem(await site.ask("alice", "POST", f"{where}/password", {"password": "correct horse"}), 409, "login_used")
    (account,) = (await site.ask("alice", "GET", "")).json()["accounts"]
    assert (account["label"], account["state"], account["user"]) == ("second phone", "ready", "alice")


async def test_a_qr_code_is_a_picture_that_logs_in_when_scanned(site: Site, tmp_path: Path) -> None:
    begun = (await site.ask("alice", "POST", "/logins", {})).json()
    where = f"/logins/{begun['id']}"
    svg, png = [await site.ask("alice", "GET", f"{where}/qr.{kind}") for kind in ("svg", "png")]
    assert (svg.headers["content-type"], png.headers["content-type"]) == ("image/svg+xml", "image/png")
    assert b"<svg" in svg.content
    assert png.content.startswith(b"\x89PNG")
    path = site.house.sandbox.write_session("ann", tmp_path / "app.session", 9)
    app = TelegramClient(SQLiteSession(str(path)), 1, "hash")
    await app.connect()
    token = base64.urlsafe_b64decode(begun["qr_url"].partition("token=")[2] + "==")
    await app(functions.auth.AcceptLoginTokenRequest(token))
    await app.disconnect()
    async with asyncio.timeout(15):
        while (await site.ask("alice", "GET", where)).json()["step"] != "done":  # noqa: ASYNC110  an HTTP client can only ask
            await asyncio.sleep(0.02)
    problem(await site.ask("alice", "GET", f"{where}/qr.svg"), 404, "not_found")


async def test_1000_racing_answers_to_one_login_attempt_and_exactly_one_wins(site: Site) -> None:
    begun = (await site.ask("alice", "POST", "/logins", {"phone": ANN})).json()
    answers = await asyncio.gather(
        *(site.ask("alice", "POST", f"/logins/{begun['id']}/code", {"code": "12345"}) for _ in range(1000))
    )
    assert sorted(answer.status_code for answer in answers) == [200] + [409] * 999
    assert {answer.json()["code"] for answer in answers if answer.status_code == 409} <= {"login_busy", "login_used"}
    assert len(site.house.store.snapshot.sessions) == 1


async def test_a_number_is_whole_for_its_owner_and_masked_for_everybody_else(site: Site) -> None:
    await site.logged_in("alice")
    mine = (await site.ask("alice", "GET", "")).json()["accounts"][0]
    seen = (await site.ask("root", "GET", "/api/admin/sessions", operator=True)).json()["accounts"][0]
    assert (mine["phone"], seen["phone"]) == (ANN, "+99••••••01")
    assert (await site.ask("mallory", "GET", "")).json()["accounts"] == []
    problem(await site.ask("mallory", "GET", "/api/admin/sessions"), 403, "forbidden")


async def test_others_accounts_and_logins_do_not_exist_for_a_user(site: Site) -> None:
    name = await site.logged_in("alice")
    begun = (await site.ask("alice", "POST", "/logins", {"phone": BOB})).json()
    problem(await site.ask("mallory", "GET", f"/logins/{begun['id']}"), 404, "not_found")
    problem(await site.ask("mallory", "PATCH", f"/{name}", {"label": "mine"}), 404, "unknown_session")
    problem(await site.ask("mallory", "POST", f"/{name}/release"), 404, "unknown_session")
    problem(await site.ask("mallory", "POST", f"/{name}/export", {"understood": True}), 404, "unknown_session")


async def test_what_an_operator_does_with_somebody_elses_account_is_written_down(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "postfleet.security")
    name = await site.logged_in("alice")
    await site.ask("alice", "PATCH", f"/{name}", {"label": "work"})
    assert (await site.ask("root", "PATCH", f"/{name}", {"label": "spam"}, operator=True)).status_code == 200
    assert (await site.ask("root", "POST", f"/{name}/release", operator=True)).status_code == 204
    spare = await site.ask("root", "POST", "/logins", {"phone": BOB, "spare": True, "name": "extra"}, operator=True)
    assert spare.status_code == 201
    lines = [record.__dict__ for record in caplog.records if "before" in record.__dict__]
    assert [(line["action"], line["user"], line["before"]) for line in lines] == [
        ("operator_relabel", "root", "work"),
        ("operator_release", "root", "alice"),
        ("operator_login_spare", "root", None),
    ]
    assert spare.json()["id"] not in str(lines), "who reads the log cannot answer the login"


async def test_the_owner_alone_may_export_and_has_to_know_what_it_means(site: Site) -> None:
    name = await site.logged_in("alice")
    problem(await site.ask("alice", "POST", f"/{name}/export", {"understood": False}), 422, "invalid_input")
    problem(
        await site.ask("root", "POST", f"/{name}/export", {"understood": True}, operator=True), 404, "unknown_session"
    )
    exported = await site.ask("alice", "POST", f"/{name}/export", {"understood": True})
    assert exported.headers["cache-control"] == "no-store"
    assert "is the account" in exported.json()["warning"]


async def test_an_account_is_labelled_and_released_and_stays_its_owners(site: Site) -> None:
    name = await site.logged_in("alice")
    assert (await site.ask("alice", "PATCH", f"/{name}", {"label": "work"})).json()["label"] == "work"
    assert (await site.ask("alice", "POST", f"/{name}/release")).status_code == 204
    (account,) = (await site.ask("alice", "GET", "")).json()["accounts"]
    assert (account["user"], account["owner"]) == (None, "alice")
    problem(await site.ask("mallory", "POST", f"/{name}/assign"), 404, "unknown_session")
    assert (await site.ask("alice", "POST", f"/{name}/assign")).status_code == 204
    (account,) = (await site.ask("alice", "GET", "")).json()["accounts"]
    assert (account["user"], account["owner"]) == ("alice", "alice")
    await site.house.add_user("bob", ["@plaza"])
    refused = await site.ask("root", "POST", f"/api/admin/sessions/{name}/move", {"user": "bob"}, operator=True)
    assert "never given away" in problem(refused, 409, "conflict")["detail"]


async def test_a_pair_is_added_disabled_and_quarantined_by_operators_alone(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "postfleet.security")
    new = {"api_id": 1003, "api_hash": "ab" * 16}
    problem(await site.ask("alice", "POST", "/api/admin/pairs", new), 403, "forbidden")
    added = await site.ask("root", "POST", "/api/admin/pairs", new, operator=True)
    assert added.status_code == 201
    assert "ab" * 16 not in added.text
    name = await site.logged_in("alice")
    api_id = site.house.store.snapshot.sessions[name].api_id
    lost = await site.ask(
        "root", "PATCH", f"/api/admin/pairs/{api_id}", {"state": "quarantined", "reason": "leaked"}, operator=True
    )
    assert lost.json()["need_login"] == [name]
    assert site.house.store.snapshot.sessions[name].state is SessionState.NEEDS_LOGIN
    assert set(site.house.services.sessions.pairs.usable()) == {1001, 1002, 1003} - {api_id}
    problem(
        await site.ask("root", "PATCH", "/api/admin/pairs/7", {"state": "disabled"}, operator=True), 404, "not_found"
    )


async def test_a_file_put_in_while_the_daemon_runs_is_taken_in_on_demand(site: Site) -> None:
    available = site.house.settings.state_dir / "sessions" / "available"
    site.house.sandbox.write_session("ann", available / "late.session")
    done = await site.ask("root", "POST", "/api/admin/sessions/repair", operator=True)
    assert done.json() == {"taken_in": ["late"], "moved": [], "missing": [], "unknown": []}


async def test_every_state_is_told_with_its_reason_and_the_posts_of_today(site: Site) -> None:
    name = await site.logged_in("alice")
    await site.house.change_user("alice", groups=("@plaza",), post_content="Hello", delay_between_posts=0.0)
    await site.house.cycle("alice")
    await site.house.services.sessions.hold(
        name, site.house.services.clock.now() + timedelta(hours=1), "PEER_FLOOD", "limited"
    )
    await site.house.store.transact(
        lambda tx: tx.put_session("gone", Session(owner="alice", state=SessionState.BANNED))
    )
    shown = {one["name"]: one for one in (await site.ask("alice", "GET", "")).json()["accounts"]}
    assert (shown[name]["state"], shown[name]["reason"], shown[name]["posts_today"]) == ("limited", "limited", 1)
    assert shown[name]["last_used_at"] is not None
    assert shown["gone"]["state"] == "banned"
    await site.house.store.transact(lambda tx: tx.put_session(name, replace(tx.session(name), hold=None)))
    shown = {one["name"]: one for one in (await site.ask("alice", "GET", "")).json()["accounts"]}
    assert shown[name]["state"] == "ready"
