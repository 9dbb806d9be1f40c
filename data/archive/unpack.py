"""Unpacks an archive of `data.archive.backup` within bounds, and checks each file against the manifest.

An archive may be damaged, or made by somebody else: whatever it holds, unpacking it takes no more memory than the
largest manifest and no more disk than is free.
"""

import gzip
import shutil
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, cast

import msgspec

from core.errors import StateDamaged, StateNotWritten, StateTooNew
from data.archive.backup import FORMAT, MANIFEST, Manifest, member_of
from data.archive.staging import stage
from data.disk.inventory import JOURNAL_FILE, PAIRS_FILE, STATS_FILE, USERS_FILE, may_be_archived
from data.disk.strict_json import NOT_UNDERSTOOD

LARGEST_MANIFEST = 64 * 2**20
"""Bytes. Nothing larger is read at once either."""
LARGEST_DOCUMENT = 2**30
"""Bytes of a JSON file. It is read whole, and every commit writes users.json whole."""
_HEADERS_A_FILE = 8 * 2**10
"""Bytes that a file may take in the archive besides its content."""
_NEEDED = (USERS_FILE, STATS_FILE, JOURNAL_FILE)
_DOCUMENTS = (USERS_FILE, STATS_FILE, PAIRS_FILE)


def refuse_no_archive(archive: Path) -> None:
    """Refuse what is not even a file. Raises StateDamaged."""
    if not archive.is_file():
        raise _bad(archive, "is no file" if archive.exists() else "is not there")


def unpack(archive: Path, staged: Path) -> Manifest:
    """Write every file of the archive below `staged`. Return the manifest.

    Raises:
        StateDamaged: the archive is not good.
        StateTooNew: a newer Postfleet made it.
        StateNotWritten: there is not enough room for what it holds.
        OSError: the disk refused a file.
    """
    try:
        with gzip.open(archive) as packed:
            content = _Bounded(packed, LARGEST_MANIFEST + _HEADERS_A_FILE)
            with tarfile.open(fileobj=cast(IO[bytes], content), mode="r:") as opened:
                members = iter(opened)
                manifest = _manifest(opened, next(members, None), archive)
                _check_size(manifest, archive, staged)
                content.left = sum(file.size + _HEADERS_A_FILE for file in manifest.files.values()) + _HEADERS_A_FILE
                _unpack_files(opened, members, manifest, archive, staged)
                return manifest
    except (tarfile.TarError, ValueError, RecursionError) as error:
        raise _bad(archive, f"cannot be unpacked ({error})") from error


def _manifest(opened: tarfile.TarFile, about: tarfile.TarInfo | None, archive: Path) -> Manifest:
    source = opened.extractfile(about) if about is not None and about.isfile() else None
    if about is None or source is None or about.name != MANIFEST or about.size > LARGEST_MANIFEST:
        raise _bad(archive, "is not a backup of Postfleet")
    raw = source.read()
    try:
        found = msgspec.json.decode(raw, type=dict[str, object]).get("format")
        if isinstance(found, int) and found > FORMAT:
            raise StateTooNew(f"{archive} was made by a newer Postfleet (format {found}); restore it with that one")
        return msgspec.json.decode(raw, type=Manifest)
    except NOT_UNDERSTOOD as error:
        raise _bad(archive, f"has a manifest that cannot be understood ({error})") from error


def _check_size(manifest: Manifest, archive: Path, staged: Path) -> None:
    for name in _NEEDED:
        if name not in manifest.files:
            raise _bad(archive, f"holds no {name}")
    for name in _DOCUMENTS:
        if name in manifest.files and manifest.files[name].size > LARGEST_DOCUMENT:
            raise _bad(archive, f"holds a {name} of {manifest.files[name].size:,} bytes, which is far too large")
    size, free = sum(file.size for file in manifest.files.values()), shutil.disk_usage(staged).free
    if size > free:
        raise StateNotWritten(
            f"{archive} holds {size:,} bytes and the disk of the state has {free:,} free; make room and run it again. "
            "Nothing was restored"
        )


def _unpack_files(
    opened: tarfile.TarFile, members: Iterator[tarfile.TarInfo], manifest: Manifest, archive: Path, staged: Path
) -> None:
    left = dict(manifest.files)
    for about in members:
        expected = left.pop(about.name, None)
        source = opened.extractfile(about) if about.isfile() and not about.issparse() else None
        if expected is None or source is None or not may_be_archived(about.name):
            raise _bad(archive, f"holds {about.name!r}, which does not belong there")
        if about.size != expected.size:
            raise _bad(archive, f"holds another {about.name} than was put in")
        stage(staged / about.name, source)
        if member_of(staged / about.name) != expected:
            raise _bad(archive, f"holds another {about.name} than was put in")
    if left:
        raise _bad(archive, f"lacks {min(left)}")


class _Bounded:
    """What an archive unpacks to, read in bounded pieces and no further than `left` bytes."""

    def __init__(self, packed: gzip.GzipFile, left: int) -> None:
        self._packed = packed
        self.left = left

    def read(self, size: int = -1) -> bytes:
        """Return at most `size` bytes.

        Raises:
            tarfile.ReadError: that is too much, or the archive is damaged or cannot be read.
        """
        if not 0 <= size <= LARGEST_MANIFEST:
            raise tarfile.ReadError("it has a header that is far too large")
        try:
            piece = self._packed.read(size)
        except (OSError, EOFError, zlib.error) as error:
            raise tarfile.ReadError(getattr(error, "strerror", None) or str(error)) from error
        self.left -= len(piece)
        if self.left < 0:
            raise tarfile.ReadError("it unpacks to more than its manifest says")
        return piece

    def tell(self) -> int:
        """Return how far it was read."""
        return self._packed.tell()

    def seek(self, place: int) -> int:
        """Go to a place that was read already, or just behind it."""
        if place > self._packed.tell():
            self.read(place - self._packed.tell())
        return self._packed.seek(place)


def _bad(archive: Path, what: str) -> StateDamaged:
    return StateDamaged(f"{archive} {what}. Nothing was restored")
