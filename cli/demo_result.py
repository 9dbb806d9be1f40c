"""The demo's result: what was planned, held against what the data centre's chats really hold."""

import asyncio
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from core.clock import SystemClock
from core.models import Delivery, Stats
from data.data_manager import DataManager
from data.journal import Journal

_ALL = 1_000_000


@dataclass(frozen=True)
class UserResult:
    """One user's share. `missing` was planned but stands in no chat; `duplicates` stand there more than once."""

    groups: int
    cycles: int
    planned: int
    delivered: int
    duplicates: int
    missing: int
    flood_waits: int
    replaced_sessions: int

    @property
    def ok(self) -> bool:
        """Every group got every post exactly once."""
        return self.cycles > 0 and self.delivered == self.planned > 0 and self.duplicates == self.missing == 0


@dataclass(frozen=True)
class Result:
    """Everybody's."""

    users: dict[str, UserResult]

    @property
    def ok(self) -> bool:
        """Whether it is all as it should be."""
        return bool(self.users) and all(user.ok for user in self.users.values())

    def as_json(self) -> dict[str, Any]:
        """The line that `--json` prints."""
        return {"ok": self.ok, "users": {name: asdict(user) for name, user in self.users.items()}}


def take_stock(state_dir: Path, report: dict[str, Any], groups: dict[str, list[str]]) -> Result:
    """Compare the journal's plan with the chats, by random_id and by chat, after the daemon has stopped."""
    return asyncio.run(_take_stock(state_dir, report, groups))


async def _take_stock(state_dir: Path, report: dict[str, Any], groups: dict[str, list[str]]) -> Result:
    journal = Journal.open(state_dir)
    store = DataManager.open(state_dir, SystemClock())
    try:
        users = {}
        for user, wanted in groups.items():
            deliveries = await journal.deliveries(user, limit=_ALL)
            replaced = sum(ban.replaced_by is not None for ban in store.snapshot.users[user].banned_sessions)
            users[user] = _count(report, wanted, deliveries, journal.stats(user), replaced)
        return Result(users)
    finally:
        await store.close()
        await journal.close()


def _count(
    report: dict[str, Any], groups: list[str], deliveries: list[Delivery], stats: Stats, replaced: int
) -> UserResult:
    chats: dict[str, Any] = report["chats"]
    cycles = {delivery.cycle for delivery in deliveries}
    # Every group in every cycle: what the daemon itself left out counts as planned, and so as missing.
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
        # Only this user posts to these groups, so whatever nobody planned is a double of something that was.
        duplicates=sum(stand.values()) - delivered,
        missing=len(planned) - delivered,
        flood_waits=stats.total_flood_waits,
        replaced_sessions=replaced,
    )
