"""Rate limits: per user, per address, for expensive requests, and for tokens that do not verify."""

import time
from enum import StrEnum

from limits import RateLimitItem, parse
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter

from core.clock import Clock
from core.errors import TooMany
from core.settings import Settings


class Rate(StrEnum):
    """What is limited besides the number of all requests."""

    EXPENSIVE = "expensive"
    """Expensive requests such as previews and exports, per user."""
    LOGIN_USER = "login_user"
    """Failed passwords in a row, per user and address, so that guessing keeps nobody else out. Success clears it."""
    LOGIN_ANYWHERE = "login_anywhere"
    """Failed passwords per user from all addresses together. The limit is several times higher."""
    LOGIN_ADDRESS = "login_address"


_ADDRESSES_A_USER = 10
"""How many addresses may use up their tries for a user before every other address has to wait."""


class Rates:
    """Counts in memory, in fixed windows. A restart clears them."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self.users = EveryRequest(settings.rate_per_user, clock)
        self.addresses = EveryRequest(settings.rate_per_address, clock)
        self.refused_tokens = EveryRequest(settings.rate_failed_auth, clock)
        """Per address."""
        login = parse(settings.rate_login)
        self._items: dict[Rate, RateLimitItem] = {
            Rate.EXPENSIVE: parse(settings.rate_expensive),
            Rate.LOGIN_USER: login,
            Rate.LOGIN_ANYWHERE: type(login)(login.amount * _ADDRESSES_A_USER, login.multiples),
            Rate.LOGIN_ADDRESS: parse(settings.rate_expensive),
        }
        self._limiter = FixedWindowRateLimiter(MemoryStorage())

    def spend(self, rate: Rate, *keys: str) -> None:
        """Count one.

        Raises:
            TooMany: the window is used up; the error says when the next one begins.
        """
        if not self._limiter.hit(self._items[rate], rate, *keys):
            raise self._refusal(rate, *keys)

    def clear(self, rate: Rate, *keys: str) -> None:
        """Forget what was counted."""
        self._limiter.clear(self._items[rate], rate, *keys)

    def _refusal(self, rate: Rate, *keys: str) -> TooMany:
        window = self._limiter.get_window_stats(self._items[rate], rate, *keys)
        # The library's windows use the machine's clock.
        return too_many(window.reset_time - time.time())


class EveryRequest:
    """A limit that every request is checked against. The library's takes 4.5 µs a check, as long as half a poll."""

    def __init__(self, rate: str, clock: Clock) -> None:
        item = parse(rate)
        self._most = item.amount
        self._seconds = item.get_expiry()
        self._clock = clock
        self._counts: dict[str, int] = {}
        self._ends = clock.monotonic() + self._seconds

    def check(self, key: str) -> None:
        """Raise TooMany when the window is used up. Counts nothing."""
        now = self._clock.monotonic()
        if now >= self._ends:
            self._counts.clear()
            self._ends = now + self._seconds
        elif self._counts.get(key, 0) >= self._most:
            raise too_many(self._ends - now)

    def counted(self, key: str) -> int:
        """Return how many were counted in this window."""
        return self._counts.get(key, 0)

    def spend(self, key: str) -> None:
        """Count one. Raises TooMany."""
        self.check(key)
        self._counts[key] = self._counts.get(key, 0) + 1


def too_many(wait: float) -> TooMany:
    """Return the refusal that says when to come back, in `wait` seconds."""
    wait = max(1.0, wait)
    return TooMany(f"Too many requests; go on in {wait:.0f} seconds", retry_after=wait)
