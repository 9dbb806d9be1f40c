"""What the sync state has to ask of the journal's file: the allowance, and how posts fare in each group.

Both are read at most so often while somebody looks, so that a bot that posts fast makes no dashboard read fast.
"""

from dataclasses import dataclass
from datetime import timedelta

from api.parts import Parts
from bot.allowance import budget_of
from core.models import AllowanceUse, Budget, Stats, User
from data.journal_reads import Counts

ALLOWANCE_SECONDS = 1.0
"""The allowance that is shown is at most so old while posts come to their ends …"""
FACTS_SECONDS = 60.0
"""… and everything is at most so old, whatever happened."""
GROUP_DAYS = 30

Mark = tuple[Stats, int, int]
"""What moves whenever an allowance or a group's figures may have: counters, newest event, the cycle that runs."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What was read, and when, in monotonic seconds."""

    mark: Mark
    budget: Budget
    allowance: AllowanceUse
    read_at: float
    groups: dict[str, Counts]
    groups_read_at: float


def mark_of(parts: Parts, user_id: str) -> Mark:
    """As it is now."""
    progress = parts.bots.progress(user_id)
    return parts.journal.stats(user_id), parts.journal.last_event_id(user_id), progress.cycle if progress else 0


async def read_facts(parts: Parts, user_id: str, user: User, before: Facts | None) -> Facts:
    """What is known still where that is new enough, read again where not. Raises StateError."""
    now = parts.clock.now()
    mark, budget, read_at = mark_of(parts, user_id), budget_of(user, parts.settings, now), parts.clock.monotonic()
    if before is not None and before.budget == budget:
        most = FACTS_SECONDS if before.mark == mark else ALLOWANCE_SECONDS
        if read_at - before.read_at < most:
            return before
    allowance = await parts.journal.allowance(user_id, budget)
    if before is not None and read_at - before.groups_read_at < FACTS_SECONDS:
        return Facts(mark, budget, allowance, read_at, before.groups, before.groups_read_at)
    return Facts(mark, budget, allowance, read_at, await groups_lately(parts, user_id), read_at)


async def groups_lately(parts: Parts, user_id: str) -> dict[str, Counts]:
    """How posts fared in each group lately."""
    since = parts.clock.now() - timedelta(days=GROUP_DAYS)
    return {one.key: one for one in await parts.journal.counts(user_id, since, by_group=True)}


def facts_last(parts: Parts, user_id: str, facts: Facts) -> float:
    """Until when they may be shown, in monotonic seconds."""
    return facts.read_at + (FACTS_SECONDS if facts.mark == mark_of(parts, user_id) else ALLOWANCE_SECONDS)
