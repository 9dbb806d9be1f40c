"""Reads foreign files in a process of its own, with bounds of time and memory.

A file may have been made so that reading it never ends, fills the memory or breaks the reader. So functions that read
foreign files run elsewhere: `run(BOUNDS, read_picture, path)` returns what `read_picture(path)` does, `await
run_async(…)` the same without blocking the loop, and `stream(BOUNDS, read_all, path)` yields what the generator
`read_all(path)` does.

A job finds the function by its name, so the function is at the top of a module. That module imports little, because
this process and the one that forks jobs both load it. It imports a library for jobs inside the function and names it in
`PRELOADED`, so that the library is loaded once there and never here.

The arguments are pickled. Results are plain data, which msgspec converts to the function's annotation, so that a reader
that was taken over can run nothing here. A PostfleetError that it raises is raised here too. Nothing of this process
gets there: no environment, no descriptors, no memory.
"""

import asyncio
import atexit
import contextlib
import inspect
import logging
import os
import pickle
import socket
import subprocess
import sys
import threading
import typing
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import ParamSpec, TypeVar

import msgspec

from core import errors
from core.confined_child import LENGTH, Order, Said, receive_exactly
from core.errors import InvalidInput, NotRead, PostfleetError, ReaderBroke, TakesTooLong, TakesTooMuch

log = logging.getLogger(__name__)
MOST_AT_ONCE = 2
"""Jobs of one process at a time; others wait for their turn."""
_LONGEST_TURN_SECONDS = 60.0
_ROOM_FOR_WORDS = 4096
P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True)
class Bounds:
    """How much a job may use."""

    cpu_seconds: int = 5
    """Of processor time until the result; until the next one of a generator."""
    seconds: float = 30.0
    """Of real time until the same. It is generous: the machine may be busy."""
    all_seconds: float = 60.0
    """Of real time for all results of a generator together."""
    memory_bytes: int = 128 * 2**20
    """Beyond what Python and its modules take."""
    answer_bytes: int = 2**20
    """Of each result."""
    open_files: int = 16
    """At a time, for reading alone."""


def run(bounds: Bounds, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Return what the function returns. It blocks.

    Raises:
        TakesTooLong, TakesTooMuch, ReaderBroke: the file exceeds the bounds, or breaks the reader.
        NotRead: the machine has no process for it now; nothing was read.
        PostfleetError: what the function raised.
    """
    job = _Job(bounds, function, args, kwargs)
    try:
        value: T = job.value()
        return value
    finally:
        job.stop()


async def run_async(bounds: Bounds, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Do the same without blocking the loop. Cancelling ends the job. Raises as `run` does."""
    job = _Job(bounds, function, args, kwargs)
    waiting = asyncio.get_running_loop().run_in_executor(_waiters(), job.value)
    try:
        value: T = await waiting
        return value
    finally:
        job.stop()


def stream(bounds: Bounds, function: Callable[P, Iterator[T]], /, *args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
    """Yield what the generator yields. It blocks. Closing it ends the job. Raises as `run` does."""
    job = _Job(bounds, function, args, kwargs)
    try:
        yield from job.values()
    finally:
        job.stop()


def close() -> None:
    """End the process and all jobs. Those who wait get NotRead. The next job starts the process anew."""
    _child.close()


class _Child:
    """The process that forks the jobs. The first job starts it, and the next one if it was killed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._owner = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._orders: socket.socket | None = None

    def begin(self, line: socket.socket) -> None:
        """Give it the line of a job. Raises OSError."""
        with self._lock:
            if self._owner == os.getpid() and self._orders is not None:
                with contextlib.suppress(OSError):
                    socket.send_fds(self._orders, [b"J"], [line.fileno()])
                    return
            self._close()
            socket.send_fds(self._start(), [b"J"], [line.fileno()])

    def _start(self) -> socket.socket:
        ours, its = socket.socketpair()
        path = [str(Path(place or ".").resolve()) for place in sys.path]
        code = f"import sys; sys.path[:] = {path!r}; from core.confined_child import serve; serve({its.fileno()})"
        with its:
            try:
                self._process = subprocess.Popen(
                    [sys.executable, "-I", "-S", "-B", "-X", "utf8", "-c", code],
                    env={},
                    cwd="/",
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    pass_fds=(its.fileno(),),
                    start_new_session=True,
                )
            except OSError:
                ours.close()
                raise
        self._orders, self._owner = ours, os.getpid()
        return ours

    def close(self) -> None:
        with self._lock:
            self._close()

    def _close(self) -> None:
        if self._orders is not None:
            self._orders.close()  # it ends when it sees that
        if self._process is not None and self._owner == os.getpid():
            try:
                self._process.wait(timeout=2)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._orders = self._process = None


_child = _Child()
_turns = threading.BoundedSemaphore(MOST_AT_ONCE)
_pool: ThreadPoolExecutor | None = None
atexit.register(close)


def _waiters() -> ThreadPoolExecutor:
    """Return the threads that wait for jobs. They serve nobody else, so nobody else waits for them."""
    global _pool
    if _pool is None:
        _pool = ThreadPoolExecutor(MOST_AT_ONCE, thread_name_prefix="confined")
    return _pool


class _Job:
    def __init__(self, bounds: Bounds, function: Callable[..., object], args: object, kwargs: object) -> None:
        self._bounds = bounds
        self._returns = typing.get_type_hints(function)["return"]
        name, module = function.__qualname__, function.__module__
        if "<" in name or module == "__main__":
            raise ValueError(f"{name} is not at the top of a module")
        order = Order(
            module=module,
            function=name,
            cpu_seconds=bounds.cpu_seconds,
            seconds=bounds.seconds,
            all_seconds=bounds.all_seconds if inspect.isgeneratorfunction(function) else bounds.seconds,
            memory_bytes=bounds.memory_bytes,
            answer_bytes=bounds.answer_bytes,
            open_files=bounds.open_files,
        )
        self._content = _packed(msgspec.msgpack.encode(order), pickle.dumps((args, kwargs)))
        self._lock = threading.Lock()
        self._line: socket.socket | None = None
        self._stopped = False

    def stop(self) -> None:
        """End the job, wherever it is, and the wait for its result."""
        with self._lock:
            self._stopped = True
            if self._line is not None:
                with contextlib.suppress(OSError):
                    self._line.shutdown(socket.SHUT_RDWR)

    def value(self) -> typing.Any:
        """Return what the function returned."""
        for said in self._answers():
            return self._decoded(said, self._returns)
        raise ReaderBroke

    def values(self) -> Iterator[typing.Any]:
        """Yield what the generator yields, as it comes."""
        (kind,) = typing.get_args(self._returns)[:1]
        for said in self._answers():
            if said.kind == "end":
                return
            yield self._decoded(said, kind)

    def _answers(self) -> Iterator[Said]:
        if not _turns.acquire(timeout=_LONGEST_TURN_SECONDS):
            raise NotRead
        try:
            with self._connected() as line:
                with contextlib.suppress(ConnectionError):  # it ended before it had the whole order, and says why
                    line.sendall(self._content)
                while True:
                    yield self._next(line)
        except (EOFError, OSError) as error:  # no descriptors or memory, or the process that forks has ended
            if not self._stopped:
                log.warning("Something was not read: no process for it (%r)", error, extra={"action": "reader_missing"})
            raise NotRead from error
        finally:
            _turns.release()

    @contextlib.contextmanager
    def _connected(self) -> Iterator[socket.socket]:
        ours, its = socket.socketpair()
        with ours:
            with its:
                with self._lock:
                    if self._stopped:
                        raise NotRead
                    self._line = ours
                _child.begin(its)
            yield ours
            with self._lock:
                self._line = None

    def _next(self, line: socket.socket) -> Said:
        (length,) = LENGTH.unpack(receive_exactly(line, LENGTH.size))
        if length > self._bounds.answer_bytes + _ROOM_FOR_WORDS:
            raise TakesTooMuch
        try:
            said = msgspec.msgpack.decode(receive_exactly(line, length), type=Said)
        except msgspec.MsgspecError:
            raise ReaderBroke from None
        if said.kind in {"value", "end"}:
            return said
        raise _as_error(said)

    def _decoded(self, said: Said, kind: object) -> typing.Any:
        try:
            return msgspec.msgpack.decode(said.value, type=kind)
        except msgspec.MsgspecError:
            raise ReaderBroke from None


def _packed(*messages: bytes) -> bytes:
    return b"".join(LENGTH.pack(len(message)) + message for message in messages)


def _as_error(said: Said) -> PostfleetError:
    """Return the error of a job that ended without a result."""
    if said.kind == "refused":
        if said.error == "InvalidInput":
            return InvalidInput(*said.words)
        kind = getattr(errors, said.error, None)
        if isinstance(kind, type) and issubclass(kind, PostfleetError) and len(said.words) == 1:
            return kind(*said.words)
    if said.kind == "not begun":
        return NotRead()
    return {"slow": TakesTooLong, "memory": TakesTooMuch, "large": TakesTooMuch}.get(said.kind, ReaderBroke)()
