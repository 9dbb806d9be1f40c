"""Polls that the server answers without making a task: nobody can tell, except by the time it takes."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import httpx
import pytest

from api.security.tokens import issue_token
from api.server.server import Server
from api.state.endpoint import SyncState
from tests.api.support import SECRET, Api, problem, serving

PATH = "/api/sync/state"
_OF_ITS_OWN = {"date", "x-request-id"}


@pytest.fixture
async def server(api: Api) -> AsyncIterator[Server]:
    async with serving(api.app) as server:
        yield server


@pytest.fixture
async def http(server: Server) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.port}", headers={"Accept-Encoding": ""}) as http:
        yield http


def told(answer: httpx.Response) -> tuple[int, dict[str, str], bytes]:
    headers = {name: value for name, value in answer.headers.items() if name not in _OF_ITS_OWN}
    return answer.status_code, headers, answer.content


@pytest.mark.parametrize(
    ("method", "path", "more"),
    [
        ("GET", PATH, {}),
        ("GET", "/api/v1/sync/state", {}),
        ("GET", PATH, {"Accept-Encoding": "gzip"}),
        ("GET", PATH, {"If-None-Match": '"another"'}),
        ("GET", PATH, {"If-None-Match": "*"}),
        ("GET", f"{PATH}?since=0", {}),
        ("GET", f"{PATH}?since=x", {}),
        ("HEAD", PATH, {}),
        ("GET", PATH, {"Content-Length": "0"}),
        ("GET", PATH, {"Authorization": "Bearer nonsense"}),
        ("GET", PATH, {"Authorization": ""}),
        ("POST", PATH, {}),
    ],
)
async def test_the_answer_is_the_same_at_once_and_the_usual_way(
    api: Api, http: httpx.AsyncClient, alice: dict[str, str], method: str, path: str, more: dict[str, str]
) -> None:
    assert (await http.get(PATH, headers=alice)).status_code == 200
    headers = {"Accept-Encoding": "", **alice, **more}
    usual = told(await api.http.request(method, path, headers=headers))
    served = told(await http.request(method, path, headers=headers))
    if usual[0] >= 400:  # the request's id stands in it
        assert (served[0], served[1].keys()) == (usual[0], usual[1].keys())
    else:
        assert served == usual


async def test_a_poll_of_a_known_document_makes_no_task(
    api: Api, http: httpx.AsyncClient, alice: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (await http.get(PATH, headers=alice)).status_code == 200

    async def never(*_: object) -> None:
        raise AssertionError("it went the usual way")

    monkeypatch.setattr(SyncState, "__call__", never)
    for more in ({}, {"Accept-Encoding": "gzip"}, {"Connection": "keep-alive"}, {"If-None-Match": "*"}):
        assert (await http.get(PATH, headers={**alice, **more})).status_code in (200, 304)


async def test_requests_sent_in_a_row_are_answered_in_their_order(
    api: Api, server: Server, alice: dict[str, str], bob: dict[str, str]
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    heads = [(PATH, alice), ("/api/me", alice), (PATH, bob), (PATH, alice), ("/api/config", bob), (PATH, bob)] * 5
    for path, who in heads:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {who['Authorization']}\r\n\r\n".encode())
    for path, who in heads:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(head.partition("content-length: ")[2].partition("\r\n")[0])
        body = (await reader.readexactly(length)).decode()
        assert " 200 " in head.partition("\r\n")[0]
        if path == PATH:
            assert f'"user_id":"{"alice" if who is alice else "bob"}"' in body
        else:
            assert '"user_id"' not in body or path == "/api/me"
    writer.close()
    await writer.wait_closed()


async def test_who_asks_to_close_is_answered_and_left(server: Server, alice: dict[str, str]) -> None:
    for version, more in (("1.1", "Connection: close\r\n"), ("1.0", "")):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        head = f"GET {PATH} HTTP/{version}\r\nHost: x\r\nAuthorization: {alice['Authorization']}\r\n{more}\r\n"
        writer.write(head.encode())
        assert b'"user_id":"alice"' in await asyncio.wait_for(reader.read(), 5)
        writer.close()
        await writer.wait_closed()


async def test_a_change_shows_in_the_very_next_poll(http: httpx.AsyncClient, alice: dict[str, str]) -> None:
    for number in range(20):
        text = f"Text {number}"
        await http.patch("/api/config", headers=alice, json={"post_content": text})
        assert (await http.get(PATH, headers=alice)).json()["config"]["post_content"] == text


async def test_a_revoked_or_expired_token_is_refused_at_once_too(
    api: Api, http: httpx.AsyncClient, alice: dict[str, str]
) -> None:
    assert (await http.get(PATH, headers=alice)).status_code == 200
    await http.post("/api/auth/logout", headers=alice)
    problem(await http.get(PATH, headers=alice), 401, "unauthorized")
    token = issue_token(SECRET, "bob", now=api.clock.now(), lifetime=timedelta(seconds=60))
    bob = {"Authorization": f"Bearer {token}"}
    assert (await http.get(PATH, headers=bob)).status_code == 200
    await api.clock.advance(61)
    problem(await http.get(PATH, headers=bob), 401, "unauthorized")


async def test_each_poll_counts_once(api: Api, http: httpx.AsyncClient, alice: dict[str, str]) -> None:
    for _ in range(5):  # the first one makes the user, the others are answered at once
        await http.get(PATH, headers=alice)
    assert api.context.rates.users.counted("alice") == 5
