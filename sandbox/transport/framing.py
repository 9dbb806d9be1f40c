"""The framings of MTProto's TCP transports. https://core.telegram.org/mtproto/mtproto-transports"""

import os
import struct
from typing import Protocol
from zlib import crc32

MAX_PACKET = 2 * 1024 * 1024  # far above any valid packet: an upload part has at most 512 KiB


class BadFrame(ValueError):
    """The stream cannot be read any further and has to be closed."""


class Framing(Protocol):
    """Splits a stream into packets, and frames packets for it."""

    def next(self, buffer: bytearray) -> bytes | None:
        """Remove and return the first packet, None while it is incomplete. Raises BadFrame."""
        ...

    def wrap(self, packet: bytes) -> bytes:
        """Return the bytes to write for a packet."""
        ...


def _checked(length: int) -> int:
    if not 0 < length <= MAX_PACKET:
        raise BadFrame(f"a packet of {length} bytes")
    return length


class Abridged:
    """The length in words of four bytes: one byte, or four for long packets."""

    def next(self, buffer: bytearray) -> bytes | None:
        """Remove and return the first packet, None while it is incomplete. Raises BadFrame."""
        if not buffer:
            return None
        start, words = 1, buffer[0] & 0x7F  # the high bit asks for a quick ack, which is not supported
        if words == 0x7F:
            if len(buffer) < 4:
                return None
            start, words = 4, int.from_bytes(buffer[1:4], "little")
        end = start + _checked(words * 4)
        if len(buffer) < end:
            return None
        packet = bytes(buffer[start:end])
        del buffer[:end]
        return packet

    def wrap(self, packet: bytes) -> bytes:
        """Return the bytes to write for a packet."""
        words = len(packet) >> 2
        if words < 0x7F:
            return bytes([words]) + packet
        return b"\x7f" + words.to_bytes(3, "little") + packet


class Intermediate:
    """Four bytes of length. The padded kind adds up to 15 random bytes, which are not part of the packet."""

    def __init__(self, *, padded: bool = False) -> None:
        self._padded = padded

    def next(self, buffer: bytearray) -> bytes | None:
        """Remove and return the first packet, None while it is incomplete. Raises BadFrame."""
        if len(buffer) < 4:
            return None
        end = 4 + _checked(int.from_bytes(buffer[:4], "little") & 0x7FFFFFFF)
        if len(buffer) < end:
            return None
        packet = bytes(buffer[4:end])
        del buffer[:end]
        return packet[: len(packet) // 4 * 4] if self._padded else packet

    def wrap(self, packet: bytes) -> bytes:
        """Return the bytes to write for a packet."""
        if self._padded:
            packet += os.urandom(len(packet) % 4 if len(packet) > 4 else 0)
        return len(packet).to_bytes(4, "little") + packet


class Full:
    """Length, a counter and a checksum. Telethon's default."""

    def __init__(self) -> None:
        self._received = 0
        self._sent = 0

    def next(self, buffer: bytearray) -> bytes | None:
        """Remove and return the first packet, None while it is incomplete. Raises BadFrame."""
        if len(buffer) < 8:
            return None
        end, counter = struct.unpack_from("<ii", buffer)
        if end < 12:
            raise BadFrame(f"a packet of {end} bytes")
        _checked(end)
        if len(buffer) < end:
            return None
        frame = bytes(buffer[:end])
        del buffer[:end]
        if crc32(frame[:-4]) != int.from_bytes(frame[-4:], "little"):
            raise BadFrame("the checksum is wrong")
        if counter != self._received:
            raise BadFrame(f"packet {counter} instead of {self._received}")
        self._received += 1
        return frame[8:-4]

    def wrap(self, packet: bytes) -> bytes:
        """Return the bytes to write for a packet."""
        frame = struct.pack("<ii", len(packet) + 12, self._sent) + packet
        self._sent += 1
        return frame + crc32(frame).to_bytes(4, "little")
