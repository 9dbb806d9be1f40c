"""users.json as bytes: a line for each user and session. People can read it, and a commit encodes few lines anew.

    {"version":1,"revision":12,"users":{
    "alice":{"assigned_sessions":["a1"],"groups":["@news"]},
    "bob":{}
    },"sessions":{
    "a1":{"api_id":12345}
    }}

A third part, `holds`, is there while a deleted account has to rest: by Telegram's id of the account.

The encoded lines are kept beside the decoded values, joined in buckets. A commit encodes the lines it changed, joins
their buckets, and gives the list of buckets to the disk.
"""

import contextlib
import gc
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

from core.models import Hold, Model, Session, User
from data.disk.migrations import migrated
from data.disk.strict_json import NOT_UNDERSTOOD, damaged, parse_object
from data.users.migrations import USERS_STEPS, USERS_VERSION

M = TypeVar("M", bound=Model)

_BYTES_A_BUCKET = 16_384  # small enough to join often, large enough to give the disk few pieces
_HEAD = re.compile(rb'\{"version":(\d{1,9}),"revision":(\d{1,18}),"users":\{')
_LARGEST_REVISION = 10**18 - 1
_BETWEEN = b'},"sessions":{'
_HOLDS = b'},"holds":{'
_END = b"}}"
_encoder = msgspec.json.Encoder()


class _NotOurLayout(ValueError):
    """The file does not look the way we write it; it may still be good."""


class Table(Generic[M]):
    """The values of one kind and their encoded lines."""

    def __init__(self, kind: type[M]) -> None:
        self.values: dict[str, M] = {}
        self._decoder = msgspec.json.Decoder(kind)
        self._buckets: list[dict[str, bytes]] = []
        self._joined: list[bytes | None] = []
        self._last_size = 0
        self._where: dict[str, int] = {}

    def set_line(self, name: str, line: bytes | None) -> None:
        """Keep the line (see `line_of`), or drop it. The caller sets `values`."""
        if line is None:
            self._drop(name)
        else:
            self._place(name, line)

    def line(self, name: str) -> bytes | None:
        """Return the encoded line, if there is one."""
        bucket = self._where.get(name)
        return None if bucket is None else self._buckets[bucket][name]

    def _drop(self, name: str) -> None:
        bucket = self._where.pop(name, None)
        if bucket is not None:
            del self._buckets[bucket][name]
            self._joined[bucket] = None

    def chunks(self) -> Iterator[bytes]:
        """Yield the lines in order, in pieces, each line ended as JSON requires."""
        last: bytes | None = None
        for number, bucket in enumerate(self._buckets):
            joined = self._joined[number]
            if joined is None:
                joined = self._joined[number] = b"".join(line + b",\n" for line in bucket.values())
            if joined:
                if last is not None:
                    yield last
                last = joined
        if last is not None:
            yield last[:-2] + b"\n"

    def load_lines(self, lines: Sequence[bytes], known: "Table[M] | None") -> None:
        """Take the lines of a file of our own layout. Decode only those that `known` does not have.

        Raises:
            _NotOurLayout: a line is not exactly as we would have written it.
        """
        old_lines = known.lines() if known is not None else {}
        final = len(lines) - 1
        for number, ended in enumerate(lines):
            if ended.endswith(b",") is (number == final):
                raise _NotOurLayout
            line = ended if number == final else ended[:-1]
            name, body = _split(line)
            if known is not None and old_lines.get(name) == line:
                self.values[name] = known.values[name]
            else:
                self.values[name] = self._decode(body)
                if line_of(name, self.values[name]) != line:
                    raise _NotOurLayout
            self._place(name, line)
        if len(self.values) != len(lines):
            raise _NotOurLayout

    def lines(self) -> dict[str, bytes]:
        """Return every encoded line by name."""
        return {name: line for bucket in self._buckets for name, line in bucket.items()}

    def _decode(self, body: bytes) -> M:
        try:
            return self._decoder.decode(body)
        except NOT_UNDERSTOOD as error:
            raise _NotOurLayout from error

    def _place(self, name: str, line: bytes) -> None:
        bucket = self._where.get(name)
        if bucket is None:
            if not self._buckets or self._last_size >= _BYTES_A_BUCKET:
                self._buckets.append({})
                self._joined.append(None)
                self._last_size = 0
            self._last_size += len(line)
            bucket = self._where[name] = len(self._buckets) - 1
        self._buckets[bucket][name] = line
        self._joined[bucket] = None


@dataclass(slots=True)
class Document:
    """The content of users.json, decoded and encoded."""

    revision: int = 0
    users: Table[User] = field(default_factory=lambda: Table(User))
    sessions: Table[Session] = field(default_factory=lambda: Table(Session))
    holds: Table[Hold] = field(default_factory=lambda: Table(Hold))
    """Telegram's id of an account → until when it rests, though its session was deleted."""
    read_version: int = USERS_VERSION
    """The version of the file when it was read."""

    def chunks(self, revision: int) -> list[bytes]:
        """Return the bytes of the file under that revision, in pieces."""
        return [
            b'{"version":%d,"revision":%d,"users":{\n' % (USERS_VERSION, revision),
            *self.users.chunks(),
            _BETWEEN + b"\n",
            *self.sessions.chunks(),
            *([_HOLDS + b"\n", *self.holds.chunks()] if self.holds.values else []),
            _END + b"\n",
        ]


def read_document(raw: bytes, path: Path, known: Document | None = None) -> Document:
    """Return the document in these bytes. It shares the values that `known` has under the same line.

    Raises:
        StateDamaged: the bytes are no such document.
        StateTooNew: a newer Postfleet wrote them.
    """
    with _no_collection():
        try:
            document = _read_own_layout(raw, known)
        except _NotOurLayout:
            document = _read_any_layout(raw, path)
    _check(document, path)
    return document


def _read_own_layout(raw: bytes, known: Document | None) -> Document:
    lines = raw.split(b"\n")
    head = _HEAD.fullmatch(lines[0])
    if head is None or int(head[1]) != USERS_VERSION or lines[-2:] != [_END, b""]:
        raise _NotOurLayout
    try:
        between = lines.index(_BETWEEN)
    except ValueError as error:
        raise _NotOurLayout from error
    document = Document(revision=int(head[2]))
    document.users.load_lines(lines[1:between], known.users if known is not None else None)
    holds = lines.index(_HOLDS) if _HOLDS in lines else len(lines) - 2
    document.sessions.load_lines(lines[between + 1 : holds], known.sessions if known is not None else None)
    document.holds.load_lines(lines[holds + 1 : -2], known.holds if known is not None else None)
    return document


def _read_any_layout(raw: bytes, path: Path) -> Document:
    parsed, version = migrated(parse_object(raw, path), path, USERS_VERSION, USERS_STEPS)
    strange = parsed.keys() - {"version", "revision", "users", "sessions", "holds"}
    if strange:
        raise damaged(path, f"has a part {min(strange)!r} that does not belong there")
    revision = parsed.get("revision", 0)
    if isinstance(revision, bool) or not isinstance(revision, int) or not 0 <= revision <= _LARGEST_REVISION:
        raise damaged(path, f"says revision {revision!r}, which is none")
    if "users" not in parsed:
        raise damaged(path, "holds no users; a state without any says so with an empty object")
    document = Document(revision=revision, read_version=version)
    _fill(document.users, parsed.get("users", {}), User, "user", path)
    _fill(document.sessions, parsed.get("sessions", {}), Session, "session", path)
    _fill(document.holds, parsed.get("holds", {}), Hold, "hold", path)
    return document


def _fill(table: Table[M], values: object, kind: type[M], word: str, path: Path) -> None:
    if not isinstance(values, Mapping):
        raise damaged(path, f"has no object where its {word}s should be")
    for name, value in values.items():
        try:
            # By way of bytes: one place decides what a line may hold, the decoder of lines.
            table.values[name] = msgspec.json.decode(_encoder.encode(value), type=kind)
            table.set_line(name, line_of(name, table.values[name]))
        except (msgspec.MsgspecError, ValueError, OverflowError) as error:
            raise damaged(path, f"cannot be understood at {word} {name!r}: {error}") from error


def _check(document: Document, path: Path) -> None:
    holders: dict[str, str] = {}
    for user_id, user in document.users.values.items():
        for name in user.assigned_sessions:
            holder = holders.setdefault(name, user_id)
            if holder != user_id:
                raise damaged(path, f"gives the session {name!r} to {holder!r} and to {user_id!r}")
        if len(set(user.assigned_sessions)) != len(user.assigned_sessions):
            raise damaged(path, f"gives a session twice to {user_id!r}")


def _split(line: bytes) -> tuple[str, bytes]:
    name, found, rest = line.partition(b'":{')
    if not found:
        raise _NotOurLayout
    try:
        return msgspec.json.decode(name + b'"', type=str), b"{" + rest
    except NOT_UNDERSTOOD as error:
        raise _NotOurLayout from error


def line_of(name: str, value: Model) -> bytes:
    """Return the line of one user or session, without its end."""
    return line_around(name, _encoder.encode(value))


def line_around(name: str, body: bytes) -> bytes:
    """Return the line of a value that is encoded already."""
    return _encoder.encode(name) + b":" + body


@contextlib.contextmanager
def _no_collection() -> Iterator[None]:
    # The collector would walk the growing heap again and again, at five times the cost of decoding, and find nothing.
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
