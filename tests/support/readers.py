"""Readers for the tests of what reads in a process of its own: good ones, and what a bad file may do to one."""

import contextlib
import ctypes
import os
import signal
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from core.errors import InvalidInput, UnsupportedMedia
from sessions.foreign.reader import Brought, Piece, read_all


@dataclass(frozen=True)
class Fact:
    """Something plain."""

    name: str
    content: bytes
    number: int | None = None


def twice(number: int) -> int:
    return 2 * number


def fact(name: str, *, size: int) -> Fact:
    return Fact(name, bytes(size), size)


def length(content: bytes) -> int:
    return len(content)


def size_of(path: Path) -> int:
    return len(path.read_bytes())


def surroundings() -> dict[str, list[str]]:
    """What a reader could learn or reach."""
    descriptors = []
    for link in list(Path("/proc/self/fd").iterdir()):
        with contextlib.suppress(FileNotFoundError):  # the one that listed the folder
            descriptors.append(str(link.readlink()))
    environment = Path("/proc/self/environ").read_text().split("\0")
    return {"descriptors": descriptors, "environment": [one for one in environment if one]}


def own_pid() -> int:
    return os.getpid()


def own_parent() -> int:
    return os.getppid()


def spins() -> int:
    while True:
        pass


def sleeps() -> int:
    time.sleep(1000)
    return 0


def fills_memory() -> int:
    return len(bytes(2**31))


def dies() -> int:
    return int(ctypes.string_at(0)[0])


def says_much() -> bytes:
    return bytes(10 * 2**20)


def writes(path: Path) -> int:
    return path.write_bytes(b"something")


def opens_many() -> int:
    sockets = [socket.socket() for _ in range(1000)]
    return len(sockets)


def refuses() -> int:
    raise InvalidInput("body", "is no good; send another")


def takes_none() -> int:
    raise UnsupportedMedia("none of this kind")


def has_a_bug() -> int:
    return 1 // 0


def counts(most: int) -> Iterator[int]:
    yield from range(most)


def counts_and_spins(most: int) -> Iterator[int]:
    yield from range(most)
    spins()


def lies() -> int:
    return "no number"  # type: ignore[return-value]


def breaks_on_one_file(brought: Brought, behind: int, broken: frozenset[int]) -> Iterator[Piece]:
    for piece in read_all(brought, behind, broken):
        yield piece
        if piece.source.endswith("bad.session"):
            os.kill(os.getpid(), signal.SIGSEGV)
