"""Nobody can ask too often, send too much or wait too long."""

import asyncio
import contextlib
import logging
from datetime import timedelta
from typing import Any

import httpx
import pytest

from api.requests.client_address import client_address
from api.security.audit_log import ALERT_AFTER
from api.security.tokens import issue_token
from core.settings import Settings
from tests.api.support import SECRET, Api, Remake, problem, served

PATH = "/api/sync/state"


async def test_a_user_who_asks_too_often_is_told_when_to_come_back(
    remake: Remake, alice: dict[str, str], bob: dict[str, str]
) -> None:
    async with remake(rate_per_user="3/hour") as http:
        for _ in range(3):
            assert (await http.get(PATH, headers=alice)).status_code == 200
        for path in (PATH, "/api/config"):
            refused = await http.get(path, headers=alice)
            problem(refused, 429, "too_many_requests")
            assert 1 <= int(refused.headers["retry-after"]) <= 3600
        assert (await http.get(PATH, headers=bob)).status_code == 200


async def test_an_address_that_asks_too_often_is_refused_before_anything_is_looked_at(remake: Remake) -> None:
    async with remake(rate_per_address="2/hour") as http:
        assert [(await http.get("/healthz")).status_code for _ in range(3)] == [200, 200, 429]


async def test_refused_tokens_are_limited_without_locking_out_who_is_already_in(
    remake: Remake, alice: dict[str, str], bob: dict[str, str]
) -> None:
    async with remake(rate_failed_auth="3/hour") as http:
        assert (await http.get(PATH, headers=alice)).status_code == 200
        wrong = {"Authorization": "Bearer nonsense"}
        assert [(await http.get(PATH, headers=wrong)).status_code for _ in range(4)] == [401, 401, 401, 429]
        assert (await http.get(PATH, headers=bob)).status_code == 429
        assert (await http.get(PATH, headers=alice)).status_code == 200


async def test_many_refusals_from_one_address_raise_one_alert(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "postfleet.security"):
        for _ in range(ALERT_AFTER + 5):
            await api.http.get(PATH, headers={"Authorization": "Bearer nonsense", "User-Agent": "curious/1"})
    actions = [record.__dict__["action"] for record in caplog.records if record.name == "postfleet.security"]
    assert actions.count("auth_failed") == ALERT_AFTER + 5
    assert actions.count("alert") == 1
    assert {record.__dict__.get("agent") for record in caplog.records} == {"curious/1"}


async def test_who_was_let_in_stands_in_the_security_log_without_the_token(
    api: Api, alice: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "postfleet.security"):
        answer = await api.http.get(PATH, headers=alice)
        await api.http.get(PATH, headers=alice)
    facts = [record.__dict__ for record in caplog.records]
    assert [(fact["action"], fact["user"]) for fact in facts] == [("auth_ok", "alice")]
    assert facts[0]["request_id"] == answer.headers["x-request-id"]
    assert "eyJ" not in str(facts)


@pytest.mark.parametrize("declared", [True, False])
async def test_a_body_that_is_too_large_is_refused(remake: Remake, alice: dict[str, str], declared: bool) -> None:
    async def pieces() -> Any:
        for _ in range(100):
            yield b'"' + b"x" * 1000

    async with remake(max_body_bytes=10_000) as http:
        body = b'"' + b"x" * 20_000 + b'"' if declared else pieces()
        headers = {**alice, "Content-Type": "application/json"}
        problem(await http.patch("/api/config", headers=headers, content=body), 413, "too_large")


async def test_headers_that_are_too_long_are_refused(api: Api, alice: dict[str, str]) -> None:
    answer = await api.http.get(PATH, headers={**alice, "X-Padding": "x" * 20_000})
    problem(answer, 431, "headers_too_large")


async def test_a_body_that_never_ends_is_cut_off_and_changes_nothing(
    remake: Remake, api: Api, alice: dict[str, str]
) -> None:
    async def never_ending() -> Any:
        yield b'{"post_content": "x"'
        await asyncio.Event().wait()

    async with remake(request_timeout_seconds=0.2) as http:
        headers = {**alice, "Content-Type": "application/json"}
        problem(await http.patch("/api/config", headers=headers, content=never_ending()), 408, "timed_out")
    assert "alice" not in api.store.snapshot.users


async def test_a_hundred_slow_clients_do_not_keep_others_waiting(api: Api, alice: dict[str, str]) -> None:
    async with served(api.app) as port, contextlib.AsyncExitStack() as slow:
        for number in range(100):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            slow.callback(writer.close)
            head = f"PATCH /api/config HTTP/1.1\r\nHost: x\r\nAuthorization: {alice['Authorization']}\r\n"
            half = "Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{" if number % 2 else "X-Slow: "
            writer.write((head + half).encode())
            await writer.drain()
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=5) as http:
            assert [(await http.get(PATH, headers=alice)).status_code for _ in range(50)] == [200] * 50


@pytest.mark.parametrize(
    ("peer", "forwarded", "seen"),
    [
        ("9.9.9.9", "1.2.3.4", "9.9.9.9"),
        ("10.0.0.1", "1.2.3.4", "1.2.3.4"),
        ("10.0.0.1", "6.6.6.6, 1.2.3.4, 10.0.0.2", "1.2.3.4"),
        ("10.0.0.1", "1.2.3.4, nonsense", "10.0.0.1"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "2001:db8::1", "2001:db8::1"),
    ],
)
def test_a_forwarded_address_is_believed_from_a_trusted_proxy_alone(peer: str, forwarded: str, seen: str) -> None:
    trusted = Settings(trusted_proxies="10.0.0.0/8").trusted_proxies  # type: ignore[arg-type]  # as the environment has it
    scope = {"client": (peer, 1), "headers": [(b"x-forwarded-for", forwarded.encode())]}
    assert client_address(scope, trusted) == seen
    assert client_address(scope, ()) == peer


async def test_only_configured_origins_may_read_answers(remake: Remake, alice: dict[str, str]) -> None:
    async with remake(cors_origins="https://dash.example", behind_tls=True) as http:
        for path in (PATH, "/api/config"):
            ours = await http.get(path, headers={**alice, "Origin": "https://dash.example"})
            theirs = await http.get(path, headers={**alice, "Origin": "https://evil.example"})
            assert ours.headers["access-control-allow-origin"] == "https://dash.example"
            assert "access-control-allow-origin" not in theirs.headers
            assert "access-control-allow-credentials" not in ours.headers
            assert "strict-transport-security" in ours.headers
        asked = {"Origin": "https://dash.example", "Access-Control-Request-Method": "PATCH"}
        assert (await http.options("/api/config", headers=asked)).status_code == 200


async def test_without_configured_origins_no_answer_may_be_read_elsewhere(api: Api, alice: dict[str, str]) -> None:
    answer = await api.http.get(PATH, headers={**alice, "Origin": "https://dash.example"})
    assert not [name for name in answer.headers if name.startswith("access-control")]
    assert "strict-transport-security" not in answer.headers


async def test_two_users_tokens_in_one_cache_never_mix(api: Api) -> None:
    async def ask(number: int) -> None:
        token = issue_token(SECRET, f"user{number}", now=api.clock.now(), lifetime=timedelta(hours=1))
        for _ in range(3):
            answer = await api.http.get(PATH, headers={"Authorization": f"Bearer {token}"})
            assert answer.json()["user_id"] == f"user{number}"

    await asyncio.gather(*(ask(number) for number in range(50)))
