"""Counting that costs next to nothing, for values that come often and are read now and then."""

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
"""Bounds for durations from a fast request to a late cycle."""


class Histogram:
    """How many values are at most each bound, and the sum of all."""

    __slots__ = ("_bounds", "_counts", "total")

    def __init__(self, bounds: Sequence[float] = SECONDS) -> None:
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(self._bounds) + 1)
        self.total = 0.0
        """The sum of all values."""

    def add(self, value: float, times: int = 1) -> None:
        """Count a value, `times` times."""
        self._counts[bisect_left(self._bounds, value)] += times
        self.total += value * times

    @property
    def count(self) -> int:
        """Return how many values there were."""
        return sum(self._counts)

    def up_to(self) -> list[tuple[float, int]]:
        """Return each bound, the last of them infinite, with the number of values no greater than it."""
        return list(zip((*self._bounds, float("inf")), accumulate(self._counts), strict=True))
