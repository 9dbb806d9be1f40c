"""Puts values of earlier responses into later requests, so that they read, change and delete what was made."""

import random
from collections import deque
from typing import Any

KEPT = 30
"""Values kept of each kind: the newest."""
_OFTEN = 0.6
# Other names under which responses hold what a parameter of this name takes.
_ALSO = {
    "name": ("session", "sessions", "assigned_sessions"),
    "session": ("name",),
    "group": ("groups",),
    "user_id": ("user",),
    "user": ("user_id",),
    "login_id": ("id",),
    "token_id": ("jti",),
    "before": ("next_before",),
    "after": ("next_after",),
    "since": ("revision",),
    "n": ("number",),
}


class Memory:
    """The scalars of responses, by the names of their fields."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)
        self._known: dict[str, deque[Any]] = {}

    def note(self, value: object, name: str = "", place: str = "") -> None:
        """Keep every scalar in a response of that resource."""
        if isinstance(value, dict):
            for key, inner in value.items():
                self.note(inner, str(key), place)
        elif isinstance(value, list):
            for inner in value[:KEPT]:
                self.note(inner, name, place)
        elif isinstance(value, str | int | float) and name:
            for kind in {name, f"{place}/{name}"}:
                known = self._known.setdefault(kind, deque(maxlen=KEPT))
                if value not in known:
                    known.append(value)

    def put_into(self, parameters: object, place: str) -> bool:
        """Replace some parameters of a request by known values. Return whether any was replaced."""
        if not isinstance(parameters, dict):
            return False
        replaced = False
        for name in list(parameters):
            known = list(self._known.get(f"{place}/{name}", ())) if self._chance.random() < _OFTEN else []
            known = known or self._of_any(name)
            if known and self._chance.random() < _OFTEN:
                value = self._chance.choice(known)
                parameters[name] = [value] if isinstance(parameters[name], list) else value
                replaced = True
        return replaced

    def _of_any(self, name: str) -> list[Any]:
        return [value for kind in (name, *_ALSO.get(name, ())) for value in self._known.get(kind, ())]
