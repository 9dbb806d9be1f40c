"""The other side of core/confined.py: a small process without secrets that forks once for every job.

It starts with an empty environment and one descriptor. It imports the modules that jobs name, so that a job costs only
a fork, and never touches what a job reads. It kills a job that exceeds its time or that nobody waits for any more, and
ends with all jobs when the process that started it ends.
"""

import contextlib
import ctypes
import importlib
import os
import pickle
import resource
import select
import signal
import socket
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass
from types import GeneratorType
from typing import Any, NoReturn

import msgspec

from core.errors import InvalidInput, PostfleetError

LENGTH = struct.Struct(">I")
"""The length that precedes every message on a job's line."""
_DIE_WITH_PARENT, _NO_NEW_PRIVILEGES = 1, 38
"""Numbers of prctl(2)."""
_HANDED_OVER_SECONDS = 10.0
_NICE = 5


class Order(msgspec.Struct, frozen=True, array_like=True):
    """A job and its bounds (see core.confined.Bounds)."""

    module: str
    function: str
    cpu_seconds: int
    seconds: float
    all_seconds: float
    memory_bytes: int
    answer_bytes: int
    open_files: int


class Said(msgspec.Struct, frozen=True, array_like=True):
    """What a job says: `value` (a generator: one of them), `end`, `refused`, `memory`, `large`, `broken`, `slow`."""

    kind: str
    value: msgspec.Raw = msgspec.Raw(b"\xc0")
    error: str = ""
    words: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Job:
    pid: int
    line: socket.socket
    until: float


class _AnswerTooLarge(Exception):
    pass


def serve(descriptor: int) -> None:
    """Take jobs from the socket until the other side closes it."""
    with socket.socket(fileno=descriptor) as orders:
        _Server(orders).serve()


class _Server:
    def __init__(self, orders: socket.socket) -> None:
        self._orders = orders
        self._jobs: dict[int, _Job] = {}
        self._poll = select.poll()
        self._woken, wake = os.pipe()
        for end in (self._woken, wake):
            os.set_blocking(end, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):  # its owner gets these too, and decides
            signal.signal(number, signal.SIG_IGN)

    def serve(self) -> None:
        self._poll.register(self._orders, select.POLLIN)
        self._poll.register(self._woken, select.POLLIN)
        try:
            while True:
                ready = {descriptor for descriptor, _ in self._poll.poll(self._patience())}
                with contextlib.suppress(BlockingIOError):
                    os.read(self._woken, 4096)
                for number in list(self._jobs):
                    self._look_after(number, left=number in ready)
                if self._orders.fileno() in ready and not self._take():
                    return
        finally:
            for job in self._jobs.values():
                _kill(job.pid)

    def _patience(self) -> float | None:
        """Return milliseconds until the next job exceeds its time."""
        end = min((job.until for job in self._jobs.values()), default=None)
        return None if end is None else max(0.0, end - time.monotonic()) * 1000

    def _look_after(self, number: int, *, left: bool) -> None:
        """Kill the job if it exceeds its time or nobody waits for it. If it has ended, say how."""
        job = self._jobs[number]
        late = time.monotonic() >= job.until
        if left or late:
            _kill(job.pid)
        pid, status = os.waitpid(job.pid, 0 if left or late else os.WNOHANG)
        if not pid:
            return
        del self._jobs[number]
        self._poll.unregister(job.line)
        with job.line:
            ended_by = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
            slow = late or ended_by in {signal.SIGXCPU, signal.SIGALRM}
            # Nobody listens to this after the job's own last message.
            _tell(job.line, Said("slow" if slow else "broken", error=f"signal {ended_by}"))

    def _take(self) -> bool:
        """Begin the next job. Return False when the owner has left."""
        byte, descriptors, *_ = socket.recv_fds(self._orders, 1, 1)
        for descriptor in descriptors:
            line = socket.socket(fileno=descriptor)
            try:
                line.settimeout(_HANDED_OVER_SECONDS)
                order = msgspec.msgpack.decode(_receive(line), type=Order)
                line.settimeout(None)
                for name in getattr(importlib.import_module(order.module), "PRELOADED", ()):
                    importlib.import_module(name)
                self._begin(order, line)
            except (OSError, EOFError, ImportError) as error:
                _tell(line, Said("not begun", error=str(error)))
                line.close()
        return bool(byte)

    def _begin(self, order: Order, line: socket.socket) -> None:
        here = os.getpid()
        pid = os.fork()
        if not pid:
            _live(order, line, here)
        job = _Job(pid, line, time.monotonic() + order.all_seconds)
        self._jobs[line.fileno()] = job
        self._poll.register(line, 0)  # reports only that the other side has left


def _live(order: Order, line: socket.socket, parent: int) -> NoReturn:
    """Return the whole life of a job's process."""
    try:
        try:
            _confine(order, line, parent)
        except (OSError, ValueError) as error:
            _send(line, Said("not begun", error=str(error)))
            os._exit(0)
        for said in _answers(order, line):
            signal.setitimer(signal.ITIMER_REAL, 0)  # the other side may listen late
            _send(line, said)
            _arm(order)
    finally:
        os._exit(0)


def _answers(order: Order, line: socket.socket) -> Iterator[Said]:
    encoder = msgspec.msgpack.Encoder()

    def value(answer: object) -> Said:
        packed = encoder.encode(answer)
        if len(packed) > order.answer_bytes:
            raise _AnswerTooLarge
        return Said("value", msgspec.Raw(packed))

    try:
        args, kwargs = pickle.loads(_receive(line))  # noqa: S301  from the process that started this one
        result = _function(order)(*args, **kwargs)
        if isinstance(result, GeneratorType):
            for answer in result:
                yield value(answer)
            yield Said("end")
        else:
            yield value(result)
    except InvalidInput as error:
        yield Said("refused", error="InvalidInput", words=(error.field, error.fix))
    except PostfleetError as error:
        yield Said("refused", error=type(error).__name__, words=(str(error),))
    except MemoryError:
        yield Said("memory")
    except _AnswerTooLarge:
        yield Said("large")
    except BaseException as error:  # noqa: BLE001  whatever it is, only this job ends
        yield Said("broken", error=type(error).__name__)


def _function(order: Order) -> Any:
    found: Any = importlib.import_module(order.module)
    for name in order.function.split("."):
        found = getattr(found, name)
    return found


def _confine(order: Order, line: socket.socket, parent: int) -> None:
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    os.setsid()
    with contextlib.suppress(OSError, AttributeError):  # where there is such a call
        prctl = ctypes.CDLL(None).prctl
        prctl(_DIE_WITH_PARENT, int(signal.SIGKILL), 0, 0, 0)
        prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
        with open("/proc/self/oom_score_adj", "w") as file:  # noqa: PTH123  before anybody else
            file.write("1000")
    if os.getppid() != parent:
        os._exit(0)
    with contextlib.suppress(OSError):
        os.nice(_NICE)
    # It keeps its line alone.
    highest = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    os.closerange(3, line.fileno())
    os.closerange(line.fileno() + 1, highest)
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_FSIZE, 0)
    _limit(resource.RLIMIT_NOFILE, line.fileno() + 1 + order.open_files)
    with contextlib.suppress(ValueError, OSError):  # macOS takes no bound on memory
        _limit(resource.RLIMIT_AS, _size() + order.memory_bytes)
    _arm(order)


def _arm(order: Order) -> None:
    """Set the processor time and the time it may use until the next result."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    # Whole seconds, and one more for the part of the current one.
    bound = int(used.ru_utime + used.ru_stime) + order.cpu_seconds + 1
    most = resource.getrlimit(resource.RLIMIT_CPU)[1]
    if most == resource.RLIM_INFINITY or most > bound:
        resource.setrlimit(resource.RLIMIT_CPU, (bound, most))
    signal.setitimer(signal.ITIMER_REAL, order.seconds)


def _limit(what: int, most: int) -> None:
    resource.setrlimit(what, (most, most))


def _size() -> int:
    """Return what the process maps already, in bytes; the bound applies beyond that."""
    try:
        with open("/proc/self/statm", "rb") as file:  # noqa: PTH123  pathlib need not be there
            return int(file.read().split()[0]) * resource.getpagesize()
    except FileNotFoundError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
    with contextlib.suppress(ProcessLookupError):  # one that has no group of its own yet
        os.kill(pid, signal.SIGKILL)


def _receive(line: socket.socket) -> bytes:
    (length,) = LENGTH.unpack(receive_exactly(line, LENGTH.size))
    return receive_exactly(line, length)


def receive_exactly(line: socket.socket, length: int) -> bytes:
    """Return so many bytes. Raises EOFError when the other side has left."""
    content = bytearray(length)
    view, done = memoryview(content), 0
    while done < length:
        count = line.recv_into(view[done:])
        if not count:
            raise EOFError
        done += count
    return bytes(content)


def _send(line: socket.socket, said: Said) -> None:
    packed = msgspec.msgpack.encode(said)
    line.sendall(LENGTH.pack(len(packed)))
    line.sendall(packed)


def _tell(line: socket.socket, said: Said) -> None:
    """Send without waiting for somebody who may not listen."""
    packed = msgspec.msgpack.encode(said)
    with contextlib.suppress(OSError):
        line.send(LENGTH.pack(len(packed)) + packed, socket.MSG_DONTWAIT)
