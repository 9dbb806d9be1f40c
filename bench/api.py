"""`python -m bench api`: how fast the sync state is, against bare Starlette with the same bytes in the same run.

Each server runs alone in a process of its own (uvicorn, httptools, uvloop, logs to a file as in the daemon); the load
comes from this process over 64 connections that each wait for their answer. Short rounds of all kinds take turns; the
ratios are those of the medians, because only ratios within one run mean anything. They compare requests a second of
the server's own processor time, so that others on the machine do not move them; on a free machine that is the rate seen
from outside. The last figures are the delays of single polls at 500 a second while 50 accounts write a post a second
each into the store and the journal; and the same with 1,000 open streams and 100 clients that never finish a request.
"""

import argparse
import asyncio
import contextlib
import itertools
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import httpx
import uvloop

from bench.parts.api_servers import PATH, POSTING, USERS, Server, server, token
from bench.report import Report

STREAMS = 1000
SLOW_CLIENTS = 100
CONNECTIONS = 64
NEW_TOKENS = 25_000
"""More than the cache of verified tokens holds: by the time one comes round again it is forgotten."""
POLLS_PER_SECOND = 500


@dataclass(frozen=True)
class Rate:
    """Requests a second, by the clock and by the server's processor time."""

    clock: float
    processor: float


@dataclass(frozen=True)
class Kind:
    """One kind of load."""

    name: str
    server: Server
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
            async with _crowd(posting, headers):
                _, crowded = await _poll(posting, headers, poll_seconds)
    base = rates["bare Starlette"].processor
    for name, rate in rates.items():
        report.row(name, round(rate.clock), round(rate.processor), rate.processor / base)
    report.row(f"delay at {POLLS_PER_SECOND} polls/s while {POSTING} accounts post, p50", f"{p50:.2f} ms", "", "")
    report.row(f"body of {len(body)} bytes", "", "", "")
    report.target("vs_bare_200_warm", rates["200, token known"].processor / base, ">=", 1.0)
    report.target("vs_bare_304_warm", rates["304, token known"].processor / base, ">=", 1.4)
    report.target("vs_bare_new_token", rates["200, every token new"].processor / base, ">=", 0.45)
    report.target("p99_ms_500rps", p99, "<=", 50.0)
    report.target("p99_ms_500rps_crowded", crowded, "<=", 50.0)
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


async def _poll(server: Server, headers: Sequence[str], seconds: float) -> tuple[float, float]:
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


@contextlib.asynccontextmanager
async def _crowd(server: Server, headers: Sequence[str]) -> AsyncIterator[None]:
    """Open streams that are read, and clients that send half a request and then nothing."""
    readers: list[asyncio.Task[None]] = []
    writers: list[asyncio.StreamWriter] = []
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.port}") as http:
        for number in range(STREAMS):
            name, _, value = headers[number % len(headers)].partition(": ")
            given = (await http.post("/api/auth/tickets", headers={name: value})).raise_for_status()
            ask = f"GET /api/sync/stream?ticket={given.json()['ticket']} HTTP/1.1\r\nHost: bench\r\n\r\n"
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(ask.encode())
            assert b" 200 " in await reader.readline()
            readers.append(asyncio.create_task(_read_on(reader)))
            writers.append(writer)
    for number in range(SLOW_CLIENTS):
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        body = "Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{" if number % 2 else "X-Slow: "
        writer.write(f"PATCH /api/config HTTP/1.1\r\nHost: bench\r\n{headers[0]}\r\n{body}".encode())
        writers.append(writer)
    yield
    assert not any(reader.done() for reader in readers), "a stream ended early"
    for task in readers:
        task.cancel()
    for writer in writers:
        writer.close()


async def _read_on(reader: asyncio.StreamReader) -> None:
    while await reader.read(65_536):
        pass


def _requests(headers: Sequence[str]) -> Iterator[bytes]:
    return itertools.cycle([f"GET {PATH} HTTP/1.1\r\nHost: bench\r\n{header}\r\n\r\n".encode() for header in headers])


async def _document(server: Server, header: str) -> bytes:
    return (await _get(server, header)).content


async def _etag(server: Server, header: str) -> str:
    return (await _get(server, header)).headers["etag"]


async def _get(server: Server, header: str) -> httpx.Response:
    name, _, value = header.partition(": ")
    async with httpx.AsyncClient() as http:
        sent = {name: value, "Accept-Encoding": "identity"}
        return (await http.get(f"http://127.0.0.1:{server.port}{PATH}", headers=sent)).raise_for_status()
