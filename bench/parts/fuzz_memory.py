"""What the API told before, put into later requests: what was made is read, changed and deleted."""

import random
from collections import deque
from typing import Any

KEPT = 30
"""Of each kind of value, the newest."""
_OFTEN = 0.6
# Where a value that came under one name is asked for under another.
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
    """Scalars of answers by the name they came under."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)
        self._known: dict[str, deque[Any]] = {}

    def note(self, value: object, name: str = "", place: str = "") -> None:
        """Take in whatever an answer of that resource holds."""
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
        """Replace some of these parameters or fields of that resource by what is known; whether any was."""
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
