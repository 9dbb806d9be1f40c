"""Uploads that are far too large, or cut off by kill -9, against a real server process."""

import json
import os
import re
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from bench.support.api_servers import Server, server, token

GIGABYTE = 1_000_000_000
BLOCK = b"x" * 1_000_000
PDF = b"%PDF-1.7 "
HIGHEST_GROWTH = 48 * 1024
"""KiB that the server's memory may grow by; the files it refuses have 20 times that."""


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with server("ours", tmp_path_factory.mktemp("ours")) as running:
        yield running


def highest_memory(running: Server) -> int:
    """KiB the process has had at most."""
    found = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{running.pid}/status").read_text())
    assert found is not None
    return int(found[1])


def chunk(content: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(content), content)


class Sender(threading.Thread):
    """Sends a gigabyte whatever the server says, for as long as it can, and then reads what was answered."""

    def __init__(self, running: Server, header: str, *, chunked: bool) -> None:
        super().__init__()
        self.sent = 0
        self.answer = b""
        self._chunked = chunked
        self._connection = socket.create_connection(("127.0.0.1", running.port), timeout=20)
        head = f"POST /api/media HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token(1)}\r\n{header}\r\n\r\n"
        self._connection.sendall(head.encode())

    def run(self) -> None:
        with self._connection:
            try:
                for number in range(GIGABYTE // len(BLOCK)):
                    block = PDF + BLOCK if number == 0 else BLOCK
                    self._connection.sendall(chunk(block) if self._chunked else block)
                    self.sent += len(block)
                if self._chunked:
                    self._connection.sendall(b"0\r\n\r\n")
            except OSError:
                pass  # closed on us: that is what this is about
            try:
                while piece := self._connection.recv(65536):
                    self.answer += piece
            except OSError:
                pass


@pytest.mark.parametrize(
    ("header", "chunked", "status"),
    [
        (f"Content-Length: {GIGABYTE}", False, 413),
        ("Transfer-Encoding: chunked", True, 413),
        # It declares little and goes on sending: what follows is no request.
        ("Content-Length: 1000", False, 400),
    ],
)
def test_a_gigabyte_is_refused_early_in_little_memory_while_others_are_answered(
    ours: Server, header: str, chunked: bool, status: int
) -> None:
    others = {"Authorization": f"Bearer {token(2)}"}
    with httpx.Client(base_url=f"http://127.0.0.1:{ours.port}", headers=others, timeout=5) as http:
        assert http.get("/api/sync/state").status_code == 200
        before = highest_memory(ours)
        sender = Sender(ours, header, chunked=chunked)
        sender.start()
        answered = 0
        while sender.is_alive() or answered < 20:
            assert http.get("/api/sync/state").status_code == 200
            answered += 1
        sender.join()
        # What is sent after the declared bytes is refused as no request, with or without an answer to those.
        assert [int(found) for found in re.findall(rb"HTTP/1.1 (\d+)", sender.answer)][-1] == status
        if status == 413:
            body = json.loads(sender.answer.rpartition(b"\r\n\r\n")[2])
            assert body["code"] == "too_large"
        assert sender.sent < GIGABYTE / 4, "the server let nearly all of it come"
        assert highest_memory(ours) - before < HIGHEST_GROWTH
        page = http.get("/api/media", headers={"Authorization": f"Bearer {token(1)}"}).json()
        assert page["arriving"] == 0
        assert page["used"] in (0, 1000)


def test_an_upload_cut_off_by_kill_9_leaves_nothing_after_the_next_start(tmp_path: Path) -> None:
    incoming = tmp_path / "state" / "media" / ".incoming"
    with server("ours", tmp_path) as first:
        connection = socket.create_connection(("127.0.0.1", first.port), timeout=20)
        about = f"Authorization: Bearer {token(1)}\r\nContent-Length: 9000000"
        head = f"POST /api/media HTTP/1.1\r\nHost: x\r\n{about}\r\n\r\n"
        connection.sendall(head.encode() + PDF + BLOCK * 3)
        deadline = time.monotonic() + 20
        while not sum(path.stat().st_size for path in incoming.glob("*")):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        os.kill(first.pid, signal.SIGKILL)
        connection.close()
    assert list(incoming.glob("*"))
    with server("ours", tmp_path) as second:
        assert not list(incoming.glob("*"))
        http = {"Authorization": f"Bearer {token(1)}"}
        page = httpx.get(f"http://127.0.0.1:{second.port}/api/media", headers=http, timeout=5).json()
        assert (page["files"], page["used"], page["arriving"]) == ([], 0, 0)
