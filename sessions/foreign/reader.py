"""Reads what people bring piece by piece: session files, strings, texts of strings, and folders or zips of those.

`pieces` reads in a separate process (core.confined). If a piece takes too long or breaks that process, only the piece
is refused, and a new process reads the rest.
"""

import functools
import io
import itertools
import lzma
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Generator, Iterable, Iterator, Set
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import IO

from core.confined import Bounds, stream
from core.errors import InvalidInput, Unreadable
from core.pasted import peeled
from sessions.foreign.formats import Found
from sessions.foreign.session_files import (
    COMPANIONS,
    MOST_BYTES,
    MOST_COMPANION_BYTES,
    Companions,
    read_session_bytes,
    read_session_file,
)
from sessions.foreign.session_strings import LONGEST, is_session_string, read_session_string
from sessions.foreign.sqlite_bytes import SQLITE

MOST_FILES = 10_000
MOST_TEXT_BYTES = 8 * 2**20
MOST_UNPACKED = 2**30
"""The most bytes that a zip may unpack to."""
BOUNDS = Bounds(cpu_seconds=3, seconds=20.0, all_seconds=300.0, memory_bytes=384 * 2**20)
"""The limits on reading. A usual piece takes a few milliseconds."""
_MOST_BROKEN = 8
"""Reading stops after this many pieces that broke their reader: so many are made on purpose."""
_SUFFIX = ".session"
_TEXTS = frozenset({".txt", ".string"})
_LONGEST_NAME = 200
_SHORTEST_PART = 20
"""The fewest characters of a line that is part of a string. Only the last line may be shorter."""
_PART = re.compile(r"[A-Za-z0-9+/_-]+=*")
_LINE = re.compile(r"[^\r\n\v\f\x1c-\x1e\x85\u2028\u2029]+")
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_TOO_LARGE = "larger than any session file or list of strings"
_DAMAGED = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error),
    *(RuntimeError, NotImplementedError, EOFError, OSError, ValueError, LookupError, OverflowError),
)
"""The errors that `zipfile` raises for damage, passwords and unknown methods."""


@dataclass(frozen=True)
class Piece:
    """Something that somebody brought: its session, or the reason why it is refused. With neither, it is being read."""

    number: int
    """The number of its file, counted through all folders and zips."""
    source: str
    name: str
    found: Found | None = None
    reason: str | None = None


@dataclass(frozen=True)
class Brought:
    """What to read: content with its source and the session's name, or files with their sources."""

    content: bytes = b""
    source: str = ""
    name: str = ""
    files: tuple[tuple[Path, str], ...] = ()


def pieces(brought: Brought) -> Generator[Piece, None, None]:
    """Yield every piece with its session or the reason why it is refused. Blocks.

    Raises:
        NotRead: no process could be started to read it; try again later.
    """
    broken: frozenset[int] = frozenset()
    while len(broken) < _MOST_BROKEN:
        behind = max(broken, default=0)
        current = Piece(behind + 1, brought.source, brought.name)
        try:
            for piece in stream(BOUNDS, read_all, brought, behind, broken):
                if piece.found is None and piece.reason is None:
                    current = piece
                else:
                    yield piece
        except Unreadable as error:
            yield replace(current, reason=str(error))
            broken |= {current.number}
        else:
            return
    yield Piece(0, brought.source, brought.name, reason="too much in it is damaged; import the rest separately")


def read_all(brought: Brought, behind: int, broken: frozenset[int]) -> Iterator[Piece]:
    """Yield the pieces after file number `behind`, without `broken` files. Only for core.confined."""
    walk = _Walk(behind, broken)
    if not brought.files:
        yield from walk.content(brought.content, brought.source, brought.name)
    for path, source in brought.files:
        yield from walk.file(path, source)


class _Walk:
    """Reads file after file and counts them."""

    def __init__(self, behind: int, broken: frozenset[int]) -> None:
        self._behind = behind
        self._broken = broken
        self._number = 0

    def file(self, path: Path, source: str) -> Iterator[Piece]:
        yield from self._next(source, path.stem, lambda: self._read_file(path, source))

    def content(self, content: bytes, source: str, name: str) -> Iterator[Piece]:
        yield from self._next(source, name, lambda: self._read_content(io.BytesIO(content), source, name))

    def _next(
        self, source: str, name: str, read: Callable[[], Iterable[Piece]], *, alone: bool = False
    ) -> Iterator[Piece]:
        """Yield the pieces of the next file. `alone`: it holds no other files."""
        self._number += 1
        number = self._number
        if number in self._broken or (alone and number <= self._behind):
            return
        source, name = _shown(source), _shown(name)
        if number > self._behind:
            yield Piece(number, source, name)
        for piece in read():
            if piece.number or number > self._behind:  # files in a zip have their own numbers
                yield replace(piece, number=piece.number or number)

    def _read_file(self, path: Path, source: str) -> Iterator[Piece]:
        try:
            if path.stat().st_size > MOST_BYTES:
                yield _refused(source, path.stem, _TOO_LARGE)
                return
            with path.open("rb") as file:
                if zipfile.is_zipfile(file):
                    yield from self._zip(file, source)
                    return
            if self._number <= self._behind:
                return
            if path.suffix.lower() in _TEXTS:
                yield from _text(path.read_bytes(), source, path.stem)
            else:
                yield _file(path, source)
        except OSError as error:
            yield _refused(source, path.stem, f"cannot be read ({error.strerror})")

    def _read_content(self, file: io.BytesIO, source: str, name: str) -> Iterator[Piece]:
        if zipfile.is_zipfile(file):
            yield from self._zip(file, source)
        elif file.getvalue().startswith(SQLITE):
            yield _bytes(file.getvalue(), source, name)
        else:
            yield from _text(file.getvalue(), source, name)

    def _zip(self, opened: IO[bytes], source: str) -> Iterator[Piece]:
        try:
            with zipfile.ZipFile(opened) as archive:
                unpacking = _Unpacking(archive)
                for entry in archive.infolist()[:MOST_FILES]:
                    if _has_suffix(entry.filename, {_SUFFIX, *_TEXTS}) and not entry.is_dir():
                        where = f"{source}:{entry.filename}"
                        read = functools.partial(unpacking.read, entry, where)
                        yield from self._next(where, PurePath(entry.filename).stem, read, alone=True)
        except _DAMAGED:
            yield _refused(source, PurePath(source).stem, "a damaged zip")


class _Unpacking:
    """Unpacks a zip, up to `MOST_UNPACKED` bytes."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self._left = MOST_UNPACKED
        self._entries = {entry.filename: entry for entry in archive.infolist()}

    def read(self, entry: zipfile.ZipInfo, where: str) -> Iterator[Piece]:
        inner = PurePath(entry.filename)
        is_text = inner.suffix.lower() in _TEXTS
        try:
            content = self._unpacked(entry, MOST_TEXT_BYTES if is_text else MOST_BYTES)
            beside = [self._entries.get(entry.filename + end) for end in COMPANIONS]
            wal, journal = (self._unpacked(one, MOST_COMPANION_BYTES) if one else b"" for one in beside)
        except MemoryError:
            yield _refused(where, inner.stem, "takes far too much memory to unpack; no session file does")
        except _DAMAGED:
            yield _refused(where, inner.stem, "cannot be unpacked: damaged or with a password")
        except _TooLarge:
            yield _refused(where, inner.stem, _TOO_LARGE if self._left else "too much in one zip; import it in parts")
        else:
            if is_text:
                yield from _text(content, where, inner.stem)
            else:
                yield _bytes(content, where, inner.stem, Companions(wal, journal))

    def _unpacked(self, entry: zipfile.ZipInfo, most: int) -> bytes:
        most = min(most, self._left)
        if entry.file_size > most:
            raise _TooLarge
        with self._archive.open(entry) as file:
            content = file.read(most + 1)  # the size in the zip's directory may be false
        if len(content) > most:
            raise _TooLarge
        self._left -= len(content)
        return content


class _TooLarge(Exception):
    pass


def may_hold_sessions(name: str) -> bool:
    """Return whether a file in a folder is read, by its name."""
    return _has_suffix(name, {_SUFFIX, ".zip", *_TEXTS})


def _has_suffix(name: str, suffixes: Set[str]) -> bool:
    path = PurePath(name)
    return path.suffix.lower() in suffixes and not path.name.startswith("._")  # macOS leaves such companions


def _file(path: Path, source: str) -> Piece:
    if path.stat().st_size > 4 * LONGEST:
        return _judged(source, path.stem, lambda: read_session_file(path))
    return _bytes(path.read_bytes(), source, path.stem)


def _bytes(content: bytes, source: str, name: str, companions: Companions | None = None) -> Piece:
    if len(content) <= 4 * LONGEST and is_session_string(_decoded(content)):
        return _judged(source, name, lambda: read_session_string(_decoded(content), source))
    return _judged(source, name, lambda: read_session_bytes(content, PurePath(source).name, companions))


def _text(content: bytes, source: str, name: str) -> Iterator[Piece]:
    """Yield a piece for every string. A string broken into several lines is one piece."""
    strings = _strings(_decoded(content))
    begin = list(itertools.islice(strings, 2))
    if len(begin) == 1:
        yield _string(begin[0][1], source, name)
        return
    for line, text in itertools.chain(begin, strings):
        yield _string(text, f"{source}:{line}", f"{name}-{line}")


def _strings(text: str) -> Iterator[tuple[int, str]]:
    """Yield each string with the number of its first line. Empty lines do not count."""
    run: list[tuple[int, str]] = []  # lines that may be parts of one string
    lines = (line for line in (peeled(match[0]) for match in _LINE.finditer(text)) if line)
    for number, line in enumerate(lines, 1):
        if is_session_string(line) or not _may_be_a_part(line, of_one=bool(run)):
            yield from run
            yield number, line
            run = []
            continue
        run.append((number, line))
        for start in range(len(run)):
            whole = "".join(part for _, part in run[start:])
            if is_session_string(whole):
                yield from run[:start]
                yield run[start][0], whole
                run = []
                break
        if len(run) * _SHORTEST_PART > LONGEST:
            yield run.pop(0)
    yield from run


def _may_be_a_part(line: str, *, of_one: bool) -> bool:
    return len(line) < LONGEST and (of_one or len(line) >= _SHORTEST_PART) and _PART.fullmatch(line) is not None


def _decoded(content: bytes) -> str:
    return content.decode("utf-16" if content[:2] in _UTF_16 else "utf-8", "replace")


def _string(text: str, source: str, name: str) -> Piece:
    return _judged(source, name, lambda: read_session_string(text, source))


def _judged(source: str, name: str, read: Callable[[], Found]) -> Piece:
    try:
        return Piece(0, _shown(source), _shown(name), read())
    except InvalidInput as error:
        return _refused(source, name, error.fix)


def _refused(source: str, name: str, reason: str) -> Piece:
    return Piece(0, _shown(source), _shown(name), reason=reason)


def _shown(text: str) -> str:
    """Return a name fit for a message: a file's name may hold bytes that are not text, and be very long."""
    return text.encode("utf-8", "backslashreplace").decode()[:_LONGEST_NAME]
