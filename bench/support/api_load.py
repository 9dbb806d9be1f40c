"""The load of `bench/api.py`: requests at full speed or at a steady rate, and a crowd that holds connections."""

import asyncio
import contextlib
import itertools
import statistics
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import cast

import httpx

from bench.support.api_servers import PATH, Server

CONNECTIONS = 64
_PATIENCE_SECONDS = 60.0


@dataclass(frozen=True)
class Rate:
    """Requests per second of the clock, and per second of the server's processor time."""

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
    """The delays of single polls in milliseconds, and the number of polls."""

    p50: float
    p99: float
    polls: int


class _Client(asyncio.Protocol):
    """One connection. It calls `received` after each whole response."""

    def __init__(self, status: bytes, received: Callable[["_Client"], None]) -> None:
        self._status = status
        self._received = received
        self._buffer = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def send(self, request: bytes) -> None:
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
        self._received(self)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()


@contextlib.asynccontextmanager
async def _connected(
    server: Server, status: bytes, received: Callable[[_Client], None]
) -> AsyncIterator[list[_Client]]:
    loop = asyncio.get_running_loop()
    async with contextlib.AsyncExitStack() as made:
        clients: list[_Client] = []
        for _ in range(CONNECTIONS):
            _, client = await loop.create_connection(lambda: _Client(status, received), "127.0.0.1", server.port)
            made.callback(client.close)
            clients += [client]
        yield clients


async def at_full_speed(kind: Kind, seconds: float) -> Rate:
    """Send requests over every connection, each as soon as the response to the one before is there."""
    responses = 0

    def next_one(client: _Client) -> None:
        nonlocal responses
        responses += 1
        client.send(next(kind.requests))

    async with _connected(kind.server, kind.status, next_one) as clients:
        for client in clients:
            client.send(next(kind.requests))
        await asyncio.sleep(min(seconds, 0.05))  # the first requests include the connecting
        before, began, worked = responses, time.perf_counter(), kind.server.worked()
        await asyncio.sleep(seconds)
        got = responses - before
        return Rate(got / (time.perf_counter() - began), got / (kind.server.worked() - worked))


async def at_a_steady_rate(server: Server, requests: Iterator[bytes], rate: float, seconds: float) -> Delays:
    """Poll at that rate. A poll's delay counts from the moment it was due, so a late start is delay, too."""
    due: dict[_Client, float] = {}
    free: asyncio.Queue[_Client] = asyncio.Queue()
    delays: list[float] = []

    def received(client: _Client) -> None:
        delays.append(time.perf_counter() - due[client])
        free.put_nowait(client)

    total = int(seconds * rate)
    async with _connected(server, b"200", received) as clients:
        for client in clients:
            free.put_nowait(client)
        began = time.perf_counter()
        for number in range(total):
            moment = began + number / rate
            await asyncio.sleep(max(0.0, moment - time.perf_counter()))
            client = await asyncio.wait_for(free.get(), _PATIENCE_SECONDS)
            due[client] = moment
            client.send(next(requests))
        async with asyncio.timeout(_PATIENCE_SECONDS):
            while len(delays) < total:  # noqa: ASYNC110  the last responses are moments away
                await asyncio.sleep(0.01)
    cut = statistics.quantiles(delays, n=100)
    return Delays(cut[49] * 1000, cut[98] * 1000, len(delays))


class _Stream(asyncio.Protocol):
    """One open stream, which counts and drops what it gets. A lazy one reads nothing at all."""

    def __init__(self, request: bytes, *, lazy: bool) -> None:
        self._request = request
        self._lazy = lazy
        self._transport: asyncio.Transport | None = None
        self.began: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.events = 0
        self.lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        if not self.began.done():
            assert data[9:12] == b"200", data[:200]
            self.began.set_result(None)
            if self._lazy and self._transport is not None:
                self._transport.pause_reading()
        self.events += data.count(b"event: change")

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  the cause does not matter
        self.lost = True

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()


@dataclass
class Crowd:
    """The connections besides those that poll."""

    streams: list[_Stream]
    slow: list[asyncio.StreamWriter]

    @property
    def events(self) -> int:
        """Return the number of changes that the open streams got."""
        return sum(stream.events for stream in self.streams)

    @property
    def lost(self) -> int:
        """Return the number of streams that ended although they were read."""
        return sum(stream.lost for stream in self.streams)


@contextlib.asynccontextmanager
async def crowd(server: Server, headers: Sequence[str], streams: int, slow: int) -> AsyncIterator[Crowd]:
    """Open that many streams and slow clients.

    A third of the slow clients sends half a head, a third half a body, and a third reads nothing of its stream.
    """
    found = Crowd([], [])
    lazy: list[_Stream] = []
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
    """Upload without announcing a size. Return the megabytes that were sent before the server refused the rest.

    Raises:
        AssertionError: the server took all of it.
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


async def _stream(http: httpx.AsyncClient, server: Server, header: str, *, lazy: bool) -> _Stream:
    name, _, value = header.partition(": ")
    given = (await http.post("/api/auth/tickets", headers={name: value})).raise_for_status()
    request = f"GET /api/sync/stream?ticket={given.json()['ticket']} HTTP/1.1\r\nHost: bench\r\n\r\n".encode()
    loop = asyncio.get_running_loop()
    _, stream = await loop.create_connection(lambda: _Stream(request, lazy=lazy), "127.0.0.1", server.port)
    await asyncio.wait_for(stream.began, _PATIENCE_SECONDS)
    return stream


def polls(headers: Sequence[str]) -> Iterator[bytes]:
    """Yield requests for the sync state forever, with these headers in turn."""
    return itertools.cycle([f"GET {PATH} HTTP/1.1\r\nHost: bench\r\n{header}\r\n\r\n".encode() for header in headers])
