"""The parts of this room together, for the rooms above that serve people."""

import asyncio
from collections.abc import Collection
from dataclasses import dataclass

from core.clock import Clock
from data.journal.journal import Journal
from data.users.data_manager import DataManager
from sessions.accounts import Account, accounts
from sessions.client import Clients
from sessions.logins import Logins
from sessions.pool import Pool, Repair
from sessions.session_manager import SessionManager


@dataclass(frozen=True)
class AccountServices:
    """Everything about accounts."""

    store: DataManager
    journal: Journal
    pool: Pool
    sessions: SessionManager
    clients: Clients
    logins: Logins
    clock: Clock

    async def every(self, viewer: str | None, posting: Collection[str] = ()) -> list[Account]:
        """The accounts this user may see and how each is; all of them for None. `posting`: those at work in a cycle."""
        snapshot, now = await self.store.refresh(), self.clock.now()
        today = now.replace(hour=0, minute=0, second=0, microsecond=0)
        users = snapshot.users if viewer is None else {viewer} & snapshot.users.keys()
        posts = await self.journal.posts_by_session(users, today)
        return accounts(snapshot, now, viewer, posts, posting)

    async def repair(self) -> Repair:
        """Take in what lies in available/ and let every file follow users.json, without holding up anybody."""
        return await asyncio.to_thread(self.pool.repair)
