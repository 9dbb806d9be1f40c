"""Clients that send slowly, read slowly, or come in crowds: over real connections to the daemon's own server."""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import httpx
import pytest

from api.routes import history
from api.server.server import Server
from core.models import Cycle, Delivery, PostContent, PostType
from core.settings import Settings, load_settings
from tests.api.conftest import open_api
from tests.api.support import Api, serving, until
from tests.support.clock import MovableClock

PATH = "/api/sync/state"
BOUNDS = {"header_timeout_seconds": 1.0, "request_timeout_seconds": 1.5}
MOST = 20
Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Connect = Callable[[], Awaitable[Connection]]


@pytest.fixture
async def server(api: Api) -> AsyncIterator[Server]:
    async with serving(api.app, max_connections_per_address=MOST, **BOUNDS) as server:
        yield server


@pytest.fixture
async def connect(server: Server) -> AsyncIterator[Connect]:
    """Connects; what is still open at the end is closed."""
    writers: list[asyncio.StreamWriter] = []

    async def one() -> Connection:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writers.append(writer)
        return reader, writer

    yield one
    for writer in writers:
        writer.close()
    await asyncio.gather(*(writer.wait_closed() for writer in writers), return_exceptions=True)


async def cut_off(reader: asyncio.StreamReader) -> bytes:
    """What came until the server closed the connection, which it has to do soon."""
    async with asyncio.timeout(10):
        try:
            return await reader.read()
        except ConnectionResetError:
            return b""


async def drip(writer: asyncio.StreamWriter, text: bytes = b"") -> None:
    """The text and then no end of x, a byte at a time, until nobody takes them any more."""
    try:
        for byte in text + b"x" * 5000:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0.02)
    except ConnectionError:
        return


def problem_of(answer: bytes, status: int, code: str) -> dict[str, str]:
    """The headers, after checking that it is a problem document like every other."""
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    problem: dict[str, Any] = json.loads(body)
    assert first.split()[1] == str(status)
    assert headers["content-type"] == "application/problem+json"
    assert (problem["status"], problem["code"]) == (status, code)
    assert problem["request_id"] == headers["x-request-id"]
    assert headers["x-content-type-options"] == "nosniff"
    return headers


async def test_a_client_that_sends_its_head_a_byte_at_a_time_is_cut_off(server: Server, connect: Connect) -> None:
    reader, writer = await connect()
    writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: ")
    dripping = asyncio.create_task(drip(writer))
    assert await cut_off(reader) == b""
    await dripping
    assert not server.server_state.connections


async def test_a_client_that_says_nothing_is_cut_off(server: Server, connect: Connect) -> None:
    reader, _ = await connect()
    assert await cut_off(reader) == b""


async def test_a_second_head_has_no_more_time_than_the_first(server: Server, connect: Connect) -> None:
    reader, writer = await connect()
    writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
    assert b" 200 " in await reader.readline()
    dripping = asyncio.create_task(drip(writer, b"GET / HTTP/1.1\r\nX-Slow: "))
    rest = await cut_off(reader)
    assert rest.count(b"HTTP/1.1") == 0
    await dripping


async def test_a_body_nobody_asked_for_cannot_be_sent_for_ever(
    server: Server, connect: Connect, alice: dict[str, str]
) -> None:
    reader, writer = await connect()
    head = (
        f"GET {PATH} HTTP/1.1\r\nHost: x\r\nAuthorization: {alice['Authorization']}\r\nContent-Length: 999999\r\n\r\n"
    )
    writer.write(head.encode())
    assert b" 200 " in await reader.readline()
    dripping = asyncio.create_task(drip(writer))
    await cut_off(reader)
    await dripping


async def test_a_head_without_an_end_is_refused_before_it_fills_memory(server: Server, connect: Connect) -> None:
    reader, writer = await connect()
    writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n")
    reading = asyncio.create_task(cut_off(reader))
    try:
        for number in range(10_000):
            writer.write(b"X-Padding-%d: %b\r\n" % (number, b"x" * 1000))
            await writer.drain()
    except ConnectionError:
        pass
    else:
        pytest.fail("ten megabytes of headers were taken")
    answer = await reading
    if answer:  # what we sent on may have reset the connection before we read it
        problem_of(answer, 431, "headers_too_large")


async def test_what_is_no_http_is_refused_with_a_problem_document(server: Server, connect: Connect) -> None:
    reader, writer = await connect()
    writer.write(b"\x16\x03\x01 hello\r\n\r\n")
    problem_of(await cut_off(reader), 400, "bad_request")


async def test_who_asks_and_never_reads_is_cut_off_and_holds_no_worker(server: Server, connect: Connect) -> None:
    with socket.socket() as lazy:
        lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        lazy.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(lazy, ("127.0.0.1", server.port))
        # Far more than the buffers between us take.
        await loop.sock_sendall(lazy, b"GET /api/openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 300)
        await until(lambda: len(server.server_state.tasks) > 0)
        await until(lambda: not server.server_state.connections and not server.server_state.tasks)


async def test_who_reads_slowly_but_steadily_is_served(server: Server, connect: Connect) -> None:
    reader, writer = await connect()
    writer.write(b"GET /api/openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 100)
    ends = asyncio.get_running_loop().time() + 3 * BOUNDS["request_timeout_seconds"]
    while asyncio.get_running_loop().time() < ends:
        assert await reader.read(65_536)
        assert server.server_state.connections, "it was cut off"
        await asyncio.sleep(0.05)


PIECE_SECONDS = 2.0
"""How long a piece of an answer may take in the tests of long answers."""


async def download(api: Api, headers: dict[str, str], address: str, server: Server) -> httpx.Response:
    """What a browser saves."""
    ticket = (await api.http.post("/api/auth/tickets", headers=headers, json={"purpose": "download"})).json()["ticket"]
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.port}", timeout=30) as http:
        return await http.get(address, params={"ticket": ticket})


def slow_pages(api: Api, monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Let the journal take that long for each page."""
    pages = api.journal.deliveries

    async def wait_first(user: str, **asked: Any) -> Any:
        await asyncio.sleep(seconds)
        return await pages(user, **asked)

    monkeypatch.setattr(api.journal, "deliveries", wait_first)


@pytest.fixture
def patient_for(settings: Settings, clock: MovableClock) -> Callable[[float], AbstractAsyncContextManager[Api]]:
    """Opens an API where requests and uploads may take that many seconds."""

    def opened(seconds: float) -> AbstractAsyncContextManager[Api]:
        limits = {"request_timeout_seconds": seconds, "upload_timeout_seconds": seconds}
        return open_api(load_settings(**{**settings.model_dump(), **limits}), clock, accounts=False)

    return opened


PatientFor = Callable[[float], AbstractAsyncContextManager[Api]]


async def test_a_table_that_takes_longer_than_a_request_may_arrives_whole(
    patient_for: PatientFor, alice: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "ROWS_A_PAGE", 2)
    async with patient_for(PIECE_SECONDS) as api:
        now = api.clock.now()
        cycle = Cycle(id=1, user="alice", post_type=PostType.TEXT, post_content=PostContent(text="x"), started_at=now)
        await api.journal.plan_cycle(
            cycle,
            [
                Delivery(user="alice", cycle=1, group=f"@group{n}", session="s", random_id=n, planned_at=now)
                for n in range(10)
            ],
        )
        slow_pages(api, monkeypatch, PIECE_SECONDS / 4)
        async with serving(api.app) as server:
            answer = await download(api, alice, "/api/deliveries.csv", server)
    assert [line.split(",")[0] for line in answer.text.splitlines()[1:]] == [str(n) for n in range(10, 0, -1)]


async def test_a_table_whose_next_piece_does_not_come_is_cut_off_and_seen_to_be(
    patient_for: PatientFor, alice: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with patient_for(1.0) as api:
        slow_pages(api, monkeypatch, 1000)
        async with serving(api.app) as server:
            with pytest.raises(httpx.RemoteProtocolError):
                await download(api, alice, "/api/deliveries.csv", server)


async def test_a_file_that_is_read_slowly_but_steadily_arrives_whole(
    patient_for: PatientFor, alice: dict[str, str]
) -> None:
    content = b"%PDF-1.4\n" + b"x" * 20_000_000
    loop = asyncio.get_running_loop()
    async with patient_for(PIECE_SECONDS) as api, serving(api.app) as server:
        sent = await api.http.post("/api/media", headers=alice, content=content)
        asked = await api.http.post("/api/auth/tickets", headers=alice, json={"purpose": "download"})
        with socket.socket() as slow:
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
            slow.setblocking(False)
            await loop.sock_connect(slow, ("127.0.0.1", server.port))
            address = f"/api/media/{sent.json()['name']}/content?ticket={asked.json()['ticket']}"
            await loop.sock_sendall(slow, f"GET {address} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
            got, ends = b"", loop.time() + 2 * PIECE_SECONDS
            while piece := await loop.sock_recv(slow, 65_536):
                got += piece
                if loop.time() < ends and len(got) < len(content) // 2:
                    await asyncio.sleep(0.05)
    assert got.endswith(content)


async def test_a_body_that_comes_a_byte_at_a_time_holds_no_worker(
    patient_for: PatientFor, alice: dict[str, str]
) -> None:
    loop = asyncio.get_running_loop()
    async with (
        patient_for(1.0) as api,
        serving(api.app) as server,
    ):
        # A plain socket: asyncio's streams drop the answer when a byte after it cannot be sent.
        with socket.create_connection(("127.0.0.1", server.port)) as client:
            client.setblocking(False)

            async def drip_on() -> None:
                with contextlib.suppress(ConnectionError):
                    while True:
                        await loop.sock_sendall(client, b"x")
                        await asyncio.sleep(0.02)

            head = f"PATCH /api/config HTTP/1.1\r\nHost: x\r\nAuthorization: {alice['Authorization']}\r\n"
            head += "Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"
            await loop.sock_sendall(client, head.encode())
            dripping = asyncio.create_task(drip_on())
            answer = b""
            async with asyncio.timeout(10):
                with contextlib.suppress(ConnectionError):
                    while piece := await loop.sock_recv(client, 65536):
                        answer += piece
                await dripping
        problem_of(answer, 408, "timed_out")
        assert not server.server_state.tasks


async def test_one_address_cannot_take_every_connection(server: Server, connect: Connect) -> None:
    crowd = [await connect() for _ in range(MOST)]
    reader, _ = await connect()
    headers = problem_of(await cut_off(reader), 503, "not_available")
    assert int(headers["Retry-After".lower()]) > 0
    crowd[0][1].close()
    await until(lambda: len(server.server_state.connections) < len(crowd))
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.port}") as http:
        assert (await http.get("/healthz")).status_code == 200


async def test_loopback_is_no_trusted_proxy_unless_it_is_named(
    api: Api, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: set[str] = set()
    monkeypatch.setattr(api.context.rates.addresses, "spend", seen.add)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.port}") as http:
        await http.get("/healthz", headers={"X-Forwarded-For": "6.6.6.6"})
    assert seen == {"127.0.0.1"}
