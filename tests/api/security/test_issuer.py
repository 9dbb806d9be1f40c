"""Logging in with a password, refreshing, logging out."""

import asyncio
from typing import Any

import httpx
import pytest

from api.app import create_app
from api.security.tokens import OPERATOR
from core.errors import InvalidInput
from tests.api.conftest import bearer
from tests.api.support import Api, problem

PASSWORD = "correct horse battery staple 9"
PATH = "/api/sync/state"


async def know(api: Api, user_id: str = "alice", roles: frozenset[str] = frozenset()) -> None:
    await api.context.issuer.set_password(user_id, PASSWORD, roles)
    await api.clock.advance(1)


async def log_in(api: Api, user: str = "alice", password: str = PASSWORD) -> httpx.Response:
    return await api.http.post("/api/auth/login", json={"user": user, "password": password})


def access(grant: httpx.Response) -> dict[str, str]:
    return {"Authorization": f"Bearer {grant.json()['access_token']}"}


async def refresh(api: Api, token: str) -> httpx.Response:
    return await api.http.post("/api/auth/refresh", json={"refresh_token": token})


async def test_a_login_gives_a_short_token_and_a_refresh_token(api: Api) -> None:
    await know(api)
    grant = await log_in(api)
    assert grant.status_code == 200
    assert grant.headers["cache-control"] == "no-store"
    assert grant.json()["expires_in"] == 900
    assert (await api.http.get(PATH, headers=access(grant))).json()["user_id"] == "alice"
    await api.clock.advance(901)
    problem(await api.http.get(PATH, headers=access(grant)), 401, "unauthorized")
    again = await refresh(api, grant.json()["refresh_token"])
    assert (await api.http.get(PATH, headers=access(again))).status_code == 200


async def test_an_unknown_user_and_a_wrong_password_get_the_same_answer(api: Api) -> None:
    await know(api)
    wrong, unknown = await log_in(api, password="not the password"), await log_in(api, user="nobody")
    bodies = [problem(answer, 401, "unauthorized") for answer in (wrong, unknown)]
    assert bodies[0]["detail"] == bodies[1]["detail"]


async def test_guessing_a_password_is_slowed_down_for_that_user(api: Api) -> None:
    await know(api)
    statuses = [(await log_in(api, password=f"guess number {number}")).status_code for number in range(11)]
    assert statuses == [401] * 10 + [429]
    refused = await log_in(api)
    assert int(refused.headers["retry-after"]) > 0
    problem(refused, 429, "too_many_requests")


async def test_racing_logins_with_the_right_password_each_get_their_own_tokens(api: Api) -> None:
    await know(api)
    grants = await asyncio.gather(*(log_in(api) for _ in range(5)))
    assert len({grant.json()["refresh_token"] for grant in grants}) == 5


async def test_a_refresh_token_is_good_once_and_its_return_ends_the_family(api: Api) -> None:
    await know(api)
    first = (await log_in(api)).json()["refresh_token"]
    second = (await refresh(api, first)).json()["refresh_token"]
    problem(await refresh(api, first), 401, "unauthorized")
    problem(await refresh(api, second), 401, "unauthorized")


async def test_1000_racing_uses_of_one_refresh_token_and_exactly_one_wins(api: Api) -> None:
    await know(api)
    token = (await log_in(api)).json()["refresh_token"]
    answers = await asyncio.gather(*(refresh(api, token) for _ in range(1000)))
    statuses = [answer.status_code for answer in answers]
    assert statuses.count(200) == 1
    assert statuses.count(401) == 999


@pytest.mark.parametrize("token", ["", ".", "x.y", "x" * 200, "\0", "😀.😀"])
async def test_what_is_no_refresh_token_is_refused(api: Api, token: str) -> None:
    problem(await refresh(api, token), 401, "unauthorized")


async def test_a_logout_ends_its_token_and_its_login_but_no_other(api: Api) -> None:
    await know(api)
    one, other = await log_in(api), await log_in(api)
    assert (await api.http.get(PATH, headers=access(one))).status_code == 200
    left = await api.http.post("/api/auth/logout", headers=access(one))
    assert left.status_code == 204
    problem(await api.http.get(PATH, headers=access(one)), 401, "unauthorized")
    problem(await refresh(api, one.json()["refresh_token"]), 401, "unauthorized")
    assert (await api.http.get(PATH, headers=access(other))).status_code == 200


async def test_a_logout_everywhere_ends_every_token_and_a_new_login_works(api: Api) -> None:
    await know(api)
    one, other = await log_in(api), await log_in(api)
    foreign = bearer(api.clock, "bob")
    await api.http.post("/api/auth/logout", headers=access(one), json={"everywhere": True})
    for grant in (one, other):
        problem(await api.http.get(PATH, headers=access(grant)), 401, "unauthorized")
        problem(await refresh(api, grant.json()["refresh_token"]), 401, "unauthorized")
    assert (await api.http.get(PATH, headers=foreign)).status_code == 200
    await api.clock.advance(0.1)
    assert (await api.http.get(PATH, headers=access(await log_in(api)))).status_code == 200


async def test_what_was_revoked_stays_revoked_over_a_restart(api: Api, settings: Any) -> None:
    await know(api)
    grant = await log_in(api)
    await api.http.post("/api/auth/logout", headers=access(grant))
    again = create_app(settings, api.store, api.journal, api.bots, api.clock)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(again), base_url="http://postfleet.test") as http:
        problem(await http.get(PATH, headers=access(grant)), 401, "unauthorized")
    await again.close()


async def test_a_changed_password_ends_what_the_old_one_opened(api: Api) -> None:
    await know(api)
    grant = await log_in(api)
    new = "a different tulip every morning"
    wrong = {"old": "wrong", "new": new}
    problem(await api.http.post("/api/auth/password", headers=access(grant), json=wrong), 401, "unauthorized")
    right = {"old": PASSWORD, "new": new}
    assert (await api.http.post("/api/auth/password", headers=access(grant), json=right)).json()["tokens_ended"]
    problem(await api.http.get(PATH, headers=access(grant)), 401, "unauthorized")
    await api.clock.advance(1)
    assert [(await log_in(api, password=word)).status_code for word in (PASSWORD, new)] == [401, 200]


@pytest.mark.parametrize("weak", ["short", "password1234", "alicealicealice", "123456789012", "x" * 129])
async def test_a_weak_password_is_refused_with_advice_and_never_shown(api: Api, weak: str) -> None:
    with pytest.raises(InvalidInput, match="password") as refused:
        await api.context.issuer.set_password("alice", weak, frozenset())
    assert weak not in str(refused.value)


async def test_roles_of_a_user_stand_in_their_tokens(api: Api) -> None:
    await know(api, "root", frozenset({OPERATOR}))
    grant = await log_in(api, "root")
    again = await refresh(api, grant.json()["refresh_token"])
    for answer in (grant, again):
        assert api.context.authenticator.identify_value(
            access(answer)["Authorization"].encode(), {"headers": []}
        ).operator


async def test_the_file_holds_no_secret_in_plain_and_nobody_else_may_read_it(api: Api, settings: Any) -> None:
    await know(api)
    token = (await log_in(api)).json()["refresh_token"]
    file = settings.state_dir / "api.sqlite3"
    assert file.stat().st_mode & 0o077 == 0
    kept = b"".join(part.read_bytes() for part in settings.state_dir.glob("api.sqlite3*"))
    assert PASSWORD.encode() not in kept
    assert token.partition(".")[2].encode() not in kept
    assert b"$argon2id$" in kept
