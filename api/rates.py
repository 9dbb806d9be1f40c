"""How often anybody may ask: per user, per address, for what costs much, and for tokens that do not verify."""

import time
from enum import StrEnum

from limits import RateLimitItem, parse
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter

from core.errors import TooMany
from core.settings import Settings


class Rate(StrEnum):
    """What is counted."""

    USER = "user"
    ADDRESS = "address"
    EXPENSIVE = "expensive"
    """What makes us work hard: password checks, previews, exports."""
    FAILED_AUTH = "failed_auth"
    """Refused tokens, per address."""
    LOGIN_USER = "login_user"
    """Logins tried in a row, per user; a right one clears it."""
    LOGIN_ADDRESS = "login_address"


class Rates:
    """Counts in memory, in fixed windows; a restart begins anew."""

    def __init__(self, settings: Settings) -> None:
        self._items: dict[Rate, RateLimitItem] = {
            Rate.USER: parse(settings.rate_per_user),
            Rate.ADDRESS: parse(settings.rate_per_address),
            Rate.EXPENSIVE: parse(settings.rate_expensive),
            Rate.FAILED_AUTH: parse(settings.rate_failed_auth),
            Rate.LOGIN_USER: parse(settings.rate_login),
            Rate.LOGIN_ADDRESS: parse(settings.rate_expensive),
        }
        self._limiter = FixedWindowRateLimiter(MemoryStorage())

    def spend(self, rate: Rate, key: str) -> None:
        """Count one.

        Raises:
            TooMany: the window is used up; says when the next one begins.
        """
        if not self._limiter.hit(self._items[rate], rate, key):
            raise self._refusal(rate, key)

    def hit(self, rate: Rate, key: str) -> None:
        """Count one without refusing."""
        self._limiter.hit(self._items[rate], rate, key)

    def clear(self, rate: Rate, key: str) -> None:
        """Begin anew."""
        self._limiter.clear(self._items[rate], rate, key)

    def check(self, rate: Rate, key: str) -> None:
        """Refuse when the window is used up, without counting. Raises TooMany."""
        if not self._limiter.test(self._items[rate], rate, key):
            raise self._refusal(rate, key)

    def _refusal(self, rate: Rate, key: str) -> TooMany:
        window = self._limiter.get_window_stats(self._items[rate], rate, key)
        # The windows are those of the library, which go by the machine's clock.
        wait = max(1.0, window.reset_time - time.time())
        return TooMany(f"Too many requests; go on in {wait:.0f} seconds", retry_after=wait)
