"""`GET /api/sync/stream`: the sync state as server-sent events.

The first event carries the whole document, each later one the fields that changed; a client merges them over what it
has. A quiet stream sends a comment every 15 seconds, so that proxies keep it open and dead clients are noticed.

One task serves all streams. It looks once for each user, however many streams they have, and makes the bytes of a
change once. It wakes a few streams at a time and lets other tasks run in between. A stream has no queue: it remembers
which document its reader has, and takes a slow reader from there to the newest one.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from api.security.tokens import Identity
from api.state.cache import Document, StateCache, dated
from core.clock import Clock
from core.errors import PostfleetError, TooMany

log = logging.getLogger(__name__)

CHECK_SECONDS = 0.5
QUIET_SECONDS = 15.0
MAX_STREAMS = 2_000
MAX_STREAMS_PER_USER = 10
_WAKES_A_TURN = 8
_LOOKS_A_TURN = 50


class Reader:
    """One open stream."""

    __slots__ = ("_ended", "_woken", "feed", "identity", "wrote_at")

    def __init__(self, identity: Identity, feed: "_Feed", now: float) -> None:
        self.identity = identity
        self.feed = feed
        self.wrote_at = now
        self._ended = False
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Let the stream write what is new."""
        self._woken.set()

    def end(self) -> None:
        """Let the stream write its last event."""
        self._ended = True
        self._woken.set()

    async def woken(self) -> bool:
        """Wait, and return True after `wake`, False after `end`."""
        await self._woken.wait()
        self._woken.clear()
        return not self._ended


@dataclass(slots=True)
class _Feed:
    """What the streams of one user share."""

    user_id: str
    readers: set[Reader] = field(default_factory=set)
    newest: Document | None = None
    _changes: dict[int, bytes] = field(default_factory=dict)

    def move_to(self, document: Document) -> None:
        self.newest = document
        self._changes.clear()

    def change_since(self, revision: int, document: Document, time: bytes) -> bytes:
        """Return the event that takes a reader from that revision to the newest document. It is made once."""
        change = self._changes.get(revision)
        if change is None:
            change = self._changes[revision] = _event(
                "change", document.revision, dated(document.since(revision), time)
            )
        return change


class Streams:
    """Every open stream: how many there may be, and when they end.

    `is_good` says whether the token that opened a stream still counts: not over, not revoked, its key still there.
    """

    def __init__(self, cache: StateCache, clock: Clock, is_good: Callable[[Identity], bool]) -> None:
        self._cache = cache
        self._clock = clock
        self._is_good = is_good
        self._feeds: dict[str, _Feed] = {}
        self._open = 0
        self._closing = False
        self._looking: asyncio.Task[None] | None = None

    @property
    def open(self) -> int:
        """How many streams are open."""
        return self._open

    def close(self) -> None:
        """End every stream, and open no new one: the daemon is stopping."""
        self._closing = True
        for feed in self._feeds.values():
            _end(feed)

    @contextmanager
    def place(self, identity: Identity) -> Iterator[Reader]:
        """Hold a place for one stream while it is open.

        Raises:
            TooMany: the user, or the service, has as many streams as it may.
        """
        feed = self._feeds.get(identity.user_id) or _Feed(identity.user_id)
        if self._closing or len(feed.readers) >= MAX_STREAMS_PER_USER or self._open >= MAX_STREAMS:
            raise TooMany("Too many streams are open; close one", QUIET_SECONDS)
        reader = Reader(identity, feed, self._clock.monotonic())
        self._feeds[identity.user_id] = feed
        feed.readers.add(reader)
        self._open += 1
        try:
            yield reader
        finally:
            feed.readers.discard(reader)
            self._open -= 1
            if not feed.readers:
                del self._feeds[identity.user_id]
            if not self._open and self._looking is not None:
                self._looking.cancel()
                self._looking = None

    async def events(self, reader: Reader) -> AsyncIterator[bytes]:
        """Yield the stream's bytes until its token ends, its client leaves or the daemon stops.

        Raises:
            StateError, Forbidden: the first document cannot be made.
        """
        document = await self._cache.of(reader.identity.user_id)
        if self._looking is None:
            self._looking = asyncio.create_task(self._look_for_ever(), name="streams")
        yield _event("state", document.revision, dated(document.body, self._cache.time))
        while await reader.woken():
            newest = reader.feed.newest
            if newest is not None and newest.etag != document.etag and newest.revision >= document.revision:
                yield reader.feed.change_since(document.revision, newest, self._cache.time)
                document = newest
            elif self._is_quiet(reader):
                yield b": quiet\n\n"
            else:
                continue
            reader.wrote_at = self._clock.monotonic()
        yield b"event: end\ndata: {}\n\n"

    def _is_quiet(self, reader: Reader) -> bool:
        return self._clock.monotonic() - reader.wrote_at >= QUIET_SECONDS

    async def _look_for_ever(self) -> None:
        while True:
            await self._clock.sleep(CHECK_SECONDS)
            for number, feed in enumerate(list(self._feeds.values())):
                if number % _LOOKS_A_TURN == 0:
                    await asyncio.sleep(0)
                try:
                    await self._look(feed)
                except PostfleetError as error:
                    log.warning("The streams of %s end: %s", feed.user_id, error, extra={"action": "streams_ended"})
                    _end(feed)
                except Exception:
                    # The streams of one user end; those of others go on.
                    log.exception("The streams of %s failed", feed.user_id, extra={"action": "streams_failed"})
                    _end(feed)

    async def _look(self, feed: _Feed) -> None:
        newest = await self._cache.of(feed.user_id)
        moved = feed.newest is None or feed.newest.etag != newest.etag
        if moved:
            feed.move_to(newest)
            await asyncio.sleep(0)
        woken = 0
        for reader in list(feed.readers):
            if not self._is_good(reader.identity):
                reader.end()
            elif moved or self._is_quiet(reader):
                reader.wake()
            else:
                continue
            woken += 1
            if woken % _WAKES_A_TURN == 0:
                await asyncio.sleep(0)


def _end(feed: _Feed) -> None:
    for reader in feed.readers:
        reader.end()


def _event(kind: str, revision: int, data: bytes) -> bytes:
    # The document is JSON without line breaks, so one data line is enough.
    return b"id: %d\nevent: %b\ndata: %b\n\n" % (revision, kind.encode(), data)
