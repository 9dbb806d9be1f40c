"""One key, one connection, between processes: a kernel lock a session under `sessions/leases/`.

Telegram destroys a key that is used from two places. The lock is the kernel's, so it ends with its process, however
that ends; the empty files stay and mean nothing.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from core.errors import SessionInUse, StateLocked
from data.files import locked, make_folder


class Leases:
    """The leases of a state folder."""

    def __init__(self, state_dir: Path) -> None:
        self._folder = state_dir / "sessions" / "leases"

    @contextlib.contextmanager
    def held(self, name: str) -> Iterator[None]:
        """Be the only process that works with this session.

        Raises:
            SessionInUse: another process does.
            StateNotWritten: the lock file cannot be made.
        """
        make_folder(self._folder)
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(locked(self._folder / f"{name}.lock", timeout=0))
            except StateLocked:
                raise SessionInUse(
                    f"{name} is in use by another process on this state folder; it is left alone until that one is done"
                ) from None
            yield
