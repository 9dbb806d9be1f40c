"""Limits how much expensive work runs at a time, so that requests which only read never wait for it."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum

from api.problems import Busy
from api.requests.rate_limits import Rate, Rates
from core.errors import TooMany
from data.media.store import MOST_AT_ONCE

RETRY_AFTER_SECONDS = 2.0


class Kind(StrEnum):
    """Kinds of work that are counted apart."""

    WORK = "work"
    """Previews, checks, exports."""
    UPLOAD = "upload"
    """Lasts as long as the client's line is slow, and would keep others from their previews."""


MOST_PER_USER = {Kind.WORK: 2, Kind.UPLOAD: MOST_AT_ONCE}
_UPLOADS_FOR_ONE = 4
"""Places for uploads for each place for work: an upload mostly waits for its client."""


class ConcurrencyLimiter:
    """A limited number of places for work, in all and for each user.

    Everything runs on the event loop without an await, so nobody comes between the check and the claim.
    """

    def __init__(self, rates: Rates, most: int) -> None:
        self._rates = rates
        self._most = {Kind.WORK: most, Kind.UPLOAD: most * _UPLOADS_FOR_ONE}
        self._all: Counter[Kind] = Counter()
        self._own: Counter[tuple[Kind, str]] = Counter()

    def at_once(self, kind: Kind) -> int:
        """Return how many places of that kind are taken."""
        return self._all[kind]

    @contextmanager
    def place(self, kind: Kind, user_id: str) -> Iterator[None]:
        """Count the work against the user's rate, and hold a place while it lasts.

        Raises:
            TooMany: the user's rate is used up, or they hold as many places as one may.
            Busy: all places are taken.
        """
        self._rates.spend(Rate.EXPENSIVE, user_id)
        own = (kind, user_id)
        if self._own[own] >= MOST_PER_USER[kind]:
            raise TooMany("You have as much under way as one may at a time; wait until it is done", RETRY_AFTER_SECONDS)
        if self._all[kind] >= self._most[kind]:
            raise Busy(RETRY_AFTER_SECONDS)
        self._own[own] += 1
        self._all[kind] += 1
        try:
            yield
        finally:
            self._all[kind] -= 1
            self._own[own] -= 1
            if not self._own[own]:
                del self._own[own]
