"""What makes us work hard is done by a few at a time; whoever comes on top is told to come back."""

import asyncio
from typing import Any

import httpx
import pytest

from api.requests.concurrency_limits import MOST_PER_USER, Kind
from api.security import passwords
from core.errors import Conflict
from core.settings import Settings
from tests.api.conftest import bearer
from tests.api.support import Api, problem, until

OWN = MOST_PER_USER[Kind.WORK]


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"max_expensive_at_once": 6, "rate_expensive": "100000/minute"})


@pytest.fixture
def gate(api: Api, monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Previews wait here; then they end with an error, which gives their place back like anything else."""
    gate = asyncio.Event()

    async def preflight(*_: Any) -> None:
        await gate.wait()
        raise Conflict("nothing to see")

    monkeypatch.setattr(api.bots, "preflight", preflight)
    return gate


async def preview(api: Api, user: str) -> httpx.Response:
    return await api.http.post("/api/preview", headers=bearer(api.clock, user))


async def test_a_hundred_previews_race_for_the_places_and_exactly_so_many_get_one(
    api: Api, gate: asyncio.Event
) -> None:
    asked = [asyncio.create_task(preview(api, f"user{number}")) for number in range(100)]
    await until(lambda: sum(task.done() for task in asked) == 94)
    assert api.context.limiter.at_once(Kind.WORK) == 6
    gate.set()
    answers = await asyncio.gather(*asked)
    assert sorted(answer.status_code for answer in answers) == [409] * 6 + [503] * 94
    for answer in answers:
        if answer.status_code == 503:
            problem(answer, 503, "busy")
            assert int(answer.headers["retry-after"]) > 0
    assert api.context.limiter.at_once(Kind.WORK) == 0
    assert (await preview(api, "late")).status_code == 409


async def test_one_user_cannot_take_every_place(api: Api, gate: asyncio.Event) -> None:
    asked = [asyncio.create_task(preview(api, "alice")) for _ in range(20)]
    await until(lambda: sum(task.done() for task in asked) == 20 - OWN)
    other = asyncio.create_task(preview(api, "bob"))
    await until(lambda: api.context.limiter.at_once(Kind.WORK) == OWN + 1)
    gate.set()
    answers = await asyncio.gather(*asked)
    refused = [answer for answer in answers if answer.status_code != 409]
    assert len(refused) == 20 - OWN
    assert int(problem_headers(refused[0])["retry-after"]) > 0
    assert (await other).status_code == 409


def problem_headers(answer: httpx.Response) -> httpx.Headers:
    problem(answer, 429, "too_many_requests")
    return answer.headers


async def test_a_client_that_leaves_in_the_middle_gives_its_place_back(api: Api, gate: asyncio.Event) -> None:
    asked = asyncio.create_task(preview(api, "alice"))
    await until(lambda: api.context.limiter.at_once(Kind.WORK) == 1)
    asked.cancel()
    await asyncio.gather(asked, return_exceptions=True)
    assert not gate.is_set()
    assert api.context.limiter.at_once(Kind.WORK) == 0


async def test_an_export_holds_a_place_until_it_is_sent(api: Api, gate: asyncio.Event, alice: dict[str, str]) -> None:
    given = await api.http.post("/api/auth/tickets", headers=alice, json={"purpose": "download"})
    asked = [asyncio.create_task(preview(api, f"user{number}")) for number in range(6)]
    await until(lambda: api.context.limiter.at_once(Kind.WORK) == 6)
    problem(await api.http.get("/api/deliveries.csv", params={"ticket": given.json()["ticket"]}), 503, "busy")
    gate.set()
    await asyncio.gather(*asked)
    given = await api.http.post("/api/auth/tickets", headers=alice, json={"purpose": "download"})
    assert (await api.http.get("/api/deliveries.csv", params={"ticket": given.json()["ticket"]})).status_code == 200
    assert api.context.limiter.at_once(Kind.WORK) == 0


async def test_a_stampede_of_logins_is_turned_away_before_it_queues(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "MOST_WAITING", 4)

    async def log_in(number: int) -> httpx.Response:
        return await api.http.post("/api/auth/login", json={"user": f"user{number}", "password": "not the right one"})

    answers = await asyncio.gather(*(log_in(number) for number in range(60)))
    statuses = sorted(answer.status_code for answer in answers)
    assert set(statuses) == {401, 503}
    assert statuses.count(401) >= 4
    turned_away = next(answer for answer in answers if answer.status_code == 503)
    problem(turned_away, 503, "busy")
    assert int(turned_away.headers["retry-after"]) > 0
    assert (await log_in(61)).status_code == 401
