"""Who becomes a user: whoever changes something, and whom an operator makes. Reading makes nobody one."""

import logging
from datetime import timedelta
from typing import Any

import pytest

from api.security.tokens import OPERATOR, issue_token
from core.settings import Settings
from tests.api.conftest import bearer
from tests.api.support import SECRET, Api, Remake, problem
from tests.api.test_isolation import filled

TULIP = {"password": "a different tulip every morning"}


def operator(api: Api, name: str = "root") -> dict[str, str]:
    token = issue_token(SECRET, name, now=api.clock.now(), lifetime=timedelta(hours=1), roles=[OPERATOR])
    return {"Authorization": f"Bearer {token}"}


async def test_no_get_makes_a_user(whole_api: Api) -> None:
    """Made from the OpenAPI document, so that no new address is forgotten."""
    api, asked = whole_api, 0
    for path, entry in whole_api.openapi()["paths"].items():
        if "get" in entry:
            answer = await api.http.get(filled(path), headers=operator(api))
            assert answer.status_code < 500, path
            asked += answer.status_code == 200
    assert asked > 15
    assert api.store.snapshot.users == {}
    assert api.store.snapshot.revision == 0


@pytest.mark.parametrize(
    ("path", "body"),
    [("/api/preview", {"groups": ["@news"], "post_content": "x"}), ("/api/groups/check", {"groups": ["@news"]})],
)
async def test_a_look_at_what_would_be_makes_no_user(api: Api, alice: dict[str, str], path: str, body: Any) -> None:
    assert (await api.http.post(path, headers=alice, json=body)).status_code == 200
    assert api.store.snapshot.users == {}


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("PATCH", "/api/config", {"schedule": {"cron": ["x"]}}, 422),
        ("PATCH", "/api/config", {"post_type": "photo", "post_content": {"media": [{"file": "no.jpg"}]}}, 422),
        ("DELETE", "/api/groups/@news", None, 404),
        ("PUT", "/api/posts/0", "Hello", 404),
        ("POST", "/api/bot/start", None, 409),
        ("POST", "/api/bot/stop", None, 200),
        ("DELETE", "/api/media/no.jpg", None, 404),
    ],
)
async def test_a_change_that_is_refused_makes_no_user(
    api: Api, alice: dict[str, str], method: str, path: str, body: Any, status: int
) -> None:
    assert (await api.http.request(method, path, headers=alice, json=body)).status_code == status
    stale = await api.http.patch("/api/config", headers={**alice, "If-Match": '"old"'}, json={})
    problem(stale, 412, "precondition_failed")
    assert api.store.snapshot.revision == 0


async def test_an_operator_who_imports_for_everyone_becomes_no_user(whole_api: Api) -> None:
    api = whole_api
    answer = await api.http.post("/api/sessions/import?spare=true", headers=operator(api), content=b"none")
    assert answer.status_code == 200
    await api.http.post("/api/sessions/logins", headers=operator(api), json={"phone": "nobody", "spare": True})
    assert api.store.snapshot.users == {}


async def test_a_user_nobody_made_reads_defaults_and_their_first_change_makes_them(
    api: Api, alice: dict[str, str]
) -> None:
    etag = (await api.http.get("/api/config", headers=alice)).headers["etag"]
    before = (await api.http.get("/api/sync/state", headers=alice)).json()
    change = {"post_content": "Hello"}
    answer = await api.http.patch("/api/config", headers={**alice, "If-Match": etag}, json=change)
    assert answer.status_code == 200
    after = (await api.http.get("/api/sync/state", headers=alice)).json()
    assert (before["config"]["post_content"], after["config"]["post_content"]) == ("", "Hello")
    assert after["revision"] > before["revision"]


async def test_everything_is_sent_to_whoever_begins_at_nothing(api: Api, alice: dict[str, str]) -> None:
    whole = (await api.http.get("/api/sync/state", headers=alice)).json()
    assert (await api.http.get("/api/sync/state", headers=alice, params={"since": 0})).json() == whole


async def test_a_password_for_somebody_who_is_no_user_is_refused(api: Api, alice: dict[str, str]) -> None:
    await api.http.get("/api/config", headers=alice)
    path = "/api/admin/users/alice/password"
    body = problem(await api.http.put(path, headers=operator(api), json=TULIP), 404, "unknown_user")
    assert "PUT /api/admin/users/" in body["detail"]
    login = await api.http.post("/api/auth/login", json={"user": "alice", **TULIP})
    problem(login, 401, "unauthorized")
    assert (await api.http.get("/api/config", headers=alice)).status_code == 200


async def test_an_operator_makes_a_user_once(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "postfleet.security"):
        answers = [await api.http.put("/api/admin/users/carol", headers=operator(api)) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 200]
    assert answers[0].json() == answers[1].json()
    lines = [record.__dict__ for record in caplog.records if record.__dict__.get("action") == "operator_make_user"]
    assert [(line["target"], line["before"]) for line in lines] == [("carol", None), ("carol", "there")]
    assert set(api.store.snapshot.users) == {"carol"}
    problem(await api.http.put("/api/admin/users/a%20b", headers=operator(api)), 422, "invalid_input")
    problem(await api.http.put("/api/admin/users/dan", headers=bearer(api.clock, "alice")), 403, "forbidden")


async def test_a_user_an_operator_made_is_let_in_where_strangers_are_not(
    api: Api, remake: Remake, alice: dict[str, str], settings: Settings
) -> None:
    async with remake(refuse_unknown_users=True) as http:
        for path in ("/api/config", "/api/bot/status", "/api/sync/state", "/api/groups", "/api/posts", "/api/media"):
            problem(await http.get(path, headers=alice), 403, "forbidden")
        await http.put("/api/admin/users/alice", headers=operator(api))
        assert (await http.get("/api/sync/state", headers=alice)).status_code == 200


async def test_whoever_sets_a_password_is_told_that_it_ends_tokens(
    api: Api, alice: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    await api.http.patch("/api/config", headers=alice, json={})
    path = "/api/admin/users/alice/password"
    with caplog.at_level(logging.INFO, "postfleet.security"):
        told = (await api.http.put(path, headers=operator(api), json=TULIP)).json()
    assert told["tokens_ended"] is True
    assert "Every token" in told["message"]
    problem(await api.http.get("/api/me", headers=alice), 401, "unauthorized")
    (line,) = [one.__dict__ for one in caplog.records if one.__dict__.get("action") == "operator_set_password"]
    assert line["after"]["tokens"] == "every token until now is refused"
    operation = api.openapi()["paths"]["/api/admin/users/{user_id}/password"]["put"]
    assert "end every token" in operation["summary"]
    await api.clock.advance(1)
    change = {"old": TULIP["password"], "new": "another tulip every evening"}
    own = await api.http.post("/api/auth/password", headers=bearer(api.clock, "alice"), json=change)
    assert own.json()["tokens_ended"] is True


async def test_what_an_operator_ends_needs_no_user(api: Api, alice: dict[str, str]) -> None:
    """Whoever only reads has tokens all the same."""
    assert (await api.http.get("/api/me", headers=alice)).status_code == 200
    assert (await api.http.post("/api/admin/users/alice/logout", headers=operator(api))).status_code == 204
    problem(await api.http.get("/api/me", headers=alice), 401, "unauthorized")
