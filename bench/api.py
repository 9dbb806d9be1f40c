"""`python -m bench api`: how fast the sync state is, against bare Starlette with the same bytes in the same run.

Each server runs alone in a process of its own (uvicorn, httptools, uvloop, logs to a file as in the daemon); the load
comes from this process over 64 connections that each wait for their answer. Short rounds of all kinds take turns; the
ratios are those of the medians, because only ratios within one run mean anything. They compare requests a second of
the server's own processor time, so that others on the machine do not move them; on a free machine that is the rate seen
from outside. The last figure is the delay of single polls at 500 a second while 50 accounts write a post a second each
into the store and the journal.
"""

import argparse
import asyncio
import contextlib
import itertools
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import cast

import httpx
import uvicorn
import uvloop
from msgspec.structs import replace
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from api.app import create_app
from api.tokens import issue_token
from bench.report import Report
from bot.cycle import CycleRunner
from bot.run import BotParts
from core.clock import SystemClock
from core.logs import set_up_logs
from core.models import (
    BotStatus,
    Cycle,
    Delivery,
    DeliveryState,
    Event,
    PostType,
    Session,
    User,
)
from core.settings import Settings
from data.data_manager import DataManager, Transaction
from data.journal import Journal
from scheduler.bots import Bots
from scheduler.scheduler import Scheduler
from sessions.client import Clients
from sessions.pool import Pool
from sessions.session_manager import SessionManager
from sessions.vault import Vault

SECRET = "bench-only-Zk3v9QpL7xW2mN8rT5yB1cD4fG6h"  # noqa: S105  opens nothing but the bench's own server
PATH = "/api/sync/state"
USERS = 50
CONNECTIONS = 64
NEW_TOKENS = 25_000
"""More than the cache of verified tokens holds: by the time one comes round again it is forgotten."""
POLLS_PER_SECOND = 500
NO_LIMIT = "100000000/second"


@dataclass(frozen=True)
class Rate:
    """Requests a second, by the clock and by the server's processor time."""

    clock: float
    processor: float


@dataclass(frozen=True)
class Kind:
    """One kind of load."""

    name: str
    server: "Server"
    requests: Iterator[bytes]
    status: bytes = b"200"


def run(argv: Sequence[str]) -> Report:
    """Measure; a round is `--seconds` long."""
    options = argparse.ArgumentParser(prog="python -m bench api")
    options.add_argument("--seconds", type=float, default=0.5, help="length of one round")
    options.add_argument("--rounds", type=int, default=20)
    options.add_argument("--poll-seconds", type=float, default=15.0, help="length of the polling at a steady rate")
    chosen = options.parse_args(argv)
    return uvloop.run(_measure(chosen.seconds, chosen.rounds, chosen.poll_seconds))


async def _measure(seconds: float, rounds: int, poll_seconds: float) -> Report:
    report = Report("api", ("load", "requests/s", "requests/s of processor", "against bare"))
    with tempfile.TemporaryDirectory() as folder:
        state = Path(folder)
        headers = [f"Authorization: Bearer {token(user)}" for user in range(USERS)]
        with server("ours", state) as ours:
            (state / "body").write_bytes(body := await _document(ours, headers[0]))
            etag = await _etag(ours, headers[0])
            with server("bare", state) as bare:
                new = [f"Authorization: Bearer {token(number % USERS)}" for number in range(NEW_TOKENS)]
                kinds = [
                    Kind("bare Starlette", bare, _requests(headers)),
                    Kind("200, token known", ours, _requests(headers)),
                    Kind("304, token known", ours, _requests([f"{headers[0]}\r\nIf-None-Match: {etag}"]), b"304"),
                    Kind("200, every token new", ours, _requests(new)),
                ]
                rates = await _take_turns(kinds, seconds, rounds)
        with server("posting", state) as posting:
            p50, p99 = await _poll(posting, headers, poll_seconds)
    base = rates["bare Starlette"].processor
    for name, rate in rates.items():
        report.row(name, round(rate.clock), round(rate.processor), rate.processor / base)
    report.row(f"delay at {POLLS_PER_SECOND} polls/s while {USERS} accounts post, p50", f"{p50:.2f} ms", "", "")
    report.row(f"body of {len(body)} bytes", "", "", "")
    report.target("vs_bare_200_warm", rates["200, token known"].processor / base, ">=", 1.0)
    report.target("vs_bare_304_warm", rates["304, token known"].processor / base, ">=", 1.4)
    report.target("vs_bare_new_token", rates["200, every token new"].processor / base, ">=", 0.45)
    report.target("p99_ms_500rps", p99, "<=", 50.0)
    return report


# The load.


async def _take_turns(kinds: Sequence[Kind], seconds: float, rounds: int) -> dict[str, Rate]:
    found: dict[str, list[Rate]] = {kind.name: [] for kind in kinds}
    for kind in kinds:  # warm up
        await _load(kind, min(seconds, 0.5))
    for _ in range(rounds):
        for kind in kinds:
            found[kind.name].append(await _load(kind, seconds))
    return {
        name: Rate(statistics.median(rate.clock for rate in rates), statistics.median(rate.processor for rate in rates))
        for name, rates in found.items()
    }


class _Client(asyncio.Protocol):
    """Sends a request, waits for the whole answer, sends the next."""

    def __init__(self, kind: Kind) -> None:
        self._kind = kind
        self._buffer = b""
        self._transport: asyncio.Transport | None = None
        self.answers = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(next(self._kind.requests))

    def data_received(self, data: bytes) -> None:
        self._buffer = buffer = self._buffer + data if self._buffer else data
        end = buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        assert buffer[9:12] == self._kind.status, buffer[:200]
        if self._kind.status != b"304":
            at = buffer.index(b"content-length: ") + 16
            if len(buffer) < end + 4 + int(buffer[at : buffer.index(b"\r", at)]):
                return
        self._buffer = b""
        self.answers += 1
        assert self._transport is not None
        self._transport.write(next(self._kind.requests))

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()


async def _load(kind: Kind, seconds: float) -> Rate:
    loop = asyncio.get_running_loop()
    made = [
        await loop.create_connection(lambda: _Client(kind), "127.0.0.1", kind.server.port) for _ in range(CONNECTIONS)
    ]
    clients = [client for _, client in made]
    before, began, worked = sum(client.answers for client in clients), time.perf_counter(), kind.server.worked()
    await asyncio.sleep(seconds)
    answers = sum(client.answers for client in clients) - before
    rate = Rate(answers / (time.perf_counter() - began), answers / (kind.server.worked() - worked))
    for client in clients:
        client.close()
    return rate


async def _poll(server: "Server", headers: Sequence[str], seconds: float) -> tuple[float, float]:
    """Delays at a steady rate, counted from the moment each poll was due: a late start is delay, too."""
    delays: list[float] = []
    connections: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
    for _ in range(CONNECTIONS):
        connections.put_nowait(await asyncio.open_connection("127.0.0.1", server.port))
    requests = _requests(headers)

    async def poll(due: float) -> None:
        reader, writer = await connections.get()
        writer.write(next(requests))
        head = await reader.readuntil(b"\r\n\r\n")
        at = head.index(b"content-length: ") + 16
        await reader.readexactly(int(head[at : head.index(b"\r", at)]))
        delays.append(time.perf_counter() - due)
        connections.put_nowait((reader, writer))

    began = time.perf_counter()
    async with asyncio.TaskGroup() as polls:
        for number in range(int(seconds * POLLS_PER_SECOND)):
            due = began + number / POLLS_PER_SECOND
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            polls.create_task(poll(due))
    while not connections.empty():
        connections.get_nowait()[1].close()
    cut = statistics.quantiles(delays, n=100)
    return cut[49] * 1000, cut[98] * 1000


def _requests(headers: Sequence[str]) -> Iterator[bytes]:
    return itertools.cycle([f"GET {PATH} HTTP/1.1\r\nHost: bench\r\n{header}\r\n\r\n".encode() for header in headers])


def token(user: int, roles: Sequence[str] = ()) -> str:
    """A token for one of the bench's users."""
    return issue_token(SECRET, f"user{user}", now=SystemClock().now(), lifetime=timedelta(hours=1), roles=roles)


async def _document(server: "Server", header: str) -> bytes:
    return (await _get(server, header)).content


async def _etag(server: "Server", header: str) -> str:
    return (await _get(server, header)).headers["etag"]


async def _get(server: "Server", header: str) -> httpx.Response:
    name, _, value = header.partition(": ")
    async with httpx.AsyncClient() as http:
        sent = {name: value, "Accept-Encoding": "identity"}
        return (await http.get(f"http://127.0.0.1:{server.port}{PATH}", headers=sent)).raise_for_status()


# The servers.


@dataclass(frozen=True)
class Server:
    """One that runs in a process of its own."""

    pid: int
    port: int

    def worked(self) -> float:
        """Seconds of processor time it has used."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(") ")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def server(kind: str, state: Path) -> Iterator["Server"]:
    command = [sys.executable, "-m", "bench.api", kind, str(state)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield Server(process.pid, int(process.stdout.readline()))
        finally:
            process.terminate()
            process.wait(20)


class _Announcing(uvicorn.Server):
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        print(self.servers[0].sockets[0].getsockname()[1], flush=True)


async def _serve(kind: str, state: Path) -> None:
    set_up_logs(state / "logs", terminal=False)
    async with _bare(state) if kind == "bare" else _ours(state, posting=kind == "posting") as app:
        config = uvicorn.Config(app, port=0, log_config=None, access_log=False, lifespan="off")  # type: ignore[arg-type]  # ASGI
        await _Announcing(config).serve()


@contextlib.asynccontextmanager
async def _bare(state: Path) -> AsyncIterator[object]:
    body = (state / "body").read_bytes()

    async def answer(_: Request) -> Response:
        return Response(body, media_type="application/json")

    yield Starlette(routes=[Route(PATH, answer)])


@contextlib.asynccontextmanager
async def _ours(state: Path, *, posting: bool) -> AsyncIterator[object]:
    settings = Settings(
        jwt_secret=SECRET,  # type: ignore[arg-type]  # as the environment has it
        state_dir=state / "state",
        rate_per_user=NO_LIMIT,
        rate_per_address=NO_LIMIT,
        rate_failed_auth=NO_LIMIT,
        rate_expensive=NO_LIMIT,
        rate_login=NO_LIMIT,
    )
    clock = SystemClock()
    store = DataManager.open(settings.state_dir, clock)
    journal = Journal.open(settings.state_dir)
    if not store.snapshot.users:
        await _fill(store, journal, clock)
    pool = Pool(settings.state_dir, Vault.open(settings.state_dir), store, clock)
    sessions, clients = SessionManager(settings, store, pool, clock), Clients(settings, pool)
    parts = BotParts.put_together(settings, store, journal, sessions, clients, clock)
    app = create_app(settings, store, journal, Bots(parts, Scheduler(parts, CycleRunner(parts))), clock)
    posts = [
        asyncio.create_task(_post(f"user{user}", store, journal, clock)) for user in range(USERS if posting else 0)
    ]
    yield app
    for task in posts:
        task.cancel()
    await asyncio.gather(*posts, return_exceptions=True)
    await app.close()
    await journal.close()
    await store.close()


async def _fill(store: DataManager, journal: Journal, clock: SystemClock) -> None:
    """Users as they are in the field: 20 groups, 7 accounts, 50 lines of log; about 6 KB of state each."""

    def users(tx: Transaction) -> None:
        for number in range(USERS):
            names = tuple(f"account{number}x{index}" for index in range(2))
            for name in names:
                tx.put_session(name, Session(added_at=clock.now()))
            user = User(
                groups=tuple(f"@group{number}x{index}" for index in range(20)),
                post_content="Hello",
                assigned_sessions=names,
                bot_status=BotStatus.RUNNING,
            )
            tx.put_user(f"user{number}", user)

    await store.transact(users)
    for number in range(USERS):
        for index in range(24):
            await journal.add_event(_event(f"user{number}", index, clock))


def _event(user: str, number: int, clock: SystemClock) -> Event:
    group = f"@group{number % 20}"
    return Event(
        at=clock.now(),
        user=user,
        action="post_delivered",
        text=f"Delivered to {group}",
        group=group,
        session="account0",
    )


async def _post(user: str, store: DataManager, journal: Journal, clock: SystemClock) -> None:
    """What a posting account writes, once a second: a delivery before and after, its event, and when it runs next."""
    for number in itertools.count():
        now = clock.now()
        cycle = Cycle(
            id=int(now.timestamp() * 1000), user=user, post_type=PostType.TEXT, post_content="Hello", started_at=now
        )
        planned = Delivery(
            user=user, cycle=cycle.id, group="@group1", session="account0", random_id=number + 1, planned_at=now
        )
        (delivery,) = await journal.plan_cycle(cycle, [planned])
        done = replace(delivery, state=DeliveryState.DELIVERED, message_id=number + 1, finished_at=clock.now())
        await journal.update(done, event=_event(user, number, clock), messages=1)
        await journal.finish_cycle(user, cycle.id, clock.now())
        await store.transact(lambda tx: tx.put_user(user, replace(tx.user(user), next_run_at=clock.now())))
        await clock.sleep(1.0)


if __name__ == "__main__":
    uvloop.run(_serve(sys.argv[1], Path(sys.argv[2])))
