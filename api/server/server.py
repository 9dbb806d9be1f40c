"""The HTTP server: uvicorn, with bounds on what a client may hold before and after the API sees its request.

The gateway bounds the time from a whole head to the end of the response (`api.server.gateway`). This module bounds the
rest: heads that never end, bodies nobody asked for, responses nobody reads, and too many connections. One look a
second checks all connections together, so that a request pays nothing for it.
"""

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, cast

import uvicorn
from starlette.types import Scope
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from api.requests.client_address import UNKNOWN, Network, counted_as, is_trusted
from api.server.gateway import Gateway
from core.settings import Settings

log = logging.getLogger(__name__)

RETRY_AFTER_SECONDS = 5
_TICKS_A_LOOK = 10
"""uvicorn ticks ten times a second."""
_MAX_UNFINISHED_HEAD_BYTES = 65_536
"""The gateway refuses a long head that is whole. A head longer than this is not read to its end."""


@dataclass(frozen=True)
class Bounds:
    """The limits of connections."""

    head_seconds: float
    """From the start of the connection, or the response before, to the last byte of a head."""
    unread_seconds: float
    """How long a client may leave a response unread, or all but unread."""
    connections: int
    connections_per_address: int
    trusted: tuple[Network, ...] = ()
    """Proxies, which carry connections of many clients."""

    @classmethod
    def of(cls, settings: Settings) -> "Bounds":
        """Return the limits that the operator set."""
        return cls(
            head_seconds=settings.header_timeout_seconds,
            unread_seconds=settings.request_timeout_seconds,
            connections=settings.max_connections,
            connections_per_address=settings.max_connections_per_address,
            trusted=tuple(settings.trusted_proxies),
        )


@dataclass
class _Crowd:
    """What all connections share."""

    by_address: Counter[str] = field(default_factory=Counter)
    refused: int = 0
    ended: int = 0


class Connection(HttpToolsProtocol):
    """One client's connection."""

    def __init__(self, gateway: Gateway, bounds: Bounds, crowd: "_Crowd", **parts: Any) -> None:
        super().__init__(**parts)
        self._gateway = gateway
        self._bounds = bounds
        self._crowd = crowd
        self._free_since = self.loop.time()
        self._unread_since: float | None = None
        self._head_open = False
        self._head_bytes = 0
        self._answered = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Accept the connection, or refuse it when there are too many."""
        super().connection_made(transport)
        self._crowd.by_address[counted_as(self._address)] += 1
        if len(self.connections) > self._bounds.connections or self._has_too_many():
            self._crowd.refused += 1
            self._refuse(503, "Too many connections are open; close some, or come back in a moment.")

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        by_address, network = self._crowd.by_address, counted_as(self._address)
        by_address[network] -= 1
        if not by_address[network]:
            del by_address[network]
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse the data, unless a head becomes far too long."""
        in_head = self._head_open
        super().data_received(data)
        if in_head and self._head_open:
            self._head_bytes += len(data)
            if self._head_bytes > _MAX_UNFINISHED_HEAD_BYTES:
                self._refuse(431, "The headers are too long.")

    def on_message_begin(self) -> None:
        """Note that a head has begun."""
        self._head_open = True
        self._head_bytes = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Answer a whole head at once, or make a task that does."""
        self._head_open = False
        self._answered = self._answer_at_once()
        if not self._answered:
            super().on_headers_complete()

    def _answer_at_once(self) -> bool:
        """Answer a poll from memory, without the cost of a task. Only in turn, and while the client reads."""
        parser = self.parser
        if self._is_at_work() or self.flow.write_paused:
            return False
        if parser.get_method() != b"GET" or parser.get_http_version() != "1.1" or not parser.should_keep_alive():
            return False
        self.scope["method"] = "GET"
        answer = self._gateway.at_once(cast(Scope, self.scope), self.url)
        if answer is None:
            return False
        status, headers, body = answer
        head = b"".join([b"%b: %b\r\n" % pair for pair in (*self.server_state.default_headers, *headers)])
        self.transport.write(b"%b%b\r\n%b" % (STATUS_LINE[status], head, body))
        self.server_state.total_requests += 1
        self._free_since = self.loop.time()
        return True

    def _is_at_work(self) -> bool:
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is not None and not cycle.response_complete

    def on_message_complete(self) -> None:
        """Pass on that a request is whole, unless it is answered already."""
        if not self._answered:
            super().on_message_complete()

    def on_response_complete(self) -> None:
        """Wait for the next head."""
        self._free_since = self.loop.time()
        super().on_response_complete()

    def resume_writing(self) -> None:
        """Note that the client reads, however slowly."""
        self._unread_since = None
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        """Refuse bytes that are no HTTP, with a problem document like every other refusal."""
        self._refuse(400, f"{msg.rstrip('.')}.")

    def look(self, now: float) -> None:
        """End the connection when it takes longer than it may. Called once a second."""
        if self.transport.get_write_buffer_size() == 0:
            self._unread_since = None
        elif self._unread_since is None:
            self._unread_since = now
        elif now - self._unread_since > self._bounds.unread_seconds:
            self._end()
            return
        if not self._is_at_work() and now - self._free_since > self._bounds.head_seconds:
            self._end()

    def _end(self) -> None:
        self._crowd.ended += 1
        self.transport.abort()

    def _refuse(self, status: int, detail: str) -> None:
        """Send a refusal before there is a request, and close the connection."""
        headers = {"Connection": "close"}
        if status == 503:
            headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
        answer = self._gateway.refusal(status, detail, headers)
        head = b"".join(b"%b: %b\r\n" % pair for pair in answer.raw_headers)
        self.transport.write(STATUS_LINE[status] + head + b"\r\n" + bytes(answer.body))
        self.transport.close()

    @property
    def _address(self) -> str:
        return self.client[0] if self.client else UNKNOWN

    def _has_too_many(self) -> bool:
        own = self._crowd.by_address[counted_as(self._address)]
        return own > self._bounds.connections_per_address and not is_trusted(self._address, self._bounds.trusted)


class Server(uvicorn.Server):
    """Serves the API. The daemon handles signals, because it finishes posts first."""

    def __init__(self, app: Gateway, settings: Settings, *, graceful_seconds: int, port: int = 0) -> None:
        """`port` is used when `serve` is not given a socket."""
        bounds, self._crowd = Bounds.of(settings), _Crowd()

        def connection(**parts: Any) -> Connection:
            return Connection(app, bounds, self._crowd, **parts)

        config = uvicorn.Config(
            app,
            port=port,
            http=connection,  # type: ignore[arg-type]  # what makes a protocol, as a protocol's class does
            ws="none",
            interface="asgi3",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            # POSTFLEET_TRUSTED_PROXIES says whose X-Forwarded-For counts. uvicorn would believe all of loopback.
            proxy_headers=False,
            timeout_graceful_shutdown=graceful_seconds,
        )
        super().__init__(config)

    @property
    def port(self) -> int:
        """The port that the started server listens on."""
        port: int = self.servers[0].sockets[0].getsockname()[1]
        return port

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the daemon."""
        yield

    async def on_tick(self, counter: int) -> bool:
        """Do what uvicorn does ten times a second, and check the connections once a second."""
        if counter % _TICKS_A_LOOK == 0:
            now = asyncio.get_running_loop().time()
            for connection in list(self.server_state.connections):
                if isinstance(connection, Connection):
                    connection.look(now)
            self._tell()
        return await super().on_tick(counter)

    def _tell(self) -> None:
        """Log one line a second, not one for each of thousands of connections."""
        crowd = self._crowd
        if crowd.refused or crowd.ended:
            text = "Connections: %d refused because there are too many, %d cut off because they were too slow"
            log.warning(text, crowd.refused, crowd.ended, extra={"action": "connections_bounded"})
            crowd.refused = crowd.ended = 0
