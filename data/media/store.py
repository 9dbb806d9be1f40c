"""Uploads: they arrive in pieces, get names of ours, and count against a quota.

A name is the digest of the content and the suffix of its type, so the same content sent twice is one file. Everything
here waits for the disk; call it from a thread.
"""

import contextlib
import hashlib
import os
import secrets
import threading
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from core.errors import NotFound, QuotaUsedUp, StateNotWritten, TooLarge, TooMany
from data.disk.files import Disk, make_folder
from data.media.layout import INCOMING, MEDIA, About, about_of, entries, folder_name, forget_about, keep_about

MOST_FILES = 1_000
"""Files of one user; many tiny files cost, too."""
MOST_AT_ONCE = 4
"""Uploads of one user that arrive at the same time."""
_STEP = 1_000_000
"""Bytes reserved at a time for an upload that does not declare its size."""


@dataclass(frozen=True)
class StoredFile:
    """A file in a user's media folder. `about` is None if somebody put it there by hand."""

    name: str
    bytes: int
    changed_at: datetime
    about: About | None


@dataclass(frozen=True)
class Space:
    """A user's room for files, in bytes."""

    quota: int
    used: int
    arriving: int
    """Reserved for uploads that are arriving."""

    @property
    def left(self) -> int:
        """Return how many bytes may still be uploaded."""
        return max(0, self.quota - self.used - self.arriving)


class MediaStore:
    """The files of every user of one STATE_DIR. A process has one store, which holds the reservations in memory."""

    def __init__(self, state_dir: Path, *, quota: int, largest: int) -> None:
        """`quota` of each user and `largest` file, in bytes."""
        self._root = state_dir / MEDIA
        self._quota = quota
        self.largest = largest
        self._lock = threading.Lock()
        self._reserved: Counter[str] = Counter()
        self._arriving: Counter[str] = Counter()

    def begin(self, user_id: str, declared: int | None) -> "Arrival":
        """Reserve room for an upload before its first byte: what it declares, or a first step.

        Return the arrival, which the caller closes.

        Raises:
            TooLarge, QuotaUsedUp: it does not fit.
            TooMany: too many uploads of this user are arriving.
            StateNotWritten: the folders cannot be made.
        """
        self._refuse_too_large(declared or 0)
        for folder in (self._root, self._root / INCOMING, self._folder(user_id)):
            make_folder(folder)
        with self._lock:
            if self._arriving[user_id] >= MOST_AT_ONCE:
                raise TooMany(f"At most {MOST_AT_ONCE} of your uploads can be under way; wait for one to end", 2.0)
            if self._used(user_id)[1] + self._arriving[user_id] >= MOST_FILES:
                raise QuotaUsedUp(f"you may have {MOST_FILES:,} files; delete some that no post uses")
            first = min(_STEP, self.largest) if declared is None else declared
            self._reserve(user_id, first)
            self._arriving[user_id] += 1
        return Arrival(self, user_id, self._root / INCOMING / secrets.token_hex(16), first)

    def space(self, user_id: str) -> Space:
        """Return how much room the user has."""
        with self._lock:
            used, _ = self._used(user_id)
            return Space(self._quota, used, self._reserved[user_id])

    def files(self, user_id: str) -> list[StoredFile]:
        """Return the user's files, sorted by name."""
        found = (self._stored(user_id, entry.name) for entry in entries(self._folder(user_id)))
        return sorted((file for file in found if file is not None), key=lambda file: file.name)

    def file(self, user_id: str, name: str) -> StoredFile:
        """Return one of the user's files. Raises NotFound."""
        plain = name not in {"", ".", ".."} and not any(sign in name for sign in "/\\\0")
        found = self._stored(user_id, name) if plain else None
        if found is None:
            raise NotFound(f"you have no file {name[:80]!r}")
        return found

    def opened(self, user_id: str, name: str) -> BinaryIO:
        """Open a file for reading; the caller closes it. Raises NotFound."""
        self.file(user_id, name)
        try:
            return os.fdopen(os.open(self._folder(user_id) / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb")
        except OSError:
            raise NotFound(f"you have no file {name[:80]!r}") from None

    def remove(self, user_id: str, name: str) -> None:
        """Delete a file.

        Raises:
            NotFound: the user has no such file.
            StateNotWritten: the disk refused.
        """
        self.file(user_id, name)
        try:
            with self._lock:
                (self._folder(user_id) / name).unlink()
                forget_about(self._folder(user_id), name)
                Disk().sync_folder(self._folder(user_id))
        except FileNotFoundError:
            raise NotFound(f"you have no file {name[:80]!r}") from None
        except OSError as error:
            raise StateNotWritten(f"the file {name} could not be deleted ({error.strerror})") from error

    # For arrivals.

    def grow(self, user_id: str, have: int, needed: int) -> int:
        """Reserve more for an upload that has reserved `have` and needs `needed`. Return what it has then."""
        self._refuse_too_large(needed)
        more = min(max(needed - have, _STEP), self.largest - have)
        with self._lock:
            space = self._quota - self._used(user_id)[0] - self._reserved[user_id]
            self._reserve(user_id, min(more, max(space, needed - have)))
            return have + min(more, max(space, needed - have))

    def settle(
        self, arrival: "Arrival", name: str, about: About, thumbnail: bytes | None, *, relabel: bool
    ) -> tuple[StoredFile, bool]:
        """Put an upload in its place and free its reservation. Return the file, and False if the content was there."""
        user_id = arrival.user_id
        target = self._folder(user_id) / name
        with self._lock:
            fresh = not target.exists()
            if fresh or relabel:
                keep_about(target.parent, name, about, thumbnail)
            if fresh:
                arrival.path.rename(target)
                Disk().sync_folder(target.parent)
            self._give_back(arrival)
        return self.file(user_id, name), fresh

    def give_back(self, arrival: "Arrival") -> None:
        """Free the reservation of an upload that is over."""
        with self._lock:
            self._give_back(arrival)

    def _give_back(self, arrival: "Arrival") -> None:
        if arrival.over:
            return
        arrival.over = True
        for counts, size in ((self._reserved, arrival.reserved), (self._arriving, 1)):
            counts[arrival.user_id] -= size
            if not counts[arrival.user_id]:
                del counts[arrival.user_id]

    def _reserve(self, user_id: str, size: int) -> None:
        used, _ = self._used(user_id)
        if used + self._reserved[user_id] + size > self._quota:
            left = max(0, self._quota - used - self._reserved[user_id])
            raise QuotaUsedUp(
                f"your files may have {self._quota:,} bytes together; {left:,} are left. Delete some that no post uses"
            )
        self._reserved[user_id] += size

    def _refuse_too_large(self, size: int) -> None:
        if size > self.largest:
            raise TooLarge(f"The file is too large; at most {self.largest:,} bytes are taken.")

    def _used(self, user_id: str) -> tuple[int, int]:
        """Return the user's bytes and files."""
        sizes = [entry.stat(follow_symlinks=False).st_size for entry in entries(self._folder(user_id))]
        return sum(sizes), len(sizes)

    def _stored(self, user_id: str, name: str) -> StoredFile | None:
        path = self._folder(user_id) / name
        try:
            facts = path.lstat()
            if not path.is_file() or path.is_symlink():
                return None
        except (OSError, ValueError):
            return None
        changed_at = datetime.fromtimestamp(facts.st_mtime, UTC)
        return StoredFile(name, facts.st_size, changed_at, about_of(self._folder(user_id), name))

    def _folder(self, user_id: str) -> Path:
        return self._root / folder_name(user_id)


class Arrival:
    """One upload that is arriving. Closing it before it is kept leaves nothing behind."""

    def __init__(self, store: MediaStore, user_id: str, path: Path, reserved: int) -> None:
        self.user_id = user_id
        self.path = path
        self.reserved = reserved
        self.over = False
        self.size = 0
        self._store = store
        self._digest = hashlib.sha256()
        # A request that ends early closes the upload while a thread may still write a piece of it.
        self._lock = threading.Lock()
        try:
            self._descriptor: int | None = Disk().create(path)
        except OSError as error:
            store.give_back(self)
            raise StateNotWritten(f"an upload could not be begun ({error.strerror})") from error

    def write(self, piece: bytes) -> None:
        """Append a piece, and reserve room for it where needed.

        Raises:
            TooLarge, QuotaUsedUp: the upload has become too large.
            StateNotWritten: the disk refused.
        """
        with self._lock:
            if self._descriptor is None:
                return
            if self.size + len(piece) > self.reserved:
                self.reserved = self._store.grow(self.user_id, self.reserved, self.size + len(piece))
            self._digest.update(piece)
            self.size += len(piece)
            rest = memoryview(piece)
            try:
                while rest:
                    rest = rest[os.write(self._descriptor, rest) :]
            except OSError as error:
                raise StateNotWritten(f"an upload could not be written ({error.strerror})") from error

    @property
    def name(self) -> str:
        """Return the name the file gets, without a suffix, if nothing more arrives."""
        return self._digest.hexdigest()[:32]

    def keep(
        self, suffix: str, about: About, thumbnail: bytes | None = None, *, relabel: bool
    ) -> tuple[StoredFile, bool]:
        """Make it the user's file, durably. Return the file, and False if the content was there already.

        `relabel`: the description replaces that of content that was there already.

        Raises:
            StateNotWritten: the disk refused.
        """
        try:
            with self._lock:
                if self._descriptor is None:
                    raise StateNotWritten("the upload was given up")
                os.fsync(self._descriptor)
                return self._store.settle(self, f"{self.name}{suffix}", about, thumbnail, relabel=relabel)
        except OSError as error:
            raise StateNotWritten(f"an upload could not be kept ({error.strerror})") from error

    def close(self) -> None:
        """Remove what was not kept and free the reservation. It may be called again."""
        with self._lock:
            if self._descriptor is None:
                return
            os.close(self._descriptor)
            self._descriptor = None
            with contextlib.suppress(OSError):
                self.path.unlink(missing_ok=True)
            self._store.give_back(self)
