"""Fault rules: which calls fail, how and how often. The same seed makes the same calls fail."""

import re
from collections import Counter
from dataclasses import dataclass, field, fields
from fnmatch import fnmatchcase
from random import Random
from typing import Any

FAULTS = ("error", "drop_before", "drop_after", "hang_up_before", "hang_up_after", "silent", "ignore", "delay")


def matches(pattern: str, name: str) -> bool:
    """Return whether a pattern matches a name."""
    # Most patterns are plain names, and there may be thousands of them: compare before parsing wildcards.
    if pattern in {"*", name}:
        return True
    return any(wild in pattern for wild in "*?[") and fnmatchcase(name, pattern)


class RuleError(ValueError):
    """The rule is not valid. The message names the field."""


@dataclass
class Rule:
    """One rule, with the fields of `POST /faults`."""

    error: str = ""
    do: str = "error"
    account: str = "*"
    method: str = "*"
    chat: str = "*"
    after: int = 0
    count: int | None = None
    probability: float = 1.0
    seconds: float = 0.0
    code: int | None = None
    id: int = 0
    hits: int = 0
    _passed: int = field(default=0, repr=False)
    _tries: Counter[str] = field(default_factory=Counter, repr=False)

    def __post_init__(self) -> None:
        """Validate. Raises RuleError."""
        if self.do not in FAULTS:
            raise RuleError(f"do: {self.do!r} is not one of {', '.join(FAULTS)}")
        if self.do == "error" and not re.fullmatch(r"[A-Za-z0-9_]+", self.error):
            raise RuleError("error: name an RPC error such as FLOOD_WAIT_30, or set `do` to another kind of fault")
        if not 0 <= self.probability <= 1:
            raise RuleError("probability: must be between 0 and 1")
        if self.after < 0 or (self.count is not None and self.count < 1) or self.seconds < 0:
            raise RuleError("after and seconds must not be negative, count must be at least 1")

    @property
    def spent(self) -> bool:
        """Return whether the rule has reached its `count`."""
        return self.count is not None and self.hits >= self.count

    def strikes(self, seed: int, account: str, method: str, chat: str) -> bool:
        """Count a call and return whether the rule makes it fail."""
        if self.spent or not (
            matches(self.account, account) and matches(self.method, method) and matches(self.chat, chat)
        ):
            return False
        if self._passed < self.after:
            self._passed += 1
            return False
        if self.probability < 1:
            # Each account draws from its own sequence, so the outcome does not depend on how accounts interleave.
            self._tries[account] += 1
            if Random(f"{seed}/{self.id}/{account}/{self._tries[account]}").random() >= self.probability:
                return False
        self.hits += 1
        return True

    def as_dict(self) -> dict[str, Any]:
        """Return the rule as the control channel shows it."""
        return {entry.name: getattr(self, entry.name) for entry in fields(self) if not entry.name.startswith("_")}


_FIELDS = {entry.name for entry in fields(Rule)} - {"id", "hits", "_passed", "_tries"}
_TYPES: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("error", "do", "account", "method", "chat"), (str,)),
    **dict.fromkeys(("after", "count", "code"), (int,)),
    **dict.fromkeys(("probability", "seconds"), (int, float)),
}


class Rules:
    """All rules of a running world in the order they were added. The first that matches a call wins."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._rules: dict[int, Rule] = {}
        self._next = 1

    def add(self, raw: object) -> Rule:
        """Add a rule from plain values. Raises RuleError."""
        if not isinstance(raw, dict):
            raise RuleError("a rule must be a mapping")
        unknown = sorted(set(raw) - _FIELDS)
        if unknown:
            raise RuleError(f"unknown field {unknown[0]!r}; the known fields are {', '.join(sorted(_FIELDS))}")
        for name, value in raw.items():
            if value is None and name in {"count", "code"}:
                continue
            if not isinstance(value, _TYPES[name]) or isinstance(value, bool):
                raise RuleError(f"{name}: {value!r} has the wrong type")
        rule = Rule(**raw, id=self._next)
        self._rules[rule.id] = rule
        self._next += 1
        return rule

    def remove(self, rule_id: int | None = None) -> int:
        """Remove one rule, or all of them, and return how many were removed."""
        if rule_id is not None:
            return 0 if self._rules.pop(rule_id, None) is None else 1
        removed = len(self._rules)
        self._rules.clear()
        return removed

    def __bool__(self) -> bool:
        return bool(self._rules)

    def all(self) -> list[Rule]:
        """Return every rule, including those that reached their `count`."""
        return list(self._rules.values())

    def strike(self, account: str, method: str, chat: str) -> Rule | None:
        """Return the rule that makes this call fail, if any."""
        return next((rule for rule in self._rules.values() if rule.strikes(self._seed, account, method, chat)), None)
