"""Lets many writers share one commit: work that arrives while a batch is written waits for the next one."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

from core.errors import StateError

W = TypeVar("W")


@dataclass(frozen=True, slots=True)
class WorkResult:
    """The result of one piece of work: a value, or the error that undid it."""

    value: object = None
    error: Exception | None = None


class GroupCommit(Generic[W]):
    """Gives waiting work to `write`, one batch at a time, in a thread of its own.

    `write` returns a result for each piece, in order, once all are durable. An error it raises reaches every caller of
    the batch.
    """

    def __init__(self, name: str, write: Callable[[Sequence[W]], Sequence[WorkResult]], *, most: int = 2000) -> None:
        self._write = write
        self._most = most
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._waiting: list[tuple[W, asyncio.Future[object]]] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._starting = False
        self._writing: asyncio.Future[Sequence[WorkResult]] | None = None
        self._closed = False

    async def submit(self, work: W) -> object:
        """Have the work done and made durable. Return its value. Cancelling does not undo work that is being written.

        Raises:
            StateError: after `close`.
            Exception: what the work, or the write, raised.
        """
        if self._closed:
            raise StateError("the store is closed")
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            # The earlier loop is gone, and so are those who waited there.
            self._loop, self._starting, self._writing = loop, False, None
            self._waiting.clear()
        answer: asyncio.Future[object] = loop.create_future()
        self._waiting.append((work, answer))
        self._start_soon(loop)
        return await answer

    async def close(self) -> None:
        """Write the work that waits, then end the thread."""
        self._closed = True
        while self._waiting or self._writing is not None:
            if self._writing is None:
                self._start()
            if self._writing is not None:
                await asyncio.wait([self._writing])
                await asyncio.sleep(0)
        self._thread.shutdown()

    def _start_soon(self, loop: asyncio.AbstractEventLoop) -> None:
        # Not at once: callers that got their results together come back in one turn of the loop and share a batch.
        if not self._starting and self._writing is None:
            self._starting = True
            loop.call_soon(self._start)

    def _start(self) -> None:
        self._starting = False
        if self._writing is not None or self._loop is None:
            return
        batch = [waiter for waiter in self._waiting[: self._most] if not waiter[1].done()]
        del self._waiting[: self._most]
        if batch:
            self._writing = self._loop.run_in_executor(self._thread, self._write, [work for work, _ in batch])
            self._writing.add_done_callback(lambda written: self._answer(batch, written))

    def _answer(
        self, batch: Sequence[tuple[W, asyncio.Future[object]]], written: asyncio.Future[Sequence[WorkResult]]
    ) -> None:
        self._writing = None
        error = written.exception()
        answers = [WorkResult(error=_as_exception(error))] * len(batch) if error is not None else written.result()
        for (_, waiter), answer in zip(batch, answers, strict=True):
            if waiter.done():
                continue  # its caller was cancelled meanwhile
            if answer.error is not None:
                waiter.set_exception(_as_exception(answer.error))
            else:
                waiter.set_result(answer.value)
        if self._waiting and self._loop is not None:
            self._start_soon(self._loop)


def _as_exception(error: BaseException) -> Exception:
    """Return the error in a form that a future can carry."""
    if isinstance(error, StopIteration):
        carried = RuntimeError("the change raised StopIteration: give next() a default")
        carried.__cause__ = error
        return carried
    return error if isinstance(error, Exception) else StateError(f"the writer stopped: {error!r}")
