"""Requests by route, status and duration. A route is one of the API's, never the address of a request."""

from collections import Counter
from collections.abc import Iterator

from starlette.types import Scope

from api.requests.paths import STATE_PATH
from core.clock import Clock
from core.figures import Histogram

ONE_IN = 16
"""Every poll of the sync state is counted; one in this many is timed, as a sample of all."""
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_OTHER = "other"


class RequestCounts:
    """Counts in memory since the daemon started."""

    def __init__(self, clock: Clock) -> None:
        self.now = clock.monotonic
        self.polls = {200: 0, 304: 0}
        """Polls of the sync state by status. The hot path counts them here itself."""
        self._answers: Counter[tuple[str, str, int]] = Counter()
        self._seconds: dict[str, Histogram] = {}

    def add(self, scope: Scope, status: int, seconds: float | None) -> None:
        """Count an answered request. `status` 0: its client left first. `seconds` None: its duration says nothing."""
        poll, method = scope["path"] == STATE_PATH, scope["method"]
        route = STATE_PATH if poll else getattr(scope.get("route"), "path", _OTHER)
        if not (poll and status in self.polls):
            self._answers[(method if method in _METHODS else _OTHER, route, status)] += 1
        if seconds is not None:
            self.took(route, seconds)

    def took(self, route: str, seconds: float, times: int = 1) -> None:
        """Count how long `times` requests of that route took."""
        histogram = self._seconds.get(route)
        if histogram is None:
            histogram = self._seconds[route] = Histogram()
        histogram.add(seconds, times)

    def answers(self) -> Iterator[tuple[str, str, int, int]]:
        """Yield method, route, status and number of requests."""
        for status, count in self.polls.items():
            yield "GET", STATE_PATH, status, count
        for (method, route, status), count in list(self._answers.items()):
            yield method, route, status, count

    def durations(self) -> list[tuple[str, Histogram]]:
        """Return each route with the durations of its requests."""
        return list(self._seconds.items())
