"""Accounts that were logged in elsewhere, brought over the API, and how an account is."""

import asyncio
import errno
import io
import logging
import socket
import zipfile
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from api.security.tokens import OPERATOR, issue_token
from core.models import Session, SessionState, User
from data.users.data_manager import Transaction
from sessions.roster.admission import NOT_HERE
from tests.api.routes.test_sessions import ANN, Site, open_site
from tests.api.support import problem
from tests.sessions.test_imports import key_of, pyrogram_text, some_key, telethon_file, telethon_text
from tests.support.foreign_files import damaged_files, damaged_zips, harmful_files, telethon_bytes, zipped
from tests.support.house import SECRET

HURT = {
    **dict(harmful_files()),
    **dict(damaged_files()),
    **dict(damaged_zips(telethon_bytes(some_key(1)))),
    "odd bytes": bytes(range(256)),
    "nothing but the end of a zip": b"PK\5\6" + bytes(18),
    "marks alone": "\ufeff\u202a\n\u200b".encode(),
}
"""What others made, and what became of it on the way."""


@pytest.fixture
async def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Site]:
    monkeypatch.chdir(tmp_path)
    async with open_site(tmp_path) as opened:
        yield opened


async def send(site: Site, who: str, content: str | bytes, *, operator: bool = False, **params: Any) -> httpx.Response:
    roles = [OPERATOR] if operator else []
    now = site.house.services.clock.now()
    token = issue_token(SECRET, who, now=now, lifetime=timedelta(hours=1), roles=roles)
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/octet-stream"}
    return await site.http.post("/api/sessions/import", content=content, params=params, headers=headers)


async def test_a_session_file_becomes_the_callers_own_account_and_posts(site: Site, tmp_path: Path) -> None:
    path = telethon_file(tmp_path / "old.session", key_of(site.house.sandbox, "ann"))
    await site.house.add_user("alice", ["@plaza"])
    taken = await send(site, "alice", path.read_bytes(), name="old", label="first phone")
    assert taken.status_code == 201, taken.text
    assert taken.headers["cache-control"] == "no-store"
    (report,) = taken.json()["sessions"]
    assert (report["verdict"], report["session"][:4], report["format"]) == ("taken", "old-", "telethon file")
    (account,) = (await site.ask("alice", "GET", "")).json()["accounts"]
    assert (account["name"], account["label"], account["owner"]) == (report["session"], "first phone", "alice")
    assert account["user"] == "alice"
    await site.house.cycle("alice")
    assert site.house.texts("@plaza") == ["Hello from alice"]
    assert (
        b"first phone"
        not in (site.house.settings.state_dir / "sessions" / "assigned" / f"{account['name']}.session").read_bytes()
    )
    again = await send(site, "alice", path.read_bytes())
    assert again.status_code == 200
    assert [one["verdict"] for one in again.json()["sessions"]] == ["duplicate"]


async def test_a_zip_and_a_text_of_strings_are_taken_in_one_by_one(site: Site) -> None:
    sandbox = site.house.sandbox
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("work/ann.string", telethon_text(key_of(sandbox, "ann")))
        archive.writestr("broken.session", b"not sqlite")
        archive.writestr("readme.md", "nothing")
    taken = await send(site, "alice", packed.getvalue())
    assert [(one["verdict"], (one["session"] or "")[:4]) for one in taken.json()["sessions"]] == [
        ("taken", "ann-"),
        ("refused", ""),
    ]
    bob = pyrogram_text(key_of(sandbox, "bob"), sandbox.centre.account("bob").id)
    lines = await send(site, "alice", f"{bob}\n\nnonsense\n", name="phones")
    assert [(one["verdict"], one["source"]) for one in lines.json()["sessions"]] == [
        ("taken", "phones:1"),
        ("refused", "phones:2"),
    ]
    assert "nonsense" not in lines.text


@pytest.mark.parametrize("owner", [None, "bob"])
@pytest.mark.parametrize("state", [SessionState.READY, SessionState.NEEDS_LOGIN])
async def test_who_brings_somebody_elses_account_learns_nothing_and_changes_nothing(
    site: Site, owner: str | None, state: SessionState
) -> None:
    ann = key_of(site.house.sandbox, "ann")
    account = site.house.sandbox.centre.account("ann").id
    hidden = Session(telegram_id=account, key_id=ann.key_id, owner=owner, state=state, label="bobs secret")
    await site.house.store.transact(lambda tx: tx.put_session("bobs_name", hidden))
    answer = await send(site, "mallory", pyrogram_text(ann, account))
    assert answer.status_code == 200
    (report,) = answer.json()["sessions"]
    assert (report["verdict"], report["session"]) == ("refused", None)
    assert report["reason"] == NOT_HERE
    assert "bobs_name" not in answer.text
    assert site.house.store.snapshot.sessions == {"bobs_name": hidden}


async def test_the_daemon_connects_to_no_server_that_a_users_file_names(site: Site) -> None:
    inside = replace(some_key(1), dc_id=4, host="10.0.0.5", port=6379)
    refused = (await send(site, "alice", telethon_text(inside))).json()["sessions"]
    assert [(one["verdict"], one["reason"]) for one in refused] == [("refused", "its server is none of Telegram's")]
    real = replace(some_key(2), dc_id=4, host="149.154.167.91")
    assert (await send(site, "alice", telethon_text(real))).status_code == 201


async def test_only_operators_import_spare_accounts(site: Site) -> None:
    text = telethon_text(key_of(site.house.sandbox, "ann"))
    problem(await send(site, "alice", text, spare=True), 403, "forbidden")
    assert (await send(site, "root", text, operator=True, spare=True)).status_code == 201
    (session,) = site.house.store.snapshot.sessions.values()
    assert session.owner is None


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [(b"", 422, "invalid_input"), (b"x" * (8 * 1024 * 1024 + 1), 413, "too_large")],
)
async def test_nothing_and_too_much_are_refused(site: Site, content: bytes, status: int, code: str) -> None:
    problem(await send(site, "alice", content), status, code)
    assert not site.house.store.snapshot.sessions


async def test_files_made_to_never_end_stop_nobody_else(site: Site) -> None:
    sent = [send(site, "alice", content) for _, content in harmful_files()]
    imports = [asyncio.create_task(one) for one in sent]
    while not all(task.done() for task in imports):
        assert (await site.ask("bob", "GET", "")).status_code == 200
        await asyncio.sleep(0.01)
    for task in imports:
        answer = task.result()
        if answer.status_code == 429:  # each has so many places
            continue
        assert answer.status_code == 200, answer.text
        assert [report["verdict"] for report in answer.json()["sessions"]] == ["refused"]


@pytest.mark.parametrize("name", HURT)
async def test_whatever_is_sent_gets_a_report_and_never_an_error_of_ours(site: Site, name: str) -> None:
    answer = await send(site, "alice", HURT[name])
    assert answer.status_code in {200, 201, 422}, answer.text
    if answer.status_code == 422:
        assert "no session in it" in problem(answer, 422, "invalid_input")["errors"][0]["message"]
    else:
        assert all(report["reason"] or report["session"] for report in answer.json()["sessions"])


async def test_a_machine_without_room_to_read_says_so_and_nothing_against_the_file(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full() -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    content = telethon_bytes(some_key(1))
    with monkeypatch.context() as short:
        short.setattr(socket, "socketpair", full)
        refused = problem(await send(site, "alice", content), 503, "not_read")
    assert "try again" in refused["detail"]
    assert (await send(site, "alice", content)).status_code == 201


async def test_more_sessions_than_are_taken_at_once_are_refused_whole(site: Site) -> None:
    refused = await send(site, "alice", zipped(("a.txt", b"x\n" * 4_000_000)))
    assert "more than 1000 sessions" in problem(refused, 422, "invalid_input")["errors"][0]["message"]
    assert (await site.ask("alice", "GET", "")).json()["accounts"] == []


async def test_a_check_says_who_it_is_and_marks_a_login_that_is_gone(site: Site) -> None:
    name = await site.logged_in("alice")
    told = (await site.ask("alice", "POST", f"/{name}/check")).json()
    assert (told["alive"], told["two_step"]) == (True, False)
    assert told["telegram_id"] == site.house.sandbox.centre.account("ann").id
    problem(await site.ask("mallory", "POST", f"/{name}/check"), 404, "unknown_session")
    await site.house.services.clients.close()
    site.house.sandbox.ban("ann", "revoked")
    gone = (await site.ask("alice", "POST", f"/{name}/check")).json()
    assert gone["alive"] is False
    assert site.house.store.snapshot.sessions[name].state is SessionState.NEEDS_LOGIN


async def test_exports_and_imports_stand_in_the_security_log_and_keys_nowhere(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    text = telethon_text(key_of(site.house.sandbox, "ann"))
    with caplog.at_level(logging.DEBUG):
        (taken,) = (await send(site, "alice", text)).json()["sessions"]
        exported = await site.ask("alice", "POST", f"/{taken['session']}/export", {"understood": True})
    assert exported.status_code == 200
    noted = [record.__dict__ for record in caplog.records if record.name == "postfleet.security"]
    assert {"sessions_imported", "session_exported"} <= {fact["action"] for fact in noted}
    said = " ".join(record.getMessage() + str(record.__dict__) for record in caplog.records)
    assert text[40:80] not in said
    assert exported.json()["session"][40:80] not in said


async def test_an_exported_key_is_never_kept_for_a_repeated_request(site: Site, tmp_path: Path) -> None:
    name = await site.logged_in("alice")
    now = site.house.services.clock.now()
    token = issue_token(SECRET, "alice", now=now, lifetime=timedelta(hours=1))
    headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": "once"}
    exported = await site.http.post(f"/api/sessions/{name}/export", headers=headers, json={"understood": True})
    key = exported.json()["session"].encode()
    for path in (tmp_path / "state").rglob("*"):
        assert not path.is_file() or key[40:80] not in path.read_bytes(), path


async def test_made_up_sessions_are_taken_in_up_to_a_bound_and_again_once_confirmed(site: Site) -> None:
    await site.house.add_user("alice", ["@plaza"])
    own = await site.logged_in("alice")
    most = site.house.settings.max_unconfirmed_sessions_per_user
    real = replace(some_key(0), host="149.154.167.91")

    async def bring(first: int, count: int, who: str = "alice") -> dict[str, int]:
        keys = [replace(real, auth_key=some_key(number).auth_key) for number in range(first, first + count)]
        answer = await send(site, who, "\n".join(telethon_text(key) for key in keys))
        return dict(Counter(one["verdict"] for one in answer.json()["sessions"]))

    assert await bring(0, most - 2) == {"taken": most - 2}
    assert await bring(1000, 100) == {"taken": 2, "refused": 98}
    assert await bring(2000, 3) == {"refused": 3}, "own accounts that Telegram knows do not count"
    assert await bring(3000, 1, "bob") == {"taken": 1}, "each user has a bound of their own"
    sessions = site.house.store.snapshot.sessions
    waiting = next(name for name, one in sessions.items() if one.owner == "alice" and name != own)
    confirmed = msgspec.structs.replace(sessions[waiting], telegram_id=77)
    await site.house.store.transact(lambda tx: tx.put_session(waiting, confirmed))
    assert await bring(4000, 2) == {"taken": 1, "refused": 1}


async def test_a_name_tells_nobody_which_accounts_are_here(site: Site) -> None:
    number = "4915112345678"
    hidden = Session(telegram_id=5, key_id="x", owner="bob")
    text = telethon_text(key_of(site.house.sandbox, "ann"))
    (alone,) = (await send(site, "alice", text, name=number)).json()["sessions"]

    def put_in_its_place(tx: Transaction) -> None:
        tx.put_user("alice", User())
        tx.remove_session(alone["session"])
        tx.put_session(number, hidden)

    await site.house.store.transact(put_in_its_place)
    (beside,) = (await send(site, "alice", text, name=number)).json()["sessions"]
    assert beside == alone


async def test_a_login_under_a_name_that_is_taken_is_not_told_so(site: Site) -> None:
    await site.house.store.transact(lambda tx: tx.put_session("main", Session(telegram_id=5, owner="bob")))
    begun = (await site.ask("alice", "POST", "/logins", {"phone": ANN, "name": "main"})).json()
    done = await site.ask("alice", "POST", f"/logins/{begun['id']}/code", {"code": "12345"})
    assert (done.status_code, done.json()["session"][:5]) == (200, "main-")


async def test_who_logs_in_to_somebody_elses_account_learns_nothing_of_them(site: Site) -> None:
    await site.logged_in("bob")
    begun = (await site.ask("mallory", "POST", "/logins", {"phone": ANN})).json()
    refused = await site.ask("mallory", "POST", f"/logins/{begun['id']}/code", {"code": "12345"})
    assert problem(refused, 409, "account_refused")["detail"] == NOT_HERE
    assert (await site.ask("mallory", "GET", f"/logins/{begun['id']}")).json()["reason"] == NOT_HERE


async def test_a_check_of_an_account_that_is_somebody_elses_says_nothing_of_them(site: Site) -> None:
    hidden = await site.logged_in("bob")
    (taken,) = (await send(site, "mallory", telethon_text(key_of(site.house.sandbox, "ann")))).json()["sessions"]
    told = await site.ask("mallory", "POST", f"/{taken['session']}/check")
    assert (told.json()["alive"], told.json()["reason"]) == (False, NOT_HERE)
    (account,) = (await site.ask("mallory", "GET", "")).json()["accounts"]
    assert (account["state"], account["reason"], account["telegram_id"]) == ("duplicate", NOT_HERE, None)
    assert hidden not in told.text + (await site.ask("mallory", "GET", "")).text
