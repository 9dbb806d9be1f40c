"""Requests by route, status and duration. Routes are those of the API, never addresses as they were asked for."""

from collections import Counter
from collections.abc import Iterator

from starlette.types import Scope

from api.requests.paths import STATE_PATH
from core.clock import Clock
from core.figures import Histogram

ONE_IN = 16
"""All polls of the sync state are counted; of so many one is timed, for all of them."""
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_OTHER = "other"


class RequestCounts:
    """Counted in memory since the daemon began."""

    def __init__(self, clock: Clock) -> None:
        self.now = clock.monotonic
        self.polls = {200: 0, 304: 0}
        """Polls of the sync state by status: the hot path counts them here itself."""
        self._answers: Counter[tuple[str, str, int]] = Counter()
        self._seconds: dict[str, Histogram] = {}

    def add(self, scope: Scope, status: int, seconds: float | None) -> None:
        """A request was answered (`status` 0: its client left first); `seconds` None: its duration says nothing."""
        poll, method = scope["path"] == STATE_PATH, scope["method"]
        route = STATE_PATH if poll else getattr(scope.get("route"), "path", _OTHER)
        if not (poll and status in self.polls):
            self._answers[(method if method in _METHODS else _OTHER, route, status)] += 1
        if seconds is not None:
            self.took(route, seconds)

    def took(self, route: str, seconds: float, times: int = 1) -> None:
        """So long a request of that route took."""
        spread = self._seconds.get(route)
        if spread is None:
            spread = self._seconds[route] = Histogram()
        spread.add(seconds, times)

    def answers(self) -> Iterator[tuple[str, str, int, int]]:
        """Method, route, status, how many."""
        for status, count in self.polls.items():
            yield "GET", STATE_PATH, status, count
        for (method, route, status), count in list(self._answers.items()):
            yield method, route, status, count

    def durations(self) -> list[tuple[str, Histogram]]:
        """Route and how long its requests took."""
        return list(self._seconds.items())
