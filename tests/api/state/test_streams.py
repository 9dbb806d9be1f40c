"""The sync state as server-sent events, opened with a one-time ticket."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx
import pytest

from api.security.tickets import LIFETIME_SECONDS, MAX_OPEN_PER_USER
from api.security.tokens import Identity, issue_token
from api.state.cache import Document
from api.state.streams import CHECK_SECONDS, MAX_STREAMS_PER_USER, QUIET_SECONDS
from tests.api.support import SECRET, Api, problem, served, until

PATH = "/api/sync/stream"


async def ticket(api: Api, headers: dict[str, str], purpose: str = "stream") -> str:
    answer = await api.http.post("/api/auth/tickets", headers=headers, json={"purpose": purpose})
    assert answer.status_code == 201, answer.text
    assert answer.headers["cache-control"] == "no-store"
    return str(answer.json()["ticket"])


@pytest.fixture
async def browser(api: Api) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the same API over real HTTP."""
    async with served(api.app) as port, httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
        yield http


async def next_event(lines: AsyncIterator[str]) -> tuple[str, Any]:
    kind = ""
    async for line in lines:
        if line.startswith("event: "):
            kind = line.removeprefix("event: ")
        if line.startswith("data: "):
            return kind, json.loads(line.removeprefix("data: "))
    raise AssertionError("the stream ended")


async def test_a_stream_brings_the_document_and_then_what_changes(
    api: Api, alice: dict[str, str], browser: httpx.AsyncClient
) -> None:
    await api.http.patch("/api/config", headers=alice, json={})
    async with browser.stream("GET", PATH, params={"ticket": await ticket(api, alice)}) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        lines = stream.aiter_lines()
        kind, state = await next_event(lines)
        assert (kind, state["config"]["post_content"]) == ("state", "")
        await api.http.patch("/api/config", headers=alice, json={"post_content": "Hello"})
        await until(lambda: api.clock.sleepers > 0)
        await api.clock.advance(CHECK_SECONDS)
        kind, change = await next_event(lines)
        assert (kind, change["config"]["post_content"]) == ("change", "Hello")
        assert "logs" not in change
        whole = (await api.http.get("/api/sync/state", headers=alice)).json()
        assert {**state, **change} == whole


async def test_a_quiet_stream_says_that_it_is_alive_and_ends_with_its_token(
    api: Api, browser: httpx.AsyncClient
) -> None:
    token = issue_token(SECRET, "alice", now=api.clock.now(), lifetime=timedelta(seconds=QUIET_SECONDS + 5))
    opened = await ticket(api, {"Authorization": f"Bearer {token}"})
    async with browser.stream("GET", PATH, params={"ticket": opened}) as stream:
        reading = asyncio.create_task(stream.aread())
        while not reading.done():
            await until(lambda: api.clock.sleepers > 0 or reading.done())
            await api.clock.advance(CHECK_SECONDS)
    text = (await reading).decode()
    assert ": quiet" in text
    assert text.endswith("event: end\ndata: {}\n\n")


async def test_a_client_that_leaves_gives_its_place_back(
    api: Api, alice: dict[str, str], browser: httpx.AsyncClient
) -> None:
    streams = api.context.streams
    async with browser.stream("GET", PATH, params={"ticket": await ticket(api, alice)}) as stream:
        await next_event(stream.aiter_lines())
        assert streams.open == 1
    await until(lambda: streams.open == 0)


async def test_one_user_cannot_take_every_place(api: Api, alice: dict[str, str], browser: httpx.AsyncClient) -> None:
    streams = api.context.streams
    places = [streams.place(Identity("alice", expires_at=1e12)) for _ in range(MAX_STREAMS_PER_USER)]
    for place in places:
        place.__enter__()
    full = await browser.get(PATH, params={"ticket": await ticket(api, alice)})
    assert problem(full, 429, "too_many_requests")
    for place in places:
        place.__exit__(None, None, None)
    async with browser.stream("GET", PATH, params={"ticket": await ticket(api, alice)}) as stream:
        assert stream.status_code == 200


async def test_the_daemons_stop_ends_every_stream(api: Api, alice: dict[str, str], browser: httpx.AsyncClient) -> None:
    async with browser.stream("GET", PATH, params={"ticket": await ticket(api, alice)}) as stream:
        lines = stream.aiter_lines()
        await next_event(lines)
        api.context.streams.close()
        assert await next_event(lines) == ("end", {})
        assert [line async for line in lines] == [""]


async def test_a_logout_everywhere_ends_streams_and_tickets(
    api: Api, alice: dict[str, str], bob: dict[str, str], browser: httpx.AsyncClient
) -> None:
    unused = await ticket(api, alice)
    async with (
        browser.stream("GET", PATH, params={"ticket": await ticket(api, alice)}) as hers,
        browser.stream("GET", PATH, params={"ticket": await ticket(api, bob)}) as his,
    ):
        her_lines, his_lines = hers.aiter_lines(), his.aiter_lines()
        await next_event(her_lines)
        await next_event(his_lines)
        assert (await api.http.post("/api/auth/logout", headers=alice, json={"everywhere": True})).status_code == 204
        await api.http.patch("/api/config", headers=bob, json={"post_content": "Still here"})
        await until(lambda: api.clock.sleepers > 0)
        await api.clock.advance(CHECK_SECONDS)
        assert await next_event(her_lines) == ("end", {})
        kind, change = await next_event(his_lines)
        assert (kind, change["config"]["post_content"]) == ("change", "Still here")
    problem(await api.http.get(PATH, params={"ticket": unused}), 401, "unauthorized")


async def test_streams_of_one_user_share_one_document_and_the_bytes_of_a_change(
    api: Api, alice: dict[str, str], browser: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []
    since = Document.since

    def counted(document: Document, revision: int) -> bytes:
        made.append(revision)
        return since(document, revision)

    monkeypatch.setattr(Document, "since", counted)
    async with contextlib.AsyncExitStack() as streams:
        all_lines = []
        for _ in range(MAX_STREAMS_PER_USER):
            opening = browser.stream("GET", PATH, params={"ticket": await ticket(api, alice)})
            lines = (await streams.enter_async_context(opening)).aiter_lines()
            await next_event(lines)
            all_lines.append(lines)
        await api.http.patch("/api/config", headers=alice, json={"post_content": "Hello"})
        await until(lambda: api.clock.sleepers > 0)
        await api.clock.advance(CHECK_SECONDS)
        changes = [await next_event(lines) for lines in all_lines]
    assert changes == [changes[0]] * MAX_STREAMS_PER_USER
    assert changes[0][1]["config"]["post_content"] == "Hello"
    assert len(made) == 1


async def test_a_slow_reader_misses_states_in_between_and_gets_the_newest(api: Api, alice: dict[str, str]) -> None:
    identity = Identity("alice", expires_at=api.clock.now().timestamp() + 3600)
    streams = api.context.streams
    with streams.place(identity) as reader:
        events = streams.events(reader)
        state = _data(await anext(events))
        for number in range(20):  # it reads none of these
            await api.http.patch("/api/config", headers=alice, json={"post_content": f"Text {number}"})
            await until(lambda: api.clock.sleepers > 0)
            await api.clock.advance(CHECK_SECONDS)
        change = _data(await anext(events))
        assert change["config"]["post_content"] == "Text 19"
        assert {**state, **change} == (await api.http.get("/api/sync/state", headers=alice)).json()
        reader.end()
        assert [event async for event in events] == [b"event: end\ndata: {}\n\n"]


def _data(event: bytes) -> Any:
    return json.loads(event.decode().partition("data: ")[2])


async def test_1000_racing_consumers_of_one_ticket_and_exactly_one_wins(api: Api, alice: dict[str, str]) -> None:
    api.context.streams.close()  # the winner is refused for another reason, and no stream stays open
    opened = await ticket(api, alice)
    answers = await asyncio.gather(*(api.http.get(PATH, params={"ticket": opened}) for _ in range(1000)))
    statuses = sorted(answer.status_code for answer in answers)
    assert statuses == [401] * 999 + [429]


async def test_a_ticket_ends_after_thirty_seconds(api: Api, alice: dict[str, str]) -> None:
    opened = await ticket(api, alice)
    await api.clock.advance(LIFETIME_SECONDS)
    problem(await api.http.get(PATH, params={"ticket": opened}), 401, "unauthorized")


@pytest.mark.parametrize("wrong", ["", "x", "x" * 200])
async def test_what_is_no_ticket_opens_nothing(api: Api, wrong: str) -> None:
    problem(await api.http.get(PATH, params={"ticket": wrong}), 401, "unauthorized")


async def test_a_ticket_for_something_else_or_a_token_opens_no_stream(api: Api, alice: dict[str, str]) -> None:
    download = await ticket(api, alice, "download")
    problem(await api.http.get(PATH, params={"ticket": download}), 401, "unauthorized")
    token = alice["Authorization"].removeprefix("Bearer ")
    problem(await api.http.get(PATH, params={"ticket": token}), 422, "invalid_input")
    problem(await api.http.get(PATH, headers=alice), 422, "invalid_input")


async def test_a_user_can_hold_only_so_many_tickets(api: Api, alice: dict[str, str], bob: dict[str, str]) -> None:
    for _ in range(MAX_OPEN_PER_USER):
        await ticket(api, alice)
    refused = await api.http.post("/api/auth/tickets", headers=alice)
    problem(refused, 429, "too_many_requests")
    assert int(refused.headers["retry-after"]) > 0
    await ticket(api, bob)
    await api.clock.advance(LIFETIME_SECONDS)
    await ticket(api, alice)
