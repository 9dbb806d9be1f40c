"""Whether the service works, and its figures."""

import asyncio
import errno
import os
import shutil
import socket
import threading
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
from msgspec.structs import replace
from prometheus_client.parser import text_string_to_metric_families

from api.app import create_app
from api.requests.counts import ONE_IN
from api.security.tokens import OPERATOR, issue_token
from core.models import BotStatus, Cycle, Delivery, DeliveryState, Hold, PostContent, PostType, Session, User
from core.settings import Settings, load_settings
from data.disk import probe as disk_probe
from data.disk.files import Disk
from data.disk.probe import BAD_FOR_SECONDS, GOOD_FOR_SECONDS
from data.users.data_manager import Transaction
from sessions.connections.data_centres import FAILURES, LOOK_AGAIN_SECONDS
from tests.api.support import API_PAIRS, SECRET, Api, problem, served
from tests.support.clock import MovableClock
from tests.support.house import open_house

GOOD = {"store": "ok", "journal": "ok", "telegram": "ok", "disk": "ok"}


@pytest.fixture
def root(clock: MovableClock) -> dict[str, str]:
    token = issue_token(SECRET, "root", now=clock.now(), lifetime=timedelta(hours=1), roles=[OPERATOR])
    return {"Authorization": f"Bearer {token}"}


async def figures(api: Api, headers: dict[str, str]) -> dict[str, float]:
    """Every figure: name and labels → value."""
    answer = await api.http.get("/metrics", headers=headers)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/plain")
    found = {}
    for family in text_string_to_metric_families(answer.text):
        for sample in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return found


async def test_readiness_names_every_dependency(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    good = await api.http.get("/readyz")
    assert (good.status_code, good.json()) == (200, {"ready": True, "checks": GOOD})
    full = SimpleNamespace(free=99_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: full)
    await api.clock.advance(GOOD_FOR_SECONDS)
    bad = await api.http.get("/readyz")
    assert (bad.status_code, bad.json()) == (503, {"ready": False, "checks": {**GOOD, "disk": "nearly full"}})


async def test_a_state_that_cannot_be_read_is_named_and_nothing_answers_500(
    api: Api, settings: Settings, alice: dict[str, str]
) -> None:
    await api.store.transact(lambda tx: tx.put_user("alice", User()))
    path = settings.state_dir / "users.json"
    good = path.read_bytes()
    path.write_bytes(good.replace(b"alice", b"al\xefce"))
    bad = await api.http.get("/readyz")
    assert (bad.status_code, bad.json()["checks"]["store"]) == (503, "state_damaged")
    problem(await api.http.patch("/api/config", json={"groups": ["@news"]}, headers=alice), 503, "state_damaged")
    path.write_bytes(good)
    assert (await api.http.get("/readyz")).status_code == 200


async def test_a_disk_that_takes_no_write_is_named_until_it_takes_one(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: Disk, path: Path) -> int:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    with monkeypatch.context() as read_only:
        read_only.setattr(Disk, "create", refuse)
        bad = await api.http.get("/readyz")
    assert (bad.status_code, bad.json()["checks"]) == (503, {**GOOD, "disk": "not writable"})
    await api.clock.advance(BAD_FOR_SECONDS)
    assert (await api.http.get("/readyz")).json()["checks"] == GOOD


async def test_readiness_waits_for_nothing_that_hangs(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    answers, make = threading.Event(), Disk.create

    def create(disk: Disk, path: Path) -> int:
        assert answers.wait(60)
        return make(disk, path)

    async def read(*_: object, **__: object) -> None:
        await asyncio.to_thread(answers.wait, 60)

    monkeypatch.setattr("api.routes.health.PATIENCE_SECONDS", 0.05)
    monkeypatch.setattr(disk_probe, "PATIENCE_SECONDS", 0.05)
    with monkeypatch.context() as hanging:
        hanging.setattr(Disk, "create", create)
        hanging.setattr(api.journal, "events", read)
        bad = await api.http.get("/readyz")
    answers.set()
    silent = "does not answer"
    assert (bad.status_code, bad.json()["checks"]) == (503, {**GOOD, "journal": silent, "disk": silent})
    async with asyncio.timeout(10):
        while (await api.http.get("/readyz")).json()["checks"] != GOOD:  # noqa: ASYNC110  a thread tells
            await asyncio.sleep(0.01)


async def test_how_much_disk_must_be_free_is_a_setting(api: Api, settings: Settings) -> None:
    wants_all = load_settings(
        jwt_secret=SECRET, api_pairs=API_PAIRS, state_dir=settings.state_dir, least_free_megabytes=10**12
    )
    app = create_app(wants_all, api.store, api.journal, api.bots, api.clock)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://postfleet.test") as http:
        assert (await http.get("/readyz")).json()["checks"]["disk"] == "nearly full"
    await app.close()


async def test_telegram_that_does_not_answer_is_named_until_it_answers(api: Api) -> None:
    centres = api.services.clients.data_centres
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # taken, and nobody listens
        port = closed.getsockname()[1]
        for _ in range(FAILURES - 1):
            centres.failed(2, "127.0.0.1", port)
        assert (await api.http.get("/readyz")).json()["checks"] == GOOD, "one connection may fail"
        centres.failed(2, "127.0.0.1", port)
        bad = await api.http.get("/readyz")
        assert (bad.status_code, bad.json()["checks"]) == (503, {**GOOD, "telegram": "not reachable"})
        closed.listen()
        assert (await api.http.get("/readyz")).status_code == 503, "it is not knocked at with every request"
        await api.clock.advance(LOOK_AGAIN_SECONDS)
        assert (await api.http.get("/readyz")).json()["checks"] == GOOD


async def test_connections_of_accounts_tell_which_data_centre_answers(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        clients = house.services.clients
        await house.sandbox.stop()
        for _ in range(FAILURES):
            with pytest.raises((OSError, TimeoutError)):
                async with clients.connected("acc01", 1001):
                    pass
        assert clients.data_centres.silent == [house.sandbox.dc_id]


async def test_figures_are_for_operators_and_for_addresses_that_were_named(
    api: Api, settings: Settings, alice: dict[str, str], root: dict[str, str]
) -> None:
    problem(await api.http.get("/metrics"), 401, "unauthorized")
    problem(await api.http.get("/metrics", headers=alice), 403, "forbidden")
    assert (await api.http.get("/metrics", headers=root)).status_code == 200
    named = load_settings(
        jwt_secret=SECRET, api_pairs=API_PAIRS, state_dir=settings.state_dir, metrics_from="127.0.0.1"
    )
    app = create_app(named, api.store, api.journal, api.bots, api.clock)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://postfleet.test") as http:
        assert (await http.get("/metrics")).status_code == 200
        proxied = await http.get("/metrics", headers={"X-Forwarded-For": "127.0.0.1"})
        assert proxied.status_code == 401, "a proxy on the same machine lets nobody in"
    elsewhere = httpx.ASGITransport(app, client=("192.0.2.1", 1))
    async with httpx.AsyncClient(transport=elsewhere, base_url="http://postfleet.test") as http:
        assert (await http.get("/metrics")).status_code == 401
    await app.close()


async def test_figures_tell_of_users_accounts_posts_and_commits(api: Api, root: dict[str, str]) -> None:
    now = api.clock.now()
    hold = Hold(until=now + timedelta(hours=1), code="FLOOD_WAIT", reason="a pause")

    def put(tx: Transaction) -> None:
        tx.put_session("s1", Session())
        tx.put_session("s2", Session(hold=hold))
        tx.put_user("alice", User(bot_status=BotStatus.RUNNING, assigned_sessions=("s1", "s2")))
        tx.put_user("bob", User())

    await api.store.transact(put)
    cycle = Cycle(id=1, user="alice", post_type=PostType.TEXT, post_content=PostContent(text="Hello"), started_at=now)
    planned = [
        Delivery(user="alice", cycle=1, group=f"@g{number}", session="s1", random_id=number, planned_at=now)
        for number in range(3)
    ]
    first, second, third = await api.journal.plan_cycle(cycle, planned)
    done = replace(first, state=DeliveryState.DELIVERED, finished_at=now)
    await api.journal.update(done, replace(second, state=DeliveryState.FAILED, finished_at=now))
    await api.journal.update(replace(third, state=DeliveryState.SKIPPED, finished_at=now), floods=1)
    seen = await figures(api, root)
    assert seen["postfleet_users{status=running}"] == seen["postfleet_users{status=stopped}"] == 1
    assert (seen["postfleet_sessions{state=ready}"], seen["postfleet_sessions_resting"]) == (2, 1)
    outcomes = {
        name: seen[f"postfleet_deliveries_total{{outcome={name}}}"] for name in ("delivered", "failed", "skipped")
    }
    assert outcomes == {"delivered": 1, "failed": 1, "skipped": 1}
    assert seen["postfleet_flood_waits_total"] == 1
    assert seen["postfleet_commits_total{store=users}"] == api.store.snapshot.revision
    assert seen["postfleet_commits_total{store=journal}"] == 3
    assert seen["postfleet_cycles_running"] == seen["postfleet_streams_open"] == 0
    assert seen["process_resident_memory_bytes"] > 1e6
    assert seen["process_open_fds"] > 3
    assert seen["postfleet_due_lateness_seconds_count"] == 0


async def test_requests_are_counted_by_route_and_status_and_never_by_address(
    api: Api, alice: dict[str, str], root: dict[str, str]
) -> None:
    state = "/api/sync/state"
    await api.http.put("/api/admin/users/alice", headers=root)
    etag = (await api.http.get(state, headers=alice)).headers["etag"]
    for _ in range(2 * ONE_IN - 2):
        await api.http.get(state, headers={**alice, "If-None-Match": etag})
    await api.http.get(state)
    for path in ("/api/admin/users/alice", "/api/admin/users/bob", "/api/secret-4711"):
        await api.http.get(path, headers=root)
    seen = await figures(api, root)

    def count(route: str, status: int) -> float:
        return seen.get(f"postfleet_http_requests_total{{method=GET,route={route},status={status}}}", 0)

    assert (count(state, 200), count(state, 304), count(state, 401)) == (1, 2 * ONE_IN - 2, 1)
    assert (count("/api/admin/users/{user_id}", 200), count("/api/admin/users/{user_id}", 404)) == (1, 1)
    assert count("other", 404) == 1
    assert seen[f"postfleet_http_request_seconds_count{{route={state}}}"] == 2 * ONE_IN
    assert not any("4711" in name or "alice" in name for name in seen)
    assert (await figures(api, root))["postfleet_http_requests_total{method=GET,route=/metrics,status=200}"] == 1


async def test_polls_that_the_connection_answers_itself_are_counted_like_others(
    api: Api, alice: dict[str, str], root: dict[str, str]
) -> None:
    state = "/api/sync/state"
    async with served(api.app) as port, httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
        etag = (await http.get(state, headers=alice)).headers["etag"]
        for _ in range(ONE_IN):
            await http.get(state, headers=alice)
            await http.get(state, headers={**alice, "If-None-Match": etag})
        await http.get(state, headers={"Authorization": "Bearer x"})
    seen = await figures(api, root)
    counts = {
        status: seen[f"postfleet_http_requests_total{{method=GET,route={state},status={status}}}"]
        for status in (200, 304, 401)
    }
    assert counts == {200: ONE_IN + 1, 304: ONE_IN, 401: 1}
    assert seen[f"postfleet_http_request_seconds_count{{route={state}}}"] >= ONE_IN
