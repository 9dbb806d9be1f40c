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

    def note(self, value: object, name: str = "") -> None:
        """Take in whatever an answer holds."""
        if isinstance(value, dict):
            for key, inner in value.items():
                self.note(inner, str(key))
        elif isinstance(value, list):
            for inner in value[:KEPT]:
                self.note(inner, name)
        elif isinstance(value, str | int | float) and not isinstance(value, bool) and name:
            known = self._known.setdefault(name, deque(maxlen=KEPT))
            if value not in known:
                known.append(value)

    def put_into(self, parameters: object) -> bool:
        """Replace some of these parameters or fields by what is known; whether any was."""
        if not isinstance(parameters, dict):
            return False
        replaced = False
        for name in list(parameters):
            known = [value for kind in (name, *_ALSO.get(name, ())) for value in self._known.get(kind, ())]
            if known and self._chance.random() < _OFTEN:
                parameters[name] = self._chance.choice(known)
                replaced = True
        return replaced
