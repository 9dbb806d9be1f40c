"""The demo's result: the plan compared with the messages that the data centre's chats really hold."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from core.clock import SystemClock
from core.models import Delivery
from data.journal.journal import Journal
from data.users.data_manager import DataManager

_ALL = 1_000_000


@dataclass(frozen=True)
class UserResult:
    """One user's result. `missing` posts were planned and are in no chat; `duplicates` are there more than once."""

    groups: int
    cycles: int
    planned: int
    delivered: int
    duplicates: int
    missing: int
    flood_waits: int = 0
    replaced_sessions: int = 0

    @property
    def ok(self) -> bool:
        """Whether every group got every post exactly once."""
        return self.cycles > 0 and self.delivered == self.planned > 0 and self.duplicates == self.missing == 0


@dataclass(frozen=True)
class Result:
    """The results of all users."""

    users: dict[str, UserResult]

    @property
    def ok(self) -> bool:
        """Whether every user's result is right."""
        return bool(self.users) and all(user.ok for user in self.users.values())

    def as_json(self) -> dict[str, Any]:
        """Return the line that `--json` prints."""
        return {"ok": self.ok, "users": {name: asdict(user) for name, user in self.users.items()}}


@dataclass(frozen=True)
class Earlier:
    """What was in the state folder before this demo and does not count."""

    ended: frozenset[int] = frozenset()
    """Deliveries that had ended."""
    flood_waits: Mapping[str, int] = field(default_factory=dict)
    replaced: Mapping[str, int] = field(default_factory=dict)


def take_earlier(state_dir: Path, users: Iterable[str]) -> Earlier:
    """Return what earlier demos left. Call it while no daemon runs."""
    return asyncio.run(_take_earlier(state_dir, users))


async def _take_earlier(state_dir: Path, users: Iterable[str]) -> Earlier:
    ended: set[int] = set()
    flood_waits, replaced = {}, {}
    async with _opened(state_dir) as (journal, store):
        for user in users:
            found = await journal.deliveries(user, limit=_ALL)
            ended |= {delivery.id for delivery in found if delivery.finished_at is not None}
            flood_waits[user] = journal.stats(user).total_flood_waits
            replaced[user] = _replaced(store, user)
    return Earlier(frozenset(ended), flood_waits, replaced)


def take_stock(state_dir: Path, report: dict[str, Any], groups: dict[str, list[str]], earlier: Earlier) -> Result:
    """Compare the journal's plan with the chats, by random_id and by chat, after the daemon has stopped."""
    return asyncio.run(_take_stock(state_dir, report, groups, earlier))


async def _take_stock(
    state_dir: Path, report: dict[str, Any], groups: dict[str, list[str]], earlier: Earlier
) -> Result:
    users = {}
    async with _opened(state_dir) as (journal, store):
        for user, wanted in groups.items():
            found = await journal.deliveries(user, limit=_ALL)
            planned = [delivery for delivery in found if delivery.id not in earlier.ended]
            counted = _count(report, wanted, planned)
            users[user] = replace(
                counted,
                flood_waits=journal.stats(user).total_flood_waits - earlier.flood_waits.get(user, 0),
                replaced_sessions=_replaced(store, user) - earlier.replaced.get(user, 0),
            )
    return Result(users)


@contextlib.asynccontextmanager
async def _opened(state_dir: Path) -> AsyncIterator[tuple[Journal, DataManager]]:
    store = DataManager.open(state_dir, SystemClock())
    journal = Journal.open(state_dir)
    try:
        yield journal, store
    finally:
        await store.close()
        await journal.close()


def _replaced(store: DataManager, user: str) -> int:
    known = store.snapshot.users.get(user)
    return sum(ban.replaced_by is not None for ban in known.banned_sessions) if known else 0


def _count(report: dict[str, Any], groups: list[str], deliveries: list[Delivery]) -> UserResult:
    chats: dict[str, Any] = report["chats"]
    cycles = {delivery.cycle for delivery in deliveries}
    # Every group in every cycle. A post that the daemon left out counts as planned, and so as missing.
    planned = {(delivery.group, delivery.random_id) for delivery in deliveries}
    stand: Counter[tuple[str, int]] = Counter(
        (group, message["random_id"]) for group in groups for message in chats[group.removeprefix("@")]["messages"]
    )
    delivered = sum(key in stand for key in planned)
    return UserResult(
        groups=len(groups),
        cycles=len(cycles),
        planned=len(planned),
        delivered=delivered,
        # Only this user posts to these groups, so an unplanned message is a double of a planned one.
        duplicates=sum(stand.values()) - delivered,
        missing=len(planned) - delivered,
    )
