"""Keeps the newest events of users whose dashboards poll in memory, so that no poll waits for the disk."""

import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from itertools import islice

from core.models import Event

EVENTS_A_USER = 100
USERS = 2000


class RecentEvents:
    """Loads a user's events at the first request, and drops the user whose last request is oldest."""

    def __init__(self, load: Callable[[str, int], list[Event]]) -> None:
        self._load = load
        self._lock = threading.Lock()
        self._users: OrderedDict[str, deque[Event]] = OrderedDict()

    def last(self, user: str, limit: int) -> list[Event]:
        """Return the user's newest events, newest first."""
        if limit > EVENTS_A_USER:
            return self._load(user, limit)
        with self._lock:
            kept = self._users.get(user)
            if kept is None:
                kept = self._users[user] = deque(self._load(user, EVENTS_A_USER), EVENTS_A_USER)
                while len(self._users) > USERS:
                    self._users.popitem(last=False)
            else:
                self._users.move_to_end(user)
            return list(islice(kept, limit))

    def newest_id(self, user: str) -> int:
        """Return the id of the user's newest event; 0: there is none.

        It takes no lock: every poll asks, and one read of the deque is whole.
        """
        kept = self._users.get(user)
        newest = kept[0] if kept else next(iter(self.last(user, 1)), None)
        return newest.id if newest else 0

    def add(self, events: Sequence[Event]) -> None:
        """Add events that were made durable, in this order."""
        with self._lock:
            for event in events:
                kept = self._users.get(event.user)
                # An event committed just before its user was loaded is there already.
                if kept is not None and (not kept or kept[0].id < event.id):
                    kept.appendleft(event)
