"""Passwords cannot be guessed for long, and nobody keeps others out by guessing."""

import asyncio

import httpx
import pytest

from api.app import create_app
from api.requests.client_address import client_address, counted_as
from api.security import passwords
from core.settings import Settings, load_settings
from tests.api.conftest import bearer
from tests.api.security.test_issuer import PASSWORD, access, know
from tests.api.support import Api, problem

LOGIN = "/api/auth/login"
GUESS = "a guess"


def from_address(api: Api, address: str) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(api.app, client=(address, 1))
    return httpx.AsyncClient(transport=transport, base_url="http://postfleet.test")


async def tries(http: httpx.AsyncClient, times: int, user: str = "alice", password: str = GUESS) -> list[int]:
    body = {"user": user, "password": password}
    return [(await http.post(LOGIN, json=body)).status_code for _ in range(times)]


async def test_whoever_guesses_at_an_address_keeps_nobody_out_elsewhere(api: Api) -> None:
    await know(api)
    async with from_address(api, "6.6.6.6") as guesser, from_address(api, "9.9.9.9") as alice:
        assert await tries(guesser, 12) == [401] * 10 + [429] * 2
        assert await tries(alice, 1, password=PASSWORD) == [200]
        assert await tries(guesser, 1, password=PASSWORD) == [429]


async def test_an_address_that_is_refused_uses_up_nothing_of_its_victims(api: Api, settings: Settings) -> None:
    await know(api)
    strict = load_settings(**{**settings.model_dump(), "rate_expensive": "3/hour", "rate_login": "5/hour"})
    app = create_app(strict, api.store, api.journal, api.bots, api.clock)
    transport = httpx.ASGITransport(app, client=("6.6.6.6", 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://postfleet.test") as http:
        assert await tries(http, 3, user="bob") == [401] * 3
        assert await tries(http, 100) == [429] * 100
    for number in range(10):  # each address may try 5 times, all together 50 times: none was used up
        transport = httpx.ASGITransport(app, client=(f"9.9.9.{number}", 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://postfleet.test") as http:
            assert await tries(http, 3) == [401] * 3
    await app.close()


async def test_guesses_from_ever_new_addresses_come_to_an_end_as_well(api: Api) -> None:
    await know(api)
    statuses: list[int] = []
    for number in range(11):
        async with from_address(api, f"6.6.6.{number}") as http:
            statuses += await tries(http, 10)
    assert statuses == [401] * 100 + [429] * 10


async def test_whoever_finds_no_place_has_not_guessed_wrong(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    await know(api)
    async with from_address(api, "9.9.9.9") as http:
        with monkeypatch.context() as full:
            full.setattr(passwords, "MOST_WAITING", 0)
            assert await tries(http, 12) == [503] * 12
        assert await tries(http, 1, password=PASSWORD) == [200]


async def test_guesses_at_the_login_do_not_keep_its_user_from_changing_the_password(api: Api) -> None:
    await know(api)
    async with from_address(api, "6.6.6.6") as guesser, from_address(api, "9.9.9.9") as alice:
        grant = await alice.post(LOGIN, json={"user": "alice", "password": PASSWORD})
        await tries(guesser, 12)
        change = {"old": PASSWORD, "new": "a different tulip every morning"}
        assert (await alice.post("/api/auth/password", headers=access(grant), json=change)).is_success


async def test_addresses_of_one_ipv6_network_share_their_tries(api: Api) -> None:
    await know(api)
    statuses: list[int] = []
    for number in range(11):
        async with from_address(api, f"2001:db8:1:2:{number:x}::{number:x}") as http:
            statuses += await tries(http, 1)
    assert statuses == [401] * 10 + [429]
    async with from_address(api, "2001:db8:1:3::1") as http:
        assert await tries(http, 1, password=PASSWORD) == [200]


async def test_refused_tokens_are_counted_by_ipv6_network(api: Api, settings: Settings) -> None:
    strict = load_settings(**{**settings.model_dump(), "rate_failed_auth": "3/hour", "rate_per_address": "5/hour"})
    app = create_app(strict, api.store, api.journal, api.bots, api.clock)

    async def ask(address: str, path: str, token: str) -> int:
        transport = httpx.ASGITransport(app, client=(address, 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://postfleet.test") as http:
            return (await http.get(path, headers={"Authorization": f"Bearer {token}"})).status_code

    asked = [await ask(f"2001:db8::{number:x}", "/api/sync/state", "nonsense") for number in range(4)]
    assert asked == [401, 401, 401, 429]
    good = bearer(api.clock, "alice")["Authorization"].removeprefix("Bearer ")
    asked = [await ask(f"2001:db8:5::{number:x}", "/api/config", good) for number in range(6)]
    assert asked == [200] * 5 + [429]
    await app.close()


@pytest.mark.parametrize(
    ("address", "counted"),
    [
        ("1.2.3.4", "1.2.3.4"),
        ("::ffff:1.2.3.4", "1.2.3.4"),
        ("2001:DB8:0:1:2:3:4:5", "2001:db8:0:1::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("unknown", "unknown"),
    ],
)
def test_an_address_is_counted_as_its_network(address: str, counted: str) -> None:
    assert counted_as(address) == counted


def test_a_proxy_is_trusted_however_its_address_is_written() -> None:
    trusted = Settings(trusted_proxies="10.0.0.0/8").trusted_proxies  # type: ignore[arg-type]  # as the environment has it
    scope = {"client": ("::ffff:10.0.0.1", 1), "headers": [(b"x-forwarded-for", b"::ffff:1.2.3.4")]}
    assert client_address(scope, trusted) == "1.2.3.4"


async def test_racing_guesses_are_all_counted(api: Api) -> None:
    await know(api)
    async with from_address(api, "6.6.6.6") as http:
        body = {"user": "alice", "password": GUESS}
        answers = await asyncio.gather(*(http.post(LOGIN, json=body) for _ in range(15)))
    statuses = [answer.status_code for answer in answers]
    assert (statuses.count(401), statuses.count(429)) == (10, 5)
    problem(next(answer for answer in answers if answer.status_code == 429), 429, "too_many_requests")
