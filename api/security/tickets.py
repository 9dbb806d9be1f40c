"""One-time tickets, which a browser puts into an address where it cannot send a header.

A ticket is good once, for 30 seconds, for its user and one purpose. Only its digest is kept, and only in memory. A
restart ends all tickets, which costs a browser one more request.
"""

import hashlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from api.security.tokens import Identity
from core.clock import Clock
from core.errors import AuthError, TooMany

LIFETIME_SECONDS = 30.0
MAX_OPEN = 10_000
MAX_OPEN_PER_USER = 20


class Purpose(StrEnum):
    """What a ticket opens."""

    STREAM = "stream"
    DOWNLOAD = "download"


@dataclass(frozen=True)
class _Ticket:
    identity: Identity
    purpose: Purpose
    ends: float


class Tickets:
    """Gives and takes tickets. It never awaits, so that taking one is atomic.

    `is_good` says whether the token that a ticket was given for still counts.
    """

    def __init__(self, clock: Clock, is_good: Callable[[Identity], bool]) -> None:
        self._clock = clock
        self._is_good = is_good
        self._open: dict[str, _Ticket] = {}

    def give(self, identity: Identity, purpose: Purpose) -> str:
        """Return a new ticket.

        Raises:
            TooMany: the user, or everybody together, has too many open tickets.
        """
        self._drop_ended()
        own = sum(ticket.identity.user_id == identity.user_id for ticket in self._open.values())
        if own >= MAX_OPEN_PER_USER or len(self._open) >= MAX_OPEN:
            raise TooMany("Too many tickets are open; use those or wait until they end", LIFETIME_SECONDS)
        ticket = secrets.token_urlsafe(32)
        self._open[_digest(ticket)] = _Ticket(identity, purpose, self._clock.monotonic() + LIFETIME_SECONDS)
        return ticket

    def take(self, ticket: str, purpose: Purpose) -> Identity:
        """Consume the ticket and return whom it was given to.

        Raises:
            AuthError: it is unknown, used, over or for another purpose, or its token is revoked. The error does not
                say which.
        """
        found = self._open.pop(_digest(ticket), None)
        if (
            found is None
            or found.purpose is not purpose
            or found.ends <= self._clock.monotonic()
            or not self._is_good(found.identity)
        ):
            raise AuthError("The ticket is not valid; get a new one with POST /api/auth/tickets")
        return found.identity

    def _drop_ended(self) -> None:
        now = self._clock.monotonic()
        # Tickets end in the order in which they were given.
        while self._open and next(iter(self._open.values())).ends <= now:
            del self._open[next(iter(self._open))]


def _digest(ticket: str) -> str:
    return hashlib.sha256(ticket.encode("utf-8", "surrogatepass")).hexdigest()
