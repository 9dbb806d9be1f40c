"""One TCP connection of a client."""

import asyncio
import logging
from typing import Any, Protocol, cast

from sandbox.transport.detection import detect
from sandbox.transport.framing import BadFrame, Framing

log = logging.getLogger(__name__)
MAX_WAITING_OUT = 16 * 1024 * 1024  # a client that does not read its answers is disconnected


class Hub(Protocol):
    """What a connection reports to."""

    def made(self, link: "Link") -> None:
        """Register a new connection."""
        ...

    def packet(self, link: "Link", packet: bytes) -> None:
        """Handle a packet of a client."""
        ...

    def lost(self, link: "Link") -> None:
        """Forget a closed connection, whichever side closed it."""
        ...


class Link(asyncio.Protocol):
    """A client's connection. The hub keeps its key exchange and sessions in `exchange` and `sessions`."""

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
        """Report the connection to the hub."""
        self._transport = cast(asyncio.Transport, transport)
        self.address = str(self._transport.get_extra_info("peername")[0])
        self.alive = True
        self._hub.made(self)

    def connection_lost(self, _exc: Exception | None) -> None:
        """Report the end of the connection to the hub."""
        self.alive = False
        self._transport = None
        self._buffer = bytearray()
        self._hub.lost(self)

    def data_received(self, data: bytes) -> None:
        """Pass each complete packet to the hub. Close a stream that cannot be read."""
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
        """Write one packet. Does nothing once the connection is closed."""
        if self._transport is None or not self.alive or self._framing is None:
            return
        self._transport.write(self._framing.wrap(packet))
        if self._transport.get_write_buffer_size() > MAX_WAITING_OUT:
            log.warning("closing %s: it does not read its answers", self.address)
            self._transport.abort()

    def close(self) -> None:
        """Close once everything written has been sent."""
        self.alive = False
        if self._transport is not None:
            self._transport.close()

    def hang_up(self) -> None:
        """End the stream in order, so that the client reads its end rather than a reset."""
        self.alive = False
        if self._transport is not None:
            self._transport.write_eof()

    def abort(self) -> None:
        """Close at once. Data that is not sent yet is lost."""
        self.alive = False
        if self._transport is not None:
            self._transport.abort()
