"""One TCP connection: bytes in, packets up; packets down, bytes out."""

import asyncio
import logging
from typing import Any, Protocol, cast

from sandbox.transport.detection import detect
from sandbox.transport.framing import BadFrame, Framing

log = logging.getLogger(__name__)
MAX_WAITING_OUT = 16 * 1024 * 1024  # a client that does not read its answers is let go


class Hub(Protocol):
    """What stands above the connections."""

    def made(self, link: "Link") -> None:
        """A client connected."""
        ...

    def packet(self, link: "Link", packet: bytes) -> None:
        """A client sent one packet."""
        ...

    def lost(self, link: "Link") -> None:
        """A connection is gone, whoever closed it."""
        ...


class Link(asyncio.Protocol):
    """A client's connection. `exchange` and `sessions` belong to the layer above: what is spoken over it."""

    __slots__ = ("_buffer", "_framing", "_hub", "_transport", "address", "alive", "exchange", "sessions")

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._buffer = bytearray()
        self._framing: Framing | None = None
        self._transport: asyncio.Transport | None = None
        self.address = ""
        self.alive = False
        self.exchange: Any = None
        self.sessions: set[Any] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast(asyncio.Transport, transport)
        self.address = str(self._transport.get_extra_info("peername")[0])
        self.alive = True
        self._hub.made(self)

    def connection_lost(self, _exc: Exception | None) -> None:
        """End, whoever wanted it."""
        self.alive = False
        self._transport = None
        self._buffer = bytearray()
        self._hub.lost(self)

    def data_received(self, data: bytes) -> None:
        """Cut packets out of what arrived and hand each up; a stream that cannot be read is closed."""
        self._buffer += data
        try:
            if self._framing is None:
                self._framing = detect(self._buffer)
            while self.alive and self._framing is not None:
                packet = self._framing.next(self._buffer)
                if packet is None:
                    break
                self._hub.packet(self, packet)
        except BadFrame as error:
            log.info("closing %s: %s", self.address, error)
            self.close()

    def send(self, packet: bytes) -> None:
        """Write one packet; silently nothing once the connection is closed."""
        if self._transport is None or not self.alive or self._framing is None:
            return
        self._transport.write(self._framing.wrap(packet))
        if self._transport.get_write_buffer_size() > MAX_WAITING_OUT:
            log.warning("closing %s: it does not read what it is sent", self.address)
            self._transport.abort()

    def close(self) -> None:
        """Close after what was written has gone out."""
        self.alive = False
        if self._transport is not None:
            self._transport.close()

    def hang_up(self) -> None:
        """Say that nothing more comes, as a server that leaves in order does: the client reads the stream's end."""
        self.alive = False
        if self._transport is not None:
            self._transport.write_eof()

    def abort(self) -> None:
        """Close at once, losing what has not gone out."""
        self.alive = False
        if self._transport is not None:
            self._transport.abort()
