"""One key, one connection, across processes: a kernel lock per session.

Telegram destroys a key that is used from two places. Each session locks one byte of a shared file, so hundreds of
accounts need one file descriptor. The kernel releases the locks when their process ends, however it ends. The empty
file stays and means nothing.
"""

import contextlib
import errno
import fcntl
import hashlib
import os
import struct
from collections.abc import Iterator
from pathlib import Path

from core.errors import SessionInUse, StateNotWritten
from data.disk.files import make_folder, open_own

_OWN_DESCRIPTION = getattr(fcntl, "F_OFD_SETLK", None)
"""On Linux the lock belongs to the open file, so closing the file elsewhere in this process does not release it."""
_TAKEN = frozenset({errno.EACCES, errno.EAGAIN})


class Leases:
    """The leases on the sessions of a state folder."""

    def __init__(self, state_dir: Path) -> None:
        self._path = state_dir / "sessions" / "leases.lock"
        self._descriptor: int | None = None

    @contextlib.contextmanager
    def held(self, name: str) -> Iterator[None]:
        """Make this the only process that works with the session.

        Raises:
            SessionInUse: another process works with it.
            StateNotWritten: the lock file cannot be made or locked.
        """
        place = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=7).digest(), "big")
        try:
            self._set(fcntl.F_WRLCK, place)
        except OSError as error:
            if error.errno not in _TAKEN:
                raise StateNotWritten(f"the lock file {self._path} cannot be used ({error.strerror})") from error
            raise SessionInUse(
                f"{name} is in use by another process on this state folder; it is left alone until that process is done"
            ) from None
        try:
            yield
        finally:
            self._set(fcntl.F_UNLCK, place)

    def close(self) -> None:
        """Release every lease."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _set(self, kind: int, place: int) -> None:
        if self._descriptor is None:
            make_folder(self._path.parent)
            self._descriptor = open_own(self._path, os.O_RDWR | os.O_CREAT)
        if _OWN_DESCRIPTION is not None:
            fcntl.fcntl(self._descriptor, _OWN_DESCRIPTION, struct.pack("hhqqi4x", kind, os.SEEK_SET, place, 1, 0))
        else:
            how = fcntl.LOCK_UN if kind == fcntl.F_UNLCK else fcntl.LOCK_EX | fcntl.LOCK_NB
            fcntl.lockf(self._descriptor, how, 1, place)
