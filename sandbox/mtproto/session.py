"""A client's MTProto session: message ids, messages without acknowledgement, and the send queue."""

import gzip
import struct
import time
from collections.abc import Callable
from typing import Any

from sandbox.mtproto.envelope import Key
from sandbox.mtproto.reader import GZIP_PACKED
from sandbox.transport.link import Link

CONTAINER = 0x73F1F8DC
RPC_RESULT = 0xF35C6D01
MAX_UNACKED = 200
MAX_UNACKED_BYTES = 2 * 1024 * 1024
MAX_SEEN = 100
MAX_CONTAINER = 100
GZIP_FROM = 2048

_last_id = 0


def next_message_id(answer: bool) -> int:
    """Return a server's message id: the time, strictly increasing, 1 modulo 4 for answers and 3 for updates."""
    global _last_id
    now = time.time_ns()
    seconds, rest = divmod(now, 1_000_000_000)
    number = seconds << 32 | (rest << 2) & 0xFFFFFFFC
    if number <= _last_id:
        number = (_last_id & ~3) + 4
    _last_id = number
    return number | (1 if answer else 3)


def encoded(result: Any) -> bytes:
    """Serialise the result of a call: an object, a bool, or a list of objects or integers."""
    if result is True:
        return b"\xb5\x75\x72\x99"
    if result is False:
        return b"\x37\x97\x79\xbc"
    if isinstance(result, list):
        head = struct.pack("<Ii", 0x1CB5C415, len(result))
        return head + b"".join(struct.pack("<i", i) if isinstance(i, int) else bytes(i) for i in result)
    return bytes(result)


def packed(data: bytes) -> bytes:
    """Return a result, gzipped if it is long and that makes it shorter."""
    if len(data) < GZIP_FROM:
        return data
    small = gzip.compress(data, compresslevel=1)
    if len(small) + 8 >= len(data):
        return data
    return struct.pack("<I", GZIP_PACKED) + tl_bytes(small)


def tl_bytes(data: bytes) -> bytes:
    """Serialise a TL `bytes` value."""
    head = bytes([len(data)]) if len(data) < 254 else b"\xfe" + len(data).to_bytes(3, "little")
    return head + data + bytes(-(len(head) + len(data)) % 4)


class Session:
    """One session of an auth key. `login` is the owner of the key; a reconnect changes `link`."""

    __slots__ = (
        "_content",
        "_forgotten",
        "_out",
        "_salt",
        "_schedule",
        "_scheduled",
        "_unacked_bytes",
        "id",
        "key",
        "link",
        "login",
        "seen",
        "unacked",
        "updates",
    )

    def __init__(
        self,
        key: Key,
        session_id: int,
        login: Any,
        salt: Callable[[], int],
        schedule: Callable[[Callable[[], None]], object],
    ) -> None:
        self.key = key
        self.id = session_id
        self.login = login
        self.link: Link | None = None
        self.updates: bool | None = None  # whether updates are pushed; None until the first call
        self.seen: dict[int, int] = {}  # a client's message id -> the id of its answer, 0 if there is none yet
        self.unacked: dict[int, tuple[int, bytes]] = {}
        self._content = 0
        self._forgotten = 0  # the highest id that was dropped from `seen`
        self._unacked_bytes = 0
        self._out: list[tuple[int, int, bytes]] = []
        self._salt = salt
        self._schedule = schedule
        self._scheduled = False

    def first_seen(self, message_id: int) -> bool:
        """Record a client's message. Return False if it is a repeat."""
        if message_id in self.seen:
            return False
        self.seen[message_id] = 0
        if len(self.seen) > MAX_SEEN:
            oldest = next(iter(self.seen))
            del self.seen[oldest]
            self._forgotten = max(self._forgotten, oldest)
        return True

    def too_old(self, message_id: int) -> bool:
        """Return whether a message may be a repeat of one that is no longer remembered."""
        return message_id <= self._forgotten and message_id not in self.seen

    def put(self, body: bytes, *, content: bool, answer: bool = True) -> int:
        """Queue a message for the next flush and return its id."""
        message_id = next_message_id(answer)
        sequence = self._content * 2 + content
        if content:
            self._content += 1
            self.unacked[message_id] = (sequence, body)
            self._unacked_bytes += len(body)
            while len(self.unacked) > MAX_UNACKED or self._unacked_bytes > MAX_UNACKED_BYTES:
                self.acked(next(iter(self.unacked)))
        if self.link is not None:
            self._out.append((message_id, sequence, body))
            if not self._scheduled:
                self._scheduled = True
                self._schedule(self.flush)
        return message_id

    def acked(self, message_id: int) -> tuple[int, bytes] | None:
        """Forget a message, and return its sequence number and body if it was kept."""
        kept = self.unacked.pop(message_id, None)
        if kept is not None:
            self._unacked_bytes -= len(kept[1])
        return kept

    def answer(self, request_id: int, result: bytes) -> None:
        """Queue the result of a call."""
        answer_id = self.put(struct.pack("<Iq", RPC_RESULT, request_id) + packed(result), content=True)
        if request_id in self.seen:
            self.seen[request_id] = answer_id

    def repeat(self, message_ids: Any) -> None:
        """Queue messages again under their old ids, if they are still kept."""
        for message_id in message_ids:
            kept = self.unacked.get(message_id)
            if kept is not None and self.link is not None:
                self._out.append((message_id, *kept))
        self._schedule(self.flush)

    def attach(self, link: Link) -> None:
        """Move to this connection and repeat what was never acknowledged."""
        self.link = link
        self._out.clear()
        self.repeat(list(self.unacked))

    def flush(self) -> None:
        """Send the queue; several messages go into a container."""
        self._scheduled = False
        link, out = self.link, self._out
        if link is None or not out:
            return
        self._out = []
        for start in range(0, len(out), MAX_CONTAINER):
            part = out[start : start + MAX_CONTAINER]
            if len(part) == 1:
                message_id, sequence, body = part[0]
            else:
                body = struct.pack("<Ii", CONTAINER, len(part)) + b"".join(
                    struct.pack("<qii", number, order, len(inner)) + inner for number, order, inner in part
                )
                message_id, sequence = next_message_id(answer=True), self._content * 2
            link.send(self.key.seal(self._salt(), self.id, message_id, sequence, body))
