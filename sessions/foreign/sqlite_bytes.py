"""Recovers a SQLite file from its -wal or -journal file in memory, as SQLite does when it opens one.

A killed program leaves its last changes in the -wal file, or half of them in the file itself and the old pages in the
-journal file. The file alone would show an older key, or none.
Format: sqlite.org/fileformat2.html.
"""

import struct
from collections.abc import Iterator

SQLITE = b"SQLite format 3\0"
_WAL_MAGIC = {0x377F0682: "<", 0x377F0683: ">"}
"""Magic number → the byte order of the checksums."""
_JOURNAL_MAGIC = bytes.fromhex("d9d505f920a163d7")
_WAL_HEADER, _FRAME_HEADER, _JOURNAL_HEADER = 32, 24, 28
_NO_COUNT = 0xFFFFFFFF


def recovered(content: bytes, wal: bytes, journal: bytes) -> bytes:
    """Return the file with the changes in its -wal file, or with the old pages in its -journal file.

    Raises:
        ValueError: those belong to another file.
    """
    if journal.startswith(_JOURNAL_MAGIC) and len(journal) >= _JOURNAL_HEADER:
        content = _rolled_back(content, journal)
    if len(wal) > _WAL_HEADER:
        content = _with_changes(content, wal)
    if content[18:20] == b"\2\2":  # says that there may be a -wal file, which there cannot be in memory
        content = content[:18] + b"\1\1" + content[20:]
    return content


def _page_size(content: bytes) -> int:
    (size,) = struct.unpack_from(">H", content, 16) if len(content) >= 18 else (0,)
    return 65536 if size == 1 else int(size)


def _with_changes(content: bytes, wal: bytes) -> bytes:
    """Return the file as the last whole transaction in the -wal file left it."""
    magic, _, size, _, *salt = struct.unpack_from(">IIIIII", wal)
    order = _WAL_MAGIC.get(magic)
    if order is None or size != _page_size(content):
        raise ValueError
    sums = _checksum(wal[:24], order, (0, 0))
    if sums != struct.unpack_from(">II", wal, 24):
        return content  # the header was never written whole, so nothing follows
    pages: dict[int, bytes] = {}
    waiting: dict[int, bytes] = {}
    pages_in_all = len(content) // size
    for at in range(_WAL_HEADER, len(wal) - _FRAME_HEADER - size + 1, _FRAME_HEADER + size):
        number, committed, *own = struct.unpack_from(">IIIIII", wal, at)
        page = wal[at + _FRAME_HEADER : at + _FRAME_HEADER + size]
        sums = _checksum(page, order, _checksum(wal[at : at + 8], order, sums))
        if own[:2] != salt or tuple(own[2:]) != sums or not number:
            break  # left from an earlier use, or never written whole
        waiting[number] = page
        if committed:
            pages |= waiting
            waiting, pages_in_all = {}, committed
    return _put_together(content, pages, size, pages_in_all)


def _rolled_back(content: bytes, journal: bytes) -> bytes:
    """Return the file as it was before the interrupted transaction."""
    size = _page_size(content)
    _, _, pages_before, sector, page_size = struct.unpack_from(">IIIII", journal, 8)
    if page_size != size or not 32 <= sector <= 65536:
        raise ValueError
    pages: dict[int, bytes] = {}
    for number, page in _old_pages(journal, size, sector):
        pages.setdefault(number, page)
    return _put_together(content, pages, size, pages_before)


def _old_pages(journal: bytes, size: int, sector: int) -> Iterator[tuple[int, bytes]]:
    """Yield the old pages with their numbers, up to the first that was not written whole."""
    at, record = 0, size + 8
    while journal[at : at + 8] == _JOURNAL_MAGIC and len(journal) >= at + sector:
        count, nonce = struct.unpack_from(">II", journal, at + 8)
        at += sector
        there = (len(journal) - at) // record
        for _ in range(there if count in {0, _NO_COUNT} else min(count, there)):
            (number,) = struct.unpack_from(">I", journal, at)
            page = journal[at + 4 : at + 4 + size]
            (checksum,) = struct.unpack_from(">I", journal, at + 4 + size)
            if not number or checksum != (nonce + sum(page[size - 200 : 0 : -200])) & 0xFFFFFFFF:
                return
            yield number, page
            at += record
        at = -(-at // sector) * sector


def _put_together(content: bytes, pages: dict[int, bytes], size: int, pages_in_all: int) -> bytes:
    if size < 512 or pages_in_all * size > len(content) + len(pages) * size:
        raise ValueError
    whole = bytearray(content[: pages_in_all * size].ljust(pages_in_all * size, b"\0"))
    for number, page in pages.items():
        if number <= pages_in_all:
            whole[(number - 1) * size : number * size] = page
    return bytes(whole)


def _checksum(piece: bytes, order: str, sums: tuple[int, int]) -> tuple[int, int]:
    first, second = sums
    words = struct.unpack(f"{order}{len(piece) // 4}I", piece)
    for even, odd in zip(words[::2], words[1::2], strict=True):
        first = (first + even + second) & 0xFFFFFFFF
        second = (second + odd + first) & 0xFFFFFFFF
    return first, second
