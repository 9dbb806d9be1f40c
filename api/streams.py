"""`GET /api/sync/stream`: the sync state as server-sent events.

The first event carries the whole document, each later one only what changed; a client merges it over what it has.
A quiet stream says so every 15 seconds, so that proxies keep it and dead clients are noticed.
"""

from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

from api.state_documents import StateDocuments
from api.tokens import Identity
from core.clock import Clock
from core.errors import TooMany

CHECK_SECONDS = 0.5
QUIET_SECONDS = 15.0
MAX_STREAMS = 2_000
MAX_STREAMS_PER_USER = 10


class Streams:
    """Every open stream; how many there may be, and their end."""

    def __init__(self, documents: StateDocuments, clock: Clock) -> None:
        self._documents = documents
        self._clock = clock
        self._open: Counter[str] = Counter()
        self._closing = False

    @property
    def open(self) -> int:
        """How many streams are open."""
        return self._open.total()

    def close(self) -> None:
        """End every stream at its next look, and take no new one: the daemon is stopping."""
        self._closing = True

    @contextmanager
    def place(self, user_id: str) -> Iterator[None]:
        """A place for one stream, held while it is open.

        Raises:
            TooMany: the user or the service has as many as it may.
        """
        if self._closing or self._open[user_id] >= MAX_STREAMS_PER_USER or self.open >= MAX_STREAMS:
            raise TooMany("Too many streams are open; close one", QUIET_SECONDS)
        self._open[user_id] += 1
        try:
            yield
        finally:
            self._open[user_id] -= 1
            if not self._open[user_id]:
                del self._open[user_id]

    async def events(self, identity: Identity) -> AsyncIterator[bytes]:
        """The stream's bytes, until the token that opened it ends or the daemon stops."""
        document = await self._documents.of(identity.user_id)
        yield _event("state", document.revision, document.body)
        quiet_since = self._clock.monotonic()
        while not self._closing and self._clock.now().timestamp() < identity.expires_at:
            await self._clock.sleep(CHECK_SECONDS)
            newest = await self._documents.of(identity.user_id)
            if newest.etag != document.etag:
                yield _event("change", newest.revision, newest.since(document.revision))
                document, quiet_since = newest, self._clock.monotonic()
            elif self._clock.monotonic() - quiet_since >= QUIET_SECONDS:
                yield b": quiet\n\n"
                quiet_since = self._clock.monotonic()
        yield b"event: end\ndata: {}\n\n"


def _event(kind: str, revision: int, data: bytes) -> bytes:
    # The document is JSON without line breaks: one data line is enough.
    return b"id: %d\nevent: %b\ndata: %b\n\n" % (revision, kind.encode(), data)
