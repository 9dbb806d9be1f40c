"""A login is ended with everything that came from it; what anybody can make up ends nothing."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest

from api.app import create_app
from api.security.tokens import LEEWAY_SECONDS
from core.settings import Settings
from data.auth_store import AuthStore, Password
from tests.api.conftest import bearer
from tests.api.security.test_issuer import PATH, access, know, log_in, refresh
from tests.api.support import SECRET, Api, problem


async def refused(api: Api, headers: dict[str, str]) -> bool:
    return (await api.http.get(PATH, headers=headers)).status_code == 401


async def test_a_logout_ends_every_access_token_of_its_login(api: Api) -> None:
    await know(api)
    first, other = await log_in(api), await log_in(api)
    second = await refresh(api, first.json()["refresh_token"])
    assert not await refused(api, access(first))
    assert (await api.http.post("/api/auth/logout", headers=access(second))).status_code == 204
    assert await refused(api, access(first))
    assert await refused(api, access(second))
    assert not await refused(api, access(other))


async def test_a_refresh_token_that_comes_back_ends_the_access_tokens_of_its_login(api: Api) -> None:
    await know(api)
    first, other = await log_in(api), await log_in(api)
    second = await refresh(api, first.json()["refresh_token"])
    problem(await refresh(api, first.json()["refresh_token"]), 401, "unauthorized")
    assert await refused(api, access(first))
    assert await refused(api, access(second))
    assert not await refused(api, access(other))


async def test_a_login_that_was_ended_stays_ended_over_a_restart(api: Api, settings: Settings) -> None:
    await know(api)
    grant = await log_in(api)
    again = await refresh(api, grant.json()["refresh_token"])
    await refresh(api, grant.json()["refresh_token"])
    app = create_app(settings, api.store, api.journal, api.bots, api.clock)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://postfleet.test") as http:
        for headers in (access(grant), access(again)):
            problem(await http.get(PATH, headers=headers), 401, "unauthorized")
    await app.close()


async def test_a_ticket_of_a_login_that_was_ended_opens_nothing(api: Api) -> None:
    await know(api)
    grant = await log_in(api)
    wish = {"purpose": "download"}
    ticket = (await api.http.post("/api/auth/tickets", headers=access(grant), json=wish)).json()["ticket"]
    other = await refresh(api, grant.json()["refresh_token"])
    await api.http.post("/api/auth/logout", headers=access(other))
    problem(await api.http.get("/api/deliveries.csv", params={"ticket": ticket}), 401, "unauthorized")


@pytest.mark.parametrize("made_up", ["", "garbage", "{secret}x", "x.{proof}", "{secret}.", "{secret}.{proof}x", "é.é"])
async def test_a_refresh_token_that_was_made_up_ends_no_login(api: Api, made_up: str) -> None:
    await know(api)
    grant = await log_in(api)
    good = grant.json()["refresh_token"]
    family, secret, proof = [*good.split("."), ""][:3]
    text = made_up.format(secret=secret, proof=proof)
    problem(await refresh(api, f"{family}.{text}"), 401, "unauthorized")
    assert not await refused(api, access(grant))
    assert (await refresh(api, good)).status_code == 200


async def test_an_access_token_tells_nothing_that_ends_its_login(api: Api) -> None:
    await know(api)
    grant = await log_in(api)
    claims = jwt.decode(grant.json()["access_token"], options={"verify_signature": False})
    problem(await refresh(api, f"{claims['sid']}.{claims['jti']}"), 401, "unauthorized")
    assert (await refresh(api, grant.json()["refresh_token"])).status_code == 200


@asynccontextmanager
async def slow_store(settings: Settings) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """A store that takes its time: what is asked of it waits, in order, until the block ends. Gives time to ask."""

    async def others_turn() -> None:
        for _ in range(200):
            await asyncio.sleep(0)

    with closing(sqlite3.connect(settings.state_dir / "api.sqlite3", isolation_level=None)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        yield others_turn


async def test_a_logout_everywhere_ends_the_tokens_of_a_refresh_under_way(api: Api, settings: Settings) -> None:
    await know(api)
    grant = await log_in(api)
    await api.clock.advance(1)
    async with slow_store(settings) as others_turn:
        refreshing = asyncio.create_task(refresh(api, grant.json()["refresh_token"]))
        await others_turn()
        await api.clock.advance(0.1)
        body = {"everywhere": True}
        leaving = asyncio.create_task(api.http.post("/api/auth/logout", headers=access(grant), json=body))
        await others_turn()
        await api.clock.advance(0.1)
    assert (await leaving).status_code == 204
    refreshed = await refreshing
    assert refreshed.status_code == 200
    assert await refused(api, access(refreshed))
    problem(await refresh(api, refreshed.json()["refresh_token"]), 401, "unauthorized")


async def test_a_login_with_a_password_that_is_changed_meanwhile_is_refused(api: Api, settings: Settings) -> None:
    await know(api)
    async with slow_store(settings) as others_turn:
        entering = asyncio.create_task(log_in(api))
        await others_turn()
        changing = asyncio.create_task(api.context.auth_store.set_password("alice", Password("new", frozenset()), 0))
        await others_turn()
    await changing
    problem(await entering, 401, "unauthorized")


def elsewhere(api: Api, **claims: Any) -> dict[str, str]:
    """A token of another issuer, which shares the secret."""
    now = int(api.clock.now().timestamp())
    made = jwt.encode({"sub": "alice", "exp": now + 3600, "iat": now, **claims}, SECRET, "HS256")
    return {"Authorization": f"Bearer {made}"}


async def test_a_logout_everywhere_ends_tokens_of_an_issuer_whose_clock_is_ahead(api: Api) -> None:
    now = api.clock.now().timestamp()
    ahead = elsewhere(api, iat=now + LEEWAY_SECONDS - 1, jti="ahead")
    ours = bearer(api.clock, "alice")
    assert not await refused(api, ahead)
    await api.http.post("/api/auth/logout", headers=ours, json={"everywhere": True})
    assert await refused(api, ahead)
    await api.clock.advance(LEEWAY_SECONDS + 1)
    assert await refused(api, ahead)
    assert not await refused(api, elsewhere(api, jti="later"))


async def test_a_login_right_after_a_logout_everywhere_is_let_in(api: Api) -> None:
    await know(api)
    await api.http.post("/api/auth/logout", headers=access(await log_in(api)), json={"everywhere": True})
    await api.clock.advance(0.1)
    assert not await refused(api, access(await log_in(api)))


async def test_a_token_that_cannot_be_ended_alone_ends_nothing(api: Api) -> None:
    nameless = elsewhere(api, sid="a session of the other issuer")
    problem(await api.http.post("/api/auth/logout", headers=nameless), 422, "invalid_input")
    assert not await refused(api, nameless)


async def test_a_logout_of_another_issuers_token_leaves_its_session_there_alone(api: Api) -> None:
    one, next_one = (elsewhere(api, sid="session", jti=name) for name in ("one", "two"))
    assert (await api.http.post("/api/auth/logout", headers=one)).status_code == 204
    assert await refused(api, one)
    assert not await refused(api, next_one)


async def test_nobody_ends_the_login_of_somebody_else_by_its_id(api: Api) -> None:
    await know(api)
    grant = await log_in(api)
    family = jwt.decode(grant.json()["access_token"], options={"verify_signature": False})["sid"]
    bobs = elsewhere(api, sub="bob", sid=family, jti="bobs")
    assert (await api.http.post("/api/auth/logout", headers=bobs)).status_code == 204
    assert not await refused(api, access(grant))
    assert (await refresh(api, grant.json()["refresh_token"])).status_code == 200


async def test_a_store_of_the_first_version_goes_on_without_its_kept_answers(tmp_path: Path) -> None:
    await AuthStore.open(tmp_path).close()
    with sqlite3.connect(tmp_path / "api.sqlite3") as old:
        old.executescript("DROP TABLE ended_families; DROP INDEX answers_by_end")
        old.execute("INSERT INTO cutoffs VALUES ('alice', 5)")
        old.execute("INSERT INTO answers VALUES ('alice', 'k', 'digest without a key', 200, '', x'00', 9e9)")
        old.execute("PRAGMA user_version = 1")
    old.close()
    store = AuthStore.open(tmp_path)
    assert store.revoked_now(0).cutoffs == {"alice": 5}
    assert await store.claim_answer("alice", "k", "another", 0, 1) is None
    await store.close()
    assert b"digest without a key" not in b"".join(part.read_bytes() for part in tmp_path.glob("api.sqlite3*"))
