"""Passwords: how strong one must be, how its hash is kept, how one is checked."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError
from zxcvbn import zxcvbn

from api.problems import Busy
from core.errors import InvalidInput

MIN_LENGTH = 12
MAX_LENGTH = 128
"""A longer one costs time and makes nobody safer."""
MIN_SCORE = 3
"""Of zxcvbn: 3 is safely unguessable, 4 very unguessable."""
AT_ONCE = 2
"""Hashes at a time. Each takes 64 MiB and a core."""
MOST_WAITING = 20
"""Whoever would wait longer than a second or two is refused at once."""
RETRY_AFTER_SECONDS = 2.0


class Passwords:
    """Hashes with argon2id in threads, a few at a time."""

    def __init__(self) -> None:
        self._hasher = PasswordHasher()
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._waiting = 0
        self._nobodys: str | None = None

    def refuse_when_busy(self) -> None:
        """Raise Busy when too many wait already. Ask before anything is counted."""
        if self._waiting >= MOST_WAITING:
            raise Busy(RETRY_AFTER_SECONDS)

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        self.refuse_when_busy()
        self._waiting += 1
        try:
            async with self._turns:
                yield
        finally:
            self._waiting -= 1

    async def hash(self, password: str, *, user_id: str, field: str = "password") -> str:
        """Return the hash to keep.

        Raises:
            InvalidInput: the password is too short, too long or too easy to guess.
            Busy: too many wait already.
        """
        check_strength(password, user_id=user_id, field=field)
        async with self._turn():
            return await asyncio.to_thread(self._hasher.hash, password)

    async def fits(self, kept: str | None, password: str) -> bool:
        """Return whether it is the password behind the hash. Takes as long when there is no hash. Raises Busy."""
        if len(password) > MAX_LENGTH:
            return False
        async with self._turn():
            return await asyncio.to_thread(self._verify, kept, password)

    def _verify(self, kept: str | None, password: str) -> bool:
        if kept is None:
            # An unknown user takes as long to refuse as a wrong password.
            if self._nobodys is None:
                self._nobodys = self._hasher.hash("nobody has this password")
            self._verify(self._nobodys, password)
            return False
        try:
            return self._hasher.verify(kept, password)
        except (Argon2Error, InvalidHashError, UnicodeError):
            return False


def check_strength(password: str, *, user_id: str, field: str = "password") -> None:
    """Check that nobody guesses the password soon.

    Raises:
        InvalidInput: with zxcvbn's advice; the text never shows the password.
    """
    if not MIN_LENGTH <= len(password) <= MAX_LENGTH:
        raise InvalidInput(field, f"use {MIN_LENGTH} to {MAX_LENGTH} characters")
    found = zxcvbn(password, user_inputs=[user_id, "postfleet"], max_length=MAX_LENGTH)
    if found["score"] < MIN_SCORE:
        advice = " ".join(filter(None, [found["feedback"]["warning"], *found["feedback"]["suggestions"]]))
        raise InvalidInput(field, f"too easy to guess. {advice}".strip())
