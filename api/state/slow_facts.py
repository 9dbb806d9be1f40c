"""The parts of the sync state that are read from the journal's file: the allowance, and how posts fare in each group.

The time between two reads has a lower bound, so that a bot that posts fast makes no dashboard read fast.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Generic, TypeVar

from api.backend import Backend
from bot.pacing.budget import budget_of
from core.models import AllowanceUse, Budget, Stats, User
from data.journal.reads import Counts

ALLOWANCE_SECONDS = 1.0
"""How old the shown allowance may be while posts end."""
FACTS_SECONDS = 60.0
"""How old any shown fact may be."""
GROUP_DAYS = 30
_SHARE = 20
"""Counting the posts of a user with many groups takes long. It takes one part in so many of the time at most."""

T = TypeVar("T")
Mark = tuple[Stats, int, int]
"""Moves whenever an allowance or a group's figures may have: counters, newest event, running cycle."""


@dataclass(frozen=True, slots=True)
class CachedRead(Generic[T]):
    """What was read, and the mark and the time (monotonic seconds) of the read."""

    found: T
    mark: Mark
    at: float
    least: float
    """Seconds for which it is not read again although the mark has moved."""

    def lasts(self, mark: Mark) -> float:
        """Return until when it may be shown, in monotonic seconds, given the current mark."""
        return self.at + (FACTS_SECONDS if self.mark == mark else self.least)


@dataclass(frozen=True, slots=True)
class SlowFacts:
    """The allowance and the figures of the groups, each as it was read."""

    budget: Budget
    allowance: CachedRead[AllowanceUse]
    groups: CachedRead[dict[str, Counts]]


def mark_of(backend: Backend, user_id: str) -> Mark:
    """Return the current mark."""
    progress = backend.bots.progress(user_id)
    return backend.journal.stats(user_id), backend.journal.last_event_id(user_id), progress.cycle if progress else 0


async def read_facts(backend: Backend, user_id: str, user: User, before: SlowFacts | None) -> SlowFacts:
    """Return what was read before where it is new enough, and read the rest again. Raises StateError."""
    mark, budget = mark_of(backend, user_id), budget_of(user, backend.settings, backend.clock.now())
    now = backend.clock.monotonic()
    allowance = before.allowance if before is not None and before.budget == budget else None
    if allowance is None or now >= allowance.lasts(mark):
        allowance = CachedRead(await backend.journal.allowance(user_id, budget), mark, now, ALLOWANCE_SECONDS)
    groups = before.groups if before is not None else None
    if groups is None or now >= groups.lasts(mark):
        found = await groups_lately(backend, user_id)
        took = backend.clock.monotonic() - now
        groups = CachedRead(found, mark, now, min(FACTS_SECONDS, max(ALLOWANCE_SECONDS, _SHARE * took)))
    return SlowFacts(budget, allowance, groups)


async def groups_lately(backend: Backend, user_id: str) -> dict[str, Counts]:
    """Return how posts fared in each group over the last `GROUP_DAYS` days. Raises StateError."""
    since = backend.clock.now() - timedelta(days=GROUP_DAYS)
    return {one.key: one for one in await backend.journal.counts(user_id, since, by_group=True)}


def facts_last(backend: Backend, user_id: str, facts: SlowFacts) -> float:
    """Return until when the facts may be shown, in monotonic seconds."""
    mark = mark_of(backend, user_id)
    return min(facts.allowance.lasts(mark), facts.groups.lasts(mark))
