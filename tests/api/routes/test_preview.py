"""`POST /api/preview` over HTTP, with a real data centre behind it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from msgspec.structs import replace

from api.app import create_app
from api.security.tokens import issue_token
from core.clock import SystemClock
from tests.api.support import Api, problem
from tests.support.house import SECRET, House, open_house

HEADERS = {
    "Authorization": f"Bearer {issue_token(SECRET, 'alice', now=SystemClock().now(), lifetime=timedelta(hours=1))}"
}


@asynccontextmanager
async def preview_house(folder: Path, **settings: Any) -> AsyncIterator[tuple[House, httpx.AsyncClient]]:
    async with open_house(folder, accounts=2, groups=3, sessions_at_start=2, **settings) as house:
        app = create_app(house.settings, house.store, house.journal, house.bots, house.services.clock)
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        try:
            async with httpx.AsyncClient(transport=transport, base_url="http://postfleet.test") as http:
                yield house, http
        finally:
            await app.close()


async def test_it_shows_the_post_and_who_posts_where_and_posts_nothing(tmp_path: Path) -> None:
    async with preview_house(tmp_path) as (house, http):
        await house.add_user("alice", ["@plaza01", "@plaza02", "@nowhere"])
        await house.give_sessions("alice")
        answer = await http.post("/api/preview", headers=HEADERS)
        assert answer.status_code == 200, answer.text
        shown = answer.json()
        assert shown["post"]["text"] == "Hello from alice"
        assert shown["posts"] == 2
        assert [group["session"] in {"acc01", "acc02"} for group in shown["groups"]] == [True, True, False]
        assert "not a member" in shown["groups"][2]["reason"]
        assert shown["cycle_seconds"] > 0
        assert not house.texts("@plaza01")


async def test_what_would_be_refused_is_not_previewed(tmp_path: Path) -> None:
    async with preview_house(tmp_path, least_cycle_delay_seconds=60) as (house, http):
        await house.add_user("alice", ["@plaza01"])
        refused = await http.post("/api/preview", headers=HEADERS, json={"delay_between_cycles": 59})
        assert "delay_between_cycles: write at least 60" in problem(refused, 422, "invalid_input")["detail"]


async def test_changes_can_be_tried_before_they_are_stored(tmp_path: Path) -> None:
    async with preview_house(tmp_path) as (house, http):
        await house.add_user("alice", ["@plaza01"])
        await house.give_sessions("alice")
        before = house.user("alice")
        wish = {"post_content": {"text": "<i>New</i> in {group}", "format": "html"}, "groups": ["@plaza03"]}
        shown = (await http.post("/api/preview", headers=HEADERS, json=wish)).json()
        assert shown["post"]["text"] == "New in Plaza 03"
        assert shown["post"]["entities"] == [{"kind": "italic", "offset": 0, "length": 3, "url": None}]
        assert [group["group"] for group in shown["groups"]] == ["@plaza03"]
        after = house.user("alice")
        assert replace(after, revision=before.revision) == before, "only who the account is was noted, at the account"
        bad = await http.post("/api/preview", headers=HEADERS, json={"post_content": "x" * 4097})
        assert problem(bad, 422, "invalid_input")["errors"][0]["field"] == "post_content.text"


async def test_previews_are_counted_as_what_costs_much(tmp_path: Path) -> None:
    async with preview_house(tmp_path, rate_expensive="2/hour") as (house, http):
        await house.add_user("alice", ["@plaza01"])
        codes = [(await http.post("/api/preview", headers=HEADERS)).status_code for _ in range(3)]
        assert codes == [200, 200, 429]


async def test_without_groups_it_says_what_to_set(api: Api, alice: dict[str, str]) -> None:
    problem(await api.http.post("/api/preview", headers=alice), 409, "no_groups")


@pytest.mark.parametrize("token", ["", "Bearer nonsense"])
async def test_nobody_looks_without_a_token(api: Api, token: str) -> None:
    problem(await api.http.post("/api/preview", headers={"Authorization": token}), 401, "unauthorized")
