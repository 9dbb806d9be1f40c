"""The services of this room, put together in one place."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass

from core.clock import Clock
from core.settings import Settings
from data.disk.files import Disk
from data.journal.journal import Journal
from data.users.data_manager import DataManager
from sessions.connections.client import Clients
from sessions.files.pool import Pool, Repair
from sessions.keys.vault import Vault
from sessions.logins.logins import Logins
from sessions.roster.accounts import Account, accounts
from sessions.session_manager import SessionManager


@dataclass(frozen=True, kw_only=True)
class AccountServices:
    """Everything about accounts."""

    settings: Settings
    clock: Clock
    store: DataManager
    pool: Pool
    sessions: SessionManager
    clients: Clients
    logins: Logins

    async def every(self, journal: Journal, viewer: str | None, posting: Collection[str] = ()) -> list[Account]:
        """Return the accounts this user may see and how each is; all of them for None.

        `posting` are the accounts that are at work in a cycle.
        """
        snapshot, now = await self.store.refresh(), self.clock.now()
        today = now.replace(hour=0, minute=0, second=0, microsecond=0)
        users = snapshot.users if viewer is None else {viewer} & snapshot.users.keys()
        posts = await journal.posts_by_session(users, today)
        return accounts(snapshot, now, viewer, posts, posting)

    async def repair(self) -> Repair:
        """Take in what lies in available/ and let every file follow users.json, without holding up anybody."""
        return await asyncio.to_thread(self.pool.repair)


@contextlib.asynccontextmanager
async def open_accounts(
    settings: Settings,
    clock: Clock,
    *,
    disk: Disk | None = None,
    pool_class: type[Pool] = Pool,
    manager_class: type[SessionManager] = SessionManager,
) -> AsyncIterator[AccountServices]:
    """Open users.json, the vault and the services over them; close them at the end.

    Raises:
        StateError: the state cannot be read, or the vault's key is missing.
    """
    store = DataManager.open(settings.state_dir, clock, disk=disk)
    try:
        pool = pool_class(settings.state_dir, Vault.open(settings.state_dir, settings.vault_key), store, clock)
        sessions = manager_class(settings, store, pool, clock)
        clients = Clients(settings, pool)
        logins = Logins(sessions, clients, clock)
        try:
            yield AccountServices(
                settings=settings,
                clock=clock,
                store=store,
                pool=pool,
                sessions=sessions,
                clients=clients,
                logins=logins,
            )
        finally:
            await logins.close()
            await clients.close()
    finally:
        await store.close()
