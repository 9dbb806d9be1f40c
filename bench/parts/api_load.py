"""The load `bench/api.py` puts on a server: at full speed, at a steady rate, and a crowd that holds connections."""

import asyncio
import contextlib
import itertools
import statistics
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import cast

import httpx

from bench.parts.api_servers import PATH, Server

CONNECTIONS = 64
_PATIENCE_SECONDS = 60.0


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


@dataclass(frozen=True)
class Delays:
    """Of single polls, in milliseconds, and how many were answered."""

    p50: float
    p99: float
    answers: int


class _Asking(asyncio.Protocol):
    """One connection; `answered` is called after each whole answer."""

    def __init__(self, status: bytes, answered: Callable[["_Asking"], None]) -> None:
        self._status = status
        self._answered = answered
        self._buffer = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def ask(self, request: bytes) -> None:
        assert self._transport is not None
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._buffer = buffer = self._buffer + data if self._buffer else data
        end = buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        assert buffer[9:12] == self._status, buffer[:200]
        if self._status != b"304":
            at = buffer.index(b"content-length: ") + 16
            if len(buffer) < end + 4 + int(buffer[at : buffer.index(b"\r", at)]):
                return
        self._buffer = b""
        self._answered(self)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()


@contextlib.asynccontextmanager
async def _connected(
    server: Server, status: bytes, answered: Callable[[_Asking], None]
) -> AsyncIterator[list[_Asking]]:
    loop = asyncio.get_running_loop()
    async with contextlib.AsyncExitStack() as made:
        clients: list[_Asking] = []
        for _ in range(CONNECTIONS):
            _, client = await loop.create_connection(lambda: _Asking(status, answered), "127.0.0.1", server.port)
            made.callback(client.close)
            clients += [client]
        yield clients


async def at_full_speed(kind: Kind, seconds: float) -> Rate:
    """Each connection sends the next request when it has the answer to the one before."""
    answers = 0

    def next_one(client: _Asking) -> None:
        nonlocal answers
        answers += 1
        client.ask(next(kind.requests))

    async with _connected(kind.server, kind.status, next_one) as clients:
        for client in clients:
            client.ask(next(kind.requests))
        await asyncio.sleep(min(seconds, 0.05))  # the first ones pay for the connections
        before, began, worked = answers, time.perf_counter(), kind.server.worked()
        await asyncio.sleep(seconds)
        got = answers - before
        return Rate(got / (time.perf_counter() - began), got / (kind.server.worked() - worked))


async def at_a_steady_rate(server: Server, requests: Iterator[bytes], rate: float, seconds: float) -> Delays:
    """Delays counted from the moment each poll was due: a late start is delay, too."""
    due: dict[_Asking, float] = {}
    free: asyncio.Queue[_Asking] = asyncio.Queue()
    delays: list[float] = []

    def answered(client: _Asking) -> None:
        delays.append(time.perf_counter() - due[client])
        free.put_nowait(client)

    total = int(seconds * rate)
    async with _connected(server, b"200", answered) as clients:
        for client in clients:
            free.put_nowait(client)
        began = time.perf_counter()
        for number in range(total):
            moment = began + number / rate
            await asyncio.sleep(max(0.0, moment - time.perf_counter()))
            client = await asyncio.wait_for(free.get(), _PATIENCE_SECONDS)
            due[client] = moment
            client.ask(next(requests))
        async with asyncio.timeout(_PATIENCE_SECONDS):
            while len(delays) < total:  # noqa: ASYNC110  the last answers are moments away
                await asyncio.sleep(0.01)
    cut = statistics.quantiles(delays, n=100)
    return Delays(cut[49] * 1000, cut[98] * 1000, len(delays))


class _Listening(asyncio.Protocol):
    """One open stream; what comes is counted and dropped. A lazy one reads nothing at all."""

    def __init__(self, ask: bytes, *, lazy: bool) -> None:
        self._ask = ask
        self._lazy = lazy
        self._transport: asyncio.Transport | None = None
        self.began: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.events = 0
        self.lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(self._ask)

    def data_received(self, data: bytes) -> None:
        if not self.began.done():
            assert data[9:12] == b"200", data[:200]
            self.began.set_result(None)
            if self._lazy and self._transport is not None:
                self._transport.pause_reading()
        self.events += data.count(b"event: change")

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  however it was lost
        self.lost = True

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()


@dataclass
class Crowd:
    """Who holds connections besides those who poll."""

    streams: list[_Listening]
    slow: list[asyncio.StreamWriter]

    @property
    def events(self) -> int:
        """Changes that the open streams were told of."""
        return sum(stream.events for stream in self.streams)

    @property
    def lost(self) -> int:
        """Streams that ended though they were read."""
        return sum(stream.lost for stream in self.streams)


@contextlib.asynccontextmanager
async def crowd(server: Server, headers: Sequence[str], streams: int, slow: int) -> AsyncIterator[Crowd]:
    """So many open streams, and slow clients: a third each sends half a head, sends half a body, and reads nothing of
    the stream it opened."""
    found = Crowd([], [])
    lazy: list[_Listening] = []
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.port}") as http:
            for number in range(streams):
                is_lazy = number < slow // 3
                stream = await _stream(http, server, headers[number % len(headers)], lazy=is_lazy)
                (lazy if is_lazy else found.streams).append(stream)
        for number in range(slow - len(lazy)):
            _, writer = await asyncio.open_connection("127.0.0.1", server.port)
            body = "Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{" if number % 2 else "X-Slow: "
            writer.write(f"PATCH /api/config HTTP/1.1\r\nHost: bench\r\n{headers[0]}\r\n{body}".encode())
            found.slow.append(writer)
        yield found
    finally:
        for stream in [*found.streams, *lazy]:
            stream.close()
        for writer in found.slow:
            writer.transport.abort()
        await asyncio.sleep(0.1)


async def upload_without_end(server: Server, header: str, megabytes: int) -> float:
    """Send so much without saying beforehand how much it will be; the megabytes that went out before it was refused.

    Fails when all of it was taken.
    """
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    head = "POST /api/media HTTP/1.1\r\nHost: bench\r\nContent-Type: application/octet-stream\r\n"
    writer.write(f"{head}Transfer-Encoding: chunked\r\n{header}\r\n\r\n".encode())
    piece = b"10000\r\n" + bytes(65_536) + b"\r\n"
    sent = 0
    try:
        while sent < megabytes * 1_000_000 and not reader.at_eof():
            writer.write(piece)
            await writer.drain()
            sent += 65_536
    except ConnectionError:
        pass
    else:
        assert reader.at_eof(), "the server took all of it"
    finally:
        writer.transport.abort()
    return sent / 1e6


async def _stream(http: httpx.AsyncClient, server: Server, header: str, *, lazy: bool) -> _Listening:
    name, _, value = header.partition(": ")
    given = (await http.post("/api/auth/tickets", headers={name: value})).raise_for_status()
    ask = f"GET /api/sync/stream?ticket={given.json()['ticket']} HTTP/1.1\r\nHost: bench\r\n\r\n".encode()
    loop = asyncio.get_running_loop()
    _, stream = await loop.create_connection(lambda: _Listening(ask, lazy=lazy), "127.0.0.1", server.port)
    await asyncio.wait_for(stream.began, _PATIENCE_SECONDS)
    return stream


def polls(headers: Sequence[str]) -> Iterator[bytes]:
    """Requests for the sync state with these headers in turn, for ever."""
    return itertools.cycle([f"GET {PATH} HTTP/1.1\r\nHost: bench\r\n{header}\r\n\r\n".encode() for header in headers])
