"""A heap of due times. A look costs next to nothing when nobody is due."""

import heapq
from datetime import datetime


class DueHeap:
    """At most one due time per user. The last one that was set counts."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, str]] = []
        self._at: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._at)

    def set(self, user_id: str, at: datetime) -> None:
        """Make the user due at that moment and at no other."""
        moment = at.timestamp()
        if self._at.get(user_id) != moment:
            self._at[user_id] = moment
            heapq.heappush(self._heap, (moment, user_id))
        if len(self._heap) > 64 + 4 * len(self._at):  # entries that no longer count are dropped now and then
            self._heap = [(moment, user_id) for user_id, moment in self._at.items()]
            heapq.heapify(self._heap)

    def remove(self, user_id: str) -> None:
        """Take the user out of the heap."""
        self._at.pop(user_id, None)

    def next_due(self) -> float | None:
        """Return when the first user is due, in seconds since 1970, None when the heap is empty."""
        self._drop_outdated()
        return self._heap[0][0] if self._heap else None

    def pop_due(self, now: datetime) -> list[tuple[str, float]]:
        """Take everyone who is due by now out of the heap. Return when each was due, earliest first."""
        due: list[tuple[str, float]] = []
        limit = now.timestamp()
        while (first := self.next_due()) is not None and first <= limit:
            moment, user_id = heapq.heappop(self._heap)
            del self._at[user_id]
            due.append((user_id, moment))
        return due

    def _drop_outdated(self) -> None:
        while self._heap and self._at.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)
