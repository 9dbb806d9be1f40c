"""How many posts a user may still make, and who may change that."""

import sqlite3
from datetime import timedelta

import pytest

from api.security.tokens import OPERATOR, issue_token
from core.models import Event, User
from data.journal import writes as journal_work
from data.journal.writes import CommitEffects
from tests.api.support import SECRET, Api, problem


def operator(api: Api) -> dict[str, str]:
    token = issue_token(SECRET, "olga", now=api.clock.now(), lifetime=timedelta(hours=1), roles=(OPERATOR,))
    return {"Authorization": f"Bearer {token}"}


async def test_a_user_sees_what_is_left(api: Api, alice: dict[str, str]) -> None:
    answer = await api.http.get("/api/allowance", headers=alice)
    assert answer.status_code == 200
    seen = answer.json()
    assert (seen["per_day"], seen["spent_today"], seen["left"], seen["grants"]) == (2000, 0, 2000, [])


async def test_an_operator_grants_posts_and_the_user_sees_by_whom_and_why(api: Api, alice: dict[str, str]) -> None:
    await api.http.patch("/api/config", headers=alice, json={})
    given = {"posts": 50, "note": "for the fair"}
    answer = await api.http.post("/api/admin/users/alice/grants", headers=operator(api), json=given)
    assert answer.status_code == 201
    seen = (await api.http.get("/api/allowance", headers=alice)).json()
    assert (seen["granted"], seen["left"]) == (50, 2050)
    assert [(grant["posts"], grant["by"], grant["note"]) for grant in seen["grants"]] == [(50, "olga", "for the fair")]
    assert "An operator granted 50 posts for 2026-03: for the fair" in {
        event.text for event in api.journal.last_events("alice")
    }


async def test_a_user_reads_what_an_operator_took_back_and_which_limits_were_set(
    api: Api, alice: dict[str, str]
) -> None:
    await api.http.patch("/api/config", headers=alice, json={})
    await api.http.post("/api/admin/users/alice/grants", headers=operator(api), json={"posts": -4})
    limits = {"per_day": 15, "per_month": None}
    for _ in range(2):
        await api.http.put("/api/admin/users/alice/allowance", headers=operator(api), json=limits)
    assert [event.text for event in api.journal.last_events("alice")] == [
        "An operator set the allowance: 15 posts a day, 40000 a month",
        "An operator took back 4 posts of 2026-03",
    ]


def refuse_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk is full when the next line of a user's log is written."""
    write, left = journal_work.insert_event, [1]

    def insert(connection: sqlite3.Connection, event: Event, effects: CommitEffects) -> None:
        if left:
            left.pop()
            raise sqlite3.OperationalError("database or disk is full")
        write(connection, event, effects)

    monkeypatch.setattr(journal_work, "insert_event", insert)


async def test_a_grant_that_is_answered_with_not_made_was_not_made(
    api: Api, alice: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    await api.http.patch("/api/config", headers=alice, json={})
    refuse_one_line(monkeypatch)
    for status in (503, 201):
        answer = await api.http.post("/api/admin/users/alice/grants", headers=operator(api), json={"posts": 5})
        assert answer.status_code == status
    assert (await api.http.get("/api/allowance", headers=alice)).json()["granted"] == 5


async def test_limits_that_were_set_are_answered_as_set_though_the_users_log_cannot_be_written(
    api: Api, alice: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    await api.http.patch("/api/config", headers=alice, json={})
    refuse_one_line(monkeypatch)
    limits = {"per_day": 15, "per_month": None}
    answer = await api.http.put("/api/admin/users/alice/allowance", headers=operator(api), json=limits)
    assert (answer.status_code, answer.json()["per_day"]) == (200, 15)


async def test_only_an_operator_sees_everybodys_and_grants(api: Api, alice: dict[str, str]) -> None:
    await api.store.transact(lambda tx: tx.put_user("bob", User()))
    assert (await api.http.get("/api/admin/allowances", headers=alice)).status_code == 403
    refused = await api.http.post("/api/admin/users/alice/grants", headers=alice, json={"posts": 5})
    problem(refused, 403, "forbidden")
    seen = (await api.http.get("/api/admin/allowances", headers=operator(api))).json()
    assert "bob" in seen["users"]


async def test_a_grant_that_cannot_be_meant_is_refused(api: Api) -> None:
    unknown = await api.http.post("/api/admin/users/nobody/grants", headers=operator(api), json={"posts": 5})
    problem(unknown, 404, "unknown_user")
    await api.store.transact(lambda tx: tx.put_user("bob", User()))
    for wrong, said in (
        ({"posts": "5"}, "integer"),
        ({"posts": 0}, "0 changes nothing"),
        ({"posts": 5, "month": "2026-13"}, "YYYY-MM, for example 2026-03"),
        ({"posts": 5, "month": "2026-03\n"}, "YYYY-MM, for example 2026-03"),
        ({"posts": 5, "user_id": "x"}, "no such field"),
        ({}, "it is missing"),
    ):
        answer = await api.http.post("/api/admin/users/bob/grants", headers=operator(api), json=wrong)
        assert said in problem(answer, 422, "invalid_input")["errors"][0]["message"]
