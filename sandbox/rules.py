"""Fault rules: which calls go wrong, how and how often. The same seed makes the same calls go wrong."""

import re
from collections import Counter
from dataclasses import dataclass, field, fields
from fnmatch import fnmatchcase
from random import Random
from typing import Any

WAYS = ("error", "drop_before", "drop_after", "hang_up_before", "hang_up_after", "silent", "ignore", "delay")


def fits(pattern: str, name: str) -> bool:
    """Whether a name is meant; most patterns are plain names, of which there may be thousands."""
    if pattern in {"*", name}:
        return True
    return any(wild in pattern for wild in "*?[") and fnmatchcase(name, pattern)


class RuleError(ValueError):
    """A rule that cannot be; the message names the field."""


@dataclass
class Rule:
    """One rule, as `POST /faults` takes it."""

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
        """Refuse what makes no sense."""
        if self.do not in WAYS:
            raise RuleError(f"do: {self.do!r} is none of {', '.join(WAYS)}")
        if self.do == "error" and not re.fullmatch(r"[A-Za-z0-9_]+", self.error):
            raise RuleError("error: name an RPC error such as FLOOD_WAIT_30, or say what to `do` instead")
        if not 0 <= self.probability <= 1:
            raise RuleError("probability: must be between 0 and 1")
        if self.after < 0 or (self.count is not None and self.count < 1) or self.seconds < 0:
            raise RuleError("after and seconds must not be negative, count must be at least 1")

    @property
    def spent(self) -> bool:
        """Whether it has struck as often as it may."""
        return self.count is not None and self.hits >= self.count

    def strikes(self, seed: int, account: str, method: str, chat: str) -> bool:
        """Whether this call goes wrong; counts it either way."""
        if self.spent or not (fits(self.account, account) and fits(self.method, method) and fits(self.chat, chat)):
            return False
        if self._passed < self.after:
            self._passed += 1
            return False
        if self.probability < 1:
            # drawn a call of an account, so that it does not depend on how accounts interleave
            self._tries[account] += 1
            if Random(f"{seed}/{self.id}/{account}/{self._tries[account]}").random() >= self.probability:
                return False
        self.hits += 1
        return True

    def as_dict(self) -> dict[str, Any]:
        """As the control channel shows it."""
        return {entry.name: getattr(self, entry.name) for entry in fields(self) if not entry.name.startswith("_")}


_FIELDS = {entry.name for entry in fields(Rule)} - {"id", "hits", "_passed", "_tries"}
_TYPES: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("error", "do", "account", "method", "chat"), (str,)),
    **dict.fromkeys(("after", "count", "code"), (int,)),
    **dict.fromkeys(("probability", "seconds"), (int, float)),
}


class Rules:
    """All rules of a running world, in the order they were added; the first that strikes wins."""

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
            raise RuleError(f"unknown field {unknown[0]!r}; known are {', '.join(sorted(_FIELDS))}")
        for name, value in raw.items():
            if value is None and name in {"count", "code"}:
                continue
            if not isinstance(value, _TYPES[name]) or isinstance(value, bool):
                raise RuleError(f"{name}: {value!r} is not of the right kind")
        rule = Rule(**raw, id=self._next)
        self._rules[rule.id] = rule
        self._next += 1
        return rule

    def remove(self, rule_id: int | None = None) -> int:
        """Remove one rule, or all; how many went."""
        if rule_id is not None:
            return 0 if self._rules.pop(rule_id, None) is None else 1
        removed = len(self._rules)
        self._rules.clear()
        return removed

    def __bool__(self) -> bool:
        return bool(self._rules)

    def all(self) -> list[Rule]:
        """Every rule, spent ones too."""
        return list(self._rules.values())

    def strike(self, account: str, method: str, chat: str) -> Rule | None:
        """The rule this call falls to, if any."""
        return next((rule for rule in self._rules.values() if rule.strikes(self._seed, account, method, chat)), None)
