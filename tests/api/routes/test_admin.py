"""What operators see and do, and that all they change is written down as it was and as it is."""

import logging
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from api.security.tokens import OPERATOR, issue_token
from core.models import BannedSession, BotStatus, Session, SessionState, User
from data.users.data_manager import Transaction
from scheduler.housekeeping import Housekeeping
from sessions.roster.assignment import BAN_WAVE
from tests.api.support import SECRET, Api, problem, until
from tests.support.clock import MovableClock, let_housekeeping_follow


@pytest.fixture
def root(clock: MovableClock) -> dict[str, str]:
    token = issue_token(SECRET, "root", now=clock.now(), lifetime=timedelta(hours=1), roles=[OPERATOR])
    return {"Authorization": f"Bearer {token}"}


@pytest.fixture
async def keeping(api: Api, clock: MovableClock, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Housekeeping]:
    """The housekeeping of the API's bots, at work."""
    let_housekeeping_follow(clock, monkeypatch)
    api.housekeeping.start()
    yield api.housekeeping
    await api.housekeeping.stop()


def noted(caplog: pytest.LogCaptureFixture, action: str) -> dict[str, Any]:
    """The one line of the security log about that."""
    (record,) = [record.__dict__ for record in caplog.records if record.__dict__.get("action") == action]
    return record


async def test_a_user_in_detail_is_what_their_own_dashboard_shows(
    api: Api, alice: dict[str, str], root: dict[str, str]
) -> None:
    await api.http.patch("/api/config", headers=alice, json={"groups": ["@news"], "post_content": "Hello"})
    theirs = (await api.http.get("/api/sync/state", headers=alice)).json()
    seen = await api.http.get("/api/admin/users/alice", headers=root)
    assert (seen.status_code, seen.json()) == (200, theirs)
    problem(await api.http.get("/api/admin/users/nobody", headers=root), 404, "unknown_user")
    assert "nobody" not in api.store.snapshot.users


async def test_users_are_listed_page_by_page_and_by_status(api: Api, root: dict[str, str]) -> None:
    def put(tx: Transaction) -> None:
        for number in range(5):
            tx.put_user(f"user{number}", User(bot_status=BotStatus.RUNNING if number % 2 else BotStatus.STOPPED))

    await api.store.transact(put)
    found: list[str] = []
    page: dict[str, Any] = {"next_after": ""}
    while page["next_after"] is not None:
        params = {"limit": 2, "after": page["next_after"]}
        page = (await api.http.get("/api/admin/users", headers=root, params=params)).json()
        found += [line["user_id"] for line in page["items"]]
    assert found == [f"user{number}" for number in range(5)]
    running = (await api.http.get("/api/admin/users", headers=root, params={"status": "running"})).json()
    assert [line["user_id"] for line in running["items"]] == ["user1", "user3"]


async def test_a_limit_of_its_own_is_set_for_a_user_and_written_down_with_the_old_one(
    api: Api, alice: dict[str, str], root: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    await api.http.patch("/api/config", headers=alice, json={})
    path = "/api/admin/users/alice/allowance"
    with caplog.at_level(logging.INFO, "postfleet.security"):
        answer = await api.http.put(path, headers=root, json={"per_day": 5, "per_month": None})
    assert (answer.status_code, answer.json()["per_day"], answer.json()["per_month"]) == (200, 5, 40_000)
    assert (await api.http.get("/api/allowance", headers=alice)).json()["left"] == 5
    line = noted(caplog, "operator_set_allowance")
    assert line["before"] == {"per_day": None, "per_month": None}
    assert line["after"] == {"per_day": 5, "per_month": None}
    assert (line["user"], line["target"]) == ("root", "alice")
    assert (await api.http.get(path, headers=root)).json()["per_day"] == 5
    problem(await api.http.put(path, headers=root, json={"per_day": -1, "per_month": None}), 422, "invalid_input")
    nobody = await api.http.put("/api/admin/users/nobody/allowance", headers=root, json={"per_day": 1, "per_month": 1})
    problem(nobody, 404, "unknown_user")


async def test_a_grant_is_written_down_with_what_was_granted_before(
    api: Api, alice: dict[str, str], root: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    await api.http.patch("/api/config", headers=alice, json={})
    await api.http.post("/api/admin/users/alice/grants", headers=root, json={"posts": 10})
    with caplog.at_level(logging.INFO, "postfleet.security"):
        await api.http.post("/api/admin/users/alice/grants", headers=root, json={"posts": -4})
    line = noted(caplog, "operator_grant")
    assert (line["before"], line["after"]) == (
        {"month": "2026-03", "granted": 10},
        {"month": "2026-03", "granted": 6},
    )


async def test_bans_are_listed_newest_first_with_reason_and_waves(api: Api, root: dict[str, str]) -> None:
    now = api.clock.now()
    first = BannedSession(name="a", at=now - timedelta(hours=2), reason="spam", replaced_by="c")
    second = BannedSession(name="b", at=now, reason="spam again")

    def put(tx: Transaction) -> None:
        tx.put_session("lone", Session(state=SessionState.BANNED, state_reason="deleted"))
        tx.put_user("alice", User(banned_sessions=(first, second), status_reason=BAN_WAVE))

    await api.store.transact(put)
    seen = (await api.http.get("/api/admin/bans", headers=root)).json()
    assert [(line["session"], line["user"], line["reason"], line["replaced_by"]) for line in seen["items"]] == [
        ("b", "alice", "spam again", None),
        ("a", "alice", "spam", "c"),
        ("lone", None, "deleted", None),
    ]
    assert [(wave["user"], wave["bans"]) for wave in seen["waves"]] == [("alice", 2)]


async def test_a_job_is_seen_and_run_at_once(
    api: Api, root: dict[str, str], keeping: Housekeeping, caplog: pytest.LogCaptureFixture
) -> None:
    jobs = (await api.http.get("/api/admin/jobs", headers=root)).json()["items"]
    assert {job["name"] for job in jobs} == {job.name for job in keeping.jobs}
    assert all(job["next_run_at"] and job["last_run_at"] is None for job in jobs)
    with caplog.at_level(logging.INFO, "postfleet.security"):
        ran = await api.http.post("/api/admin/jobs/statistics/run", headers=root)
    assert (ran.status_code, ran.json()["name"]) == (202, "statistics")
    await until(lambda: any(job.last_result for job in keeping.jobs))
    jobs = (await api.http.get("/api/admin/jobs", headers=root)).json()["items"]
    (done,) = [job for job in jobs if job["last_run_at"]]
    assert (done["name"], done["last_failed"]) == ("statistics", False)
    assert "memory" in done["last_result"]
    line = noted(caplog, "operator_run_job")
    assert (line["target"], line["before"], line["after"]) == ("statistics", None, "begun")
    problem(await api.http.post("/api/admin/jobs/nothing/run", headers=root), 404, "not_found")


async def test_every_operator_action_leaves_a_line_with_before_and_after(
    api: Api, alice: dict[str, str], root: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    """Made from the OpenAPI document: whatever changes something under /api/admin says so in the security log."""
    await api.http.patch("/api/config", headers=alice, json={})
    bodies: dict[str, Any] = {
        "/api/admin/users/{user_id}/password": {"password": "a different tulip every morning"},
        "/api/admin/users/{user_id}/grants": {"posts": 1},
        "/api/admin/users/{user_id}/allowance": {"per_day": 1, "per_month": 1},
        "/api/admin/revocations": {"token_id": "x", "ends": 1.9e9},
    }
    checked = 0
    for path, entry in api.openapi()["paths"].items():
        for method in set(entry) - {"get"}:
            if not path.startswith("/api/admin") or "pairs" in path or "sessions" in path or "jobs" in path:
                continue  # those of the pool need a pool: tests/api/routes/test_sessions.py
            caplog.clear()
            with caplog.at_level(logging.INFO, "postfleet.security"):
                filled = path.replace("{user_id}", "alice")
                answer = await api.http.request(method, filled, headers=root, json=bodies.get(path))
            assert answer.is_success, (path, answer.text)
            lines = [record.__dict__ for record in caplog.records if "before" in record.__dict__]
            assert [line["user"] for line in lines] == ["root"], path
            assert lines[0]["request_id"] == answer.headers["x-request-id"]
            assert "tulip" not in str(lines[0])
            checked += 1
    assert checked >= 6
