"""Changes sent twice, changes over each other, and what operators do."""

import asyncio
import logging
from datetime import timedelta

import jwt
import pytest

from api.security.tokens import OPERATOR, issue_token
from api.server.idempotency import CLAIMED_SECONDS, REMEMBERED_SECONDS
from tests.api.conftest import bearer
from tests.api.support import SECRET, Api, add_account, problem

READY = {"groups": ["@news"], "post_content": "Hello"}
START = "/api/bot/start"


def keyed(headers: dict[str, str], key: str = "k1") -> dict[str, str]:
    return {**headers, "Idempotency-Key": key}


def operator(api: Api) -> dict[str, str]:
    token = issue_token(SECRET, "root", now=api.clock.now(), lifetime=timedelta(hours=1), roles=[OPERATOR])
    return {"Authorization": f"Bearer {token}"}


async def test_a_change_sent_again_is_answered_again_and_not_done_again(api: Api, alice: dict[str, str]) -> None:
    await add_account(api)
    await api.http.patch("/api/config", headers=alice, json=READY)
    first = await api.http.post(START, headers=keyed(alice))
    await api.http.post("/api/bot/stop", headers=alice)
    again = await api.http.post(START, headers=keyed(alice))
    assert (first.status_code, again.status_code) == (202, 202)
    assert again.json() == first.json()
    assert again.headers["idempotent-replay"] == "true"
    assert (await api.http.get("/api/bot/status", headers=alice)).json()["bot_status"] == "stopped"


async def test_a_request_with_a_key_is_counted_once(api: Api, alice: dict[str, str]) -> None:
    counted = api.context.rates.users.counted
    for number in range(1, 4):
        await api.http.patch("/api/config", headers=keyed(alice), json={"post_content": "x"})
        assert counted("alice") == number
    await api.http.patch("/api/config", headers=keyed(alice), json={"post_content": "y"})
    await api.http.patch("/api/config", headers=keyed(alice, "k2"), json={"post_content": 5})
    await api.http.get("/api/config", headers=keyed(alice))
    assert counted("alice") == 6


async def test_racing_requests_with_one_key_are_done_once(api: Api, alice: dict[str, str]) -> None:
    before = api.store.snapshot.revision
    answers = await asyncio.gather(
        *(api.http.patch("/api/config", headers=keyed(alice), json={"post_content": "x"}) for _ in range(20))
    )
    assert {answer.status_code for answer in answers} <= {200, 409}
    assert sum("idempotent-replay" not in answer.headers for answer in answers if answer.status_code == 200) == 1
    assert api.store.snapshot.revision <= before + 2  # the user is made, and changed once


async def test_a_key_is_good_for_one_request_of_one_user_for_a_day(
    api: Api, alice: dict[str, str], bob: dict[str, str]
) -> None:
    body = {"post_content": "x"}
    await api.http.patch("/api/config", headers=keyed(alice), json=body)
    other = await api.http.patch("/api/config", headers=keyed(alice), json={"post_content": "y"})
    problem(other, 422, "idempotency_key_reused")
    assert "idempotent-replay" not in (await api.http.patch("/api/config", headers=keyed(bob), json=body)).headers
    await api.clock.advance(REMEMBERED_SECONDS + 1)
    later = await api.http.patch("/api/config", headers=keyed(bearer(api.clock, "alice")), json={"post_content": "y"})
    assert later.json()["post_content"] == "y"


async def test_a_request_that_failed_here_can_be_sent_again(
    api: Api, alice: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(_: str) -> None:
        raise RuntimeError("broken")

    await add_account(api)
    await api.http.patch("/api/config", headers=alice, json=READY)
    with monkeypatch.context() as patched:
        patched.setattr(api.bots, "start", broken)
        problem(await api.http.post(START, headers=keyed(alice)), 500, "internal_error")
    assert (await api.http.post(START, headers=keyed(alice))).status_code == 202


async def test_a_crash_in_the_middle_frees_its_key_after_a_minute(api: Api, alice: dict[str, str]) -> None:
    """As if the daemon died between the claim and the answer."""
    memory, now = api.context.auth_store, api.clock.now().timestamp()
    await api.http.patch("/api/config", headers=keyed(alice, "other"), json={})
    await memory.claim_answer("alice", "k1", "unknown", now, now + CLAIMED_SECONDS)
    problem(await api.http.patch("/api/config", headers=keyed(alice), json={}), 422, "idempotency_key_reused")
    await api.clock.advance(CLAIMED_SECONDS + 1)
    assert (await api.http.patch("/api/config", headers=keyed(alice), json={})).status_code == 200


@pytest.mark.parametrize("key", ["", "x" * 201, "é"])
async def test_a_key_that_is_none_is_refused(api: Api, alice: dict[str, str], key: str) -> None:
    headers = [(b"Authorization", alice["Authorization"].encode()), (b"Idempotency-Key", key.encode("latin-1"))]
    problem(await api.http.post(START, headers=headers), 422, "invalid_input")


async def test_a_key_without_a_token_is_refused(api: Api) -> None:
    problem(await api.http.post(START, headers=keyed({})), 401, "unauthorized")


async def test_of_two_who_change_the_same_version_one_is_told_to_read_it_again(api: Api, alice: dict[str, str]) -> None:
    etag = (await api.http.get("/api/config", headers=alice)).headers["etag"]
    answers = await asyncio.gather(
        *(
            api.http.patch("/api/config", headers={**alice, "If-Match": etag}, json={"post_content": text})
            for text in ("one", "two")
        )
    )
    assert sorted(answer.status_code for answer in answers) == [200, 412]
    lost = next(answer for answer in answers if answer.status_code == 412)
    problem(lost, 412, "precondition_failed")
    won = next(answer for answer in answers if answer.status_code == 200)
    again = {**alice, "If-Match": won.headers["etag"]}
    assert (await api.http.patch("/api/config", headers=again, json={"post_content": "three"})).status_code == 200
    assert (await api.http.patch("/api/config", headers={**alice, "If-Match": "*"}, json={})).status_code == 200


async def test_an_operator_sees_everybody_and_what_they_do_is_written_down(
    api: Api, alice: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    await add_account(api)
    await api.http.patch("/api/config", headers=alice, json=READY)
    await api.http.post(START, headers=alice)
    root = operator(api)
    users = (await api.http.get("/api/admin/users", headers=root)).json()
    assert [(user["user_id"], user["bot_status"], user["assigned_sessions"]) for user in users["items"]] == [
        ("alice", "running", 1)
    ]
    overview = (await api.http.get("/api/admin/overview", headers=root)).json()
    assert (overview["users"], overview["sessions"], overview["waiting"]) == ({"running": 1}, {"ready": 1}, 1)
    with caplog.at_level(logging.INFO, "postfleet.security"):
        assert (await api.http.post("/api/admin/users/alice/stop", headers=root)).json()["bot_status"] == "stopped"
    (noted,) = [record.__dict__ for record in caplog.records if record.__dict__.get("action") == "operator_stop"]
    assert (noted["user"], noted["target"], noted["before"], noted["after"]) == ("root", "alice", "running", "stopped")
    problem(await api.http.post("/api/admin/users/nobody/stop", headers=root), 404, "unknown_user")


async def test_an_operator_revokes_one_token_and_all_of_a_user(api: Api, alice: dict[str, str]) -> None:
    token = alice["Authorization"].removeprefix("Bearer ")
    claims = jwt.decode(token, options={"verify_signature": False})
    other = bearer(api.clock, "alice")
    assert (await api.http.get("/api/me", headers=alice)).status_code == 200
    body = {"token_id": claims["jti"], "ends": float(claims["exp"])}
    assert (await api.http.post("/api/admin/revocations", headers=operator(api), json=body)).status_code == 204
    problem(await api.http.get("/api/me", headers=alice), 401, "unauthorized")
    assert (await api.http.get("/api/me", headers=other)).json()["user_id"] == "alice"
    await api.clock.advance(1)
    assert (await api.http.post("/api/admin/users/alice/logout", headers=operator(api))).status_code == 204
    problem(await api.http.get("/api/me", headers=other), 401, "unauthorized")


async def test_an_operator_lets_somebody_log_in(api: Api) -> None:
    body = {"password": "correct horse battery staple 9"}
    assert (await api.http.put("/api/admin/users/carol", headers=operator(api))).status_code == 201
    made = await api.http.put("/api/admin/users/carol/password", headers=operator(api), json=body)
    assert made.status_code == 200
    await api.clock.advance(1)
    login = await api.http.post("/api/auth/login", json={"user": "carol", **body})
    assert login.status_code == 200
    weak = await api.http.put(
        "/api/admin/users/carol/password", headers=operator(api), json={"password": "password1234"}
    )
    assert "password1234" not in weak.text
    problem(weak, 422, "invalid_input")
