"""Access to the disk that a crash must not interrupt half-way: locks, writes of whole files, reads.

A whole file is written beside the old one, made durable and renamed over it, and then the folder is made durable. A
crash at any instruction leaves the old file or the new one. `Disk` is the one place that makes the system calls of a
commit; tests replace it to let any of them fail, or be the last.
"""

import contextlib
import errno
import functools
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

import portalocker

from core.errors import StateDamaged, StateInUse, StateLocked, StateNotWritten
from core.ownership import give_to_owner

LOCK_TIMEOUT = 10.0
"""Seconds to wait for another process that holds the lock of the state."""
_LOCK_POLL = 0.005  # the library's own 0.25 s would turn a 10 ms wait into 250
_MOST_CHUNKS_A_CALL = 1024  # IOV_MAX of Linux
_DAEMON_LOCK = "daemon.lock"
HALF_RESTORED = "restore.unfinished"
"""It is in STATE_DIR from the moment a restore starts to move files until it is done."""


class NotSettled(OSError):
    """The new file is in place, but a power cut may bring the old one back."""


class Disk:
    """The system calls of a commit, one method each."""

    def create(self, path: Path) -> int:
        """Open a new, empty file for writing. It belongs to the folder's owner, who alone may read it."""
        return open_own(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)

    def write(self, descriptor: int, chunks: Sequence[bytes | memoryview]) -> int:
        """Append the chunks. Return how many bytes were written."""
        return os.writev(descriptor, chunks)

    def sync(self, descriptor: int) -> None:
        """Make the file durable."""
        os.fsync(descriptor)

    def rename(self, source: Path, target: Path) -> None:
        """Replace one file by another."""
        source.replace(target)

    def sync_folder(self, folder: Path) -> None:
        """Make the names in the folder durable."""
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def open_own(path: Path, flags: int) -> int:
    """Open a file, and make it if the flags say so. It belongs to the folder's owner, who alone may read it."""
    descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        give_to_owner(path, descriptor)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def touch_own(path: Path) -> None:
    """Make an empty file as `open_own` does, for others to fill. A file that is there stays."""
    os.close(open_own(path, os.O_WRONLY | os.O_CREAT))


def write_whole(disk: Disk, path: Path, chunks: Sequence[bytes]) -> int:
    """Replace a file by these bytes, durably. Return the new file's open descriptor, which the caller closes.

    Raises:
        NotSettled: the new file is there, but the last step failed.
        OSError: the old file remains.
    """
    beside = _beside(path)
    descriptor = disk.create(beside)
    try:
        _write_all(disk, descriptor, chunks)
        disk.sync(descriptor)
        disk.rename(beside, path)
    except OSError:
        os.close(descriptor)
        with contextlib.suppress(OSError):
            beside.unlink()  # a full disk needs the room
        raise
    try:
        disk.sync_folder(path.parent)
    except OSError as error:
        os.close(descriptor)
        raise NotSettled(error.errno, error.strerror) from error
    return descriptor


@functools.lru_cache(maxsize=64)
def _beside(path: Path) -> Path:
    """Return where the new file is written. The paths are cached: pathlib interns every name, so a new `Path` with each
    commit lets the interpreter's table of strings grow."""
    return path.with_name(path.name + ".tmp")


def _write_all(disk: Disk, descriptor: int, chunks: Sequence[bytes]) -> None:
    for start in range(0, len(chunks), _MOST_CHUNKS_A_CALL):
        rest: list[bytes | memoryview] = list(chunks[start : start + _MOST_CHUNKS_A_CALL])
        while rest:
            taken = disk.write(descriptor, rest)
            while rest and taken >= len(rest[0]):
                taken -= len(rest.pop(0))
            if rest and taken:
                rest[0] = memoryview(rest[0])[taken:]


_SHORT = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN})


def is_short_of_something(error: OSError) -> bool:
    """Return whether the machine lacks descriptors or memory now. Nothing is wrong with the file then."""
    return error.errno in _SHORT


def open_to_read(path: Path) -> int:
    """Open the file. Return its descriptor.

    Raises:
        FileNotFoundError: there is no such file.
        StateDamaged: it cannot be read.
        StateNotWritten: too many files are open now; nothing is wrong with this one.
    """
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise
    except OSError as error:
        if is_short_of_something(error):
            raise StateNotWritten(f"{path} cannot be opened ({error.strerror}); nothing was changed") from error
        raise _unreadable(path, error) from error


def read_whole(descriptor: int, path: Path) -> bytes:
    """Return what the open file holds. `path` is for the message.

    Raises:
        StateDamaged: it cannot be read.
    """
    try:
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read()
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError) -> StateDamaged:
    return StateDamaged(
        f"{path} cannot be read ({error.strerror}); make it a file that this account may read and write"
    )


def make_folder(path: Path) -> None:
    """Make the folder, for its owner alone: the owner of the folder it is in.

    Raises:
        StateNotWritten: it cannot be made.
    """
    try:
        _make_folders(path)
        if path.stat().st_mode & 0o077:
            path.chmod(0o700)
    except OSError as error:
        raise StateNotWritten(
            f"the folder {path} cannot be made or closed to others ({error.strerror}); "
            "set POSTFLEET_STATE_DIR to a folder that this account owns"
        ) from error


def _make_folders(path: Path) -> None:
    if path.is_dir():
        return
    _make_folders(path.parent)
    path.mkdir(exist_ok=True, mode=0o700)
    give_to_owner(path)


def refuse_half_restored(state_dir: Path) -> None:
    """Refuse a state whose restore was cut off while it moved files. Raises StateDamaged."""
    if (state_dir / HALF_RESTORED).exists():
        raise StateDamaged(f"a restore of {state_dir} was cut off; carry it to its end: python run.py restore")


def _lock(path: Path, timeout: float, *, shared: bool = False) -> "portalocker.Lock[IO[bytes]]":
    return portalocker.Lock(
        path,
        "ab",
        timeout=timeout,
        check_interval=_LOCK_POLL,
        fail_when_locked=False,
        flags=(portalocker.LOCK_SH if shared else portalocker.LOCK_EX) | portalocker.LOCK_NB,
        buffering=0,
        opener=lambda _, flags: open_own(path, flags),
    )


@contextlib.contextmanager
def locked(path: Path, timeout: float = LOCK_TIMEOUT, *, shared: bool = False) -> Iterator[None]:
    """Hold the lock file, alone or `shared`. The kernel releases it when the process ends, however it ends.

    The file itself is never replaced or removed; it does no harm after a crash.

    Raises:
        StateLocked: another process held it all the time.
        StateNotWritten: the lock file cannot be made.
    """
    lock = _lock(path, timeout, shared=shared)
    try:
        lock.acquire()
    except portalocker.exceptions.LockException as error:
        raise StateLocked(
            f"another process has held {path} for more than {timeout:g} s; see who with: fuser -v {path}"
        ) from error
    except OSError as error:
        raise StateNotWritten(f"the lock file {path} cannot be opened ({error.strerror})") from error
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def exclusive_daemon_lock(state_dir: Path) -> Iterator[None]:
    """Be the only daemon on this folder. The kernel releases the lock when the process ends, after kill -9 too.

    Raises:
        StateInUse: another daemon runs on it.
        StateNotWritten: the folder or lock file cannot be made.
    """
    make_folder(state_dir)
    try:
        with locked(state_dir / _DAEMON_LOCK, timeout=0):
            yield
    except StateLocked as error:
        raise StateInUse(
            f"another Postfleet runs on {state_dir}; stop it, or set POSTFLEET_STATE_DIR to another folder"
        ) from error
