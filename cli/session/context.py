"""The services of the `session` commands, on the state folder of the settings."""

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import msgspec

from bot.health import Checkup, Health
from cli.ask_daemon import ask_daemon
from cli.state_folder import settings_of_state
from core.clock import Clock, SystemClock
from core.errors import PostfleetError, StateInUse, StateLocked
from core.settings import Settings
from data.disk.files import LOCK_TIMEOUT, locked
from data.disk.inventory import JOURNAL_FILE
from data.journal.reads import SessionPosts, posts_by_session
from data.users.data_manager import DataManager
from sessions.account_services import open_accounts
from sessions.connections.client import Clients
from sessions.files.pool import Pool
from sessions.imports import Importer
from sessions.logins.logins import Logins
from sessions.session_manager import SessionManager

_COMMANDS_LOCK = "commands.lock"
"""Every `session` command holds this lock shared. The one that seals all files anew holds it alone."""


@dataclass(frozen=True)
class CommandServices:
    """The services of the commands about accounts."""

    settings: Settings
    store: DataManager
    pool: Pool
    sessions: SessionManager
    clients: Clients
    logins: Logins
    importer: Importer
    health: Health
    clock: Clock

    async def check(self, name: str) -> Checkup:
        """Ask Telegram about an account, through the daemon if that works with it.

        Raises:
            UnknownSession: there is none of that name.
        """
        found = await self.health.check(name)
        if found.alive is None:
            with contextlib.suppress(PostfleetError):  # no daemon, or one that does not know either
                answer = await asyncio.to_thread(ask_daemon, self.settings, "POST", f"/api/sessions/{name}/check")
                return msgspec.convert(answer.json(), Checkup)
        return found

    def posts_today(self, now: datetime) -> dict[str, SessionPosts]:
        """Return what each session posted today, read from the daemon's journal."""
        path = self.settings.state_dir / JOURNAL_FILE
        today = now.replace(hour=0, minute=0, second=0, microsecond=0)
        try:
            with contextlib.closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as connection:
                return posts_by_session(connection, self.store.snapshot.users, today)
        except sqlite3.Error:  # no journal yet
            return {}


@contextlib.asynccontextmanager
async def open_command_services(state_dir: Path | None, *, alone: bool = False) -> AsyncIterator[CommandServices]:
    """Open the services on this folder, or that of the settings, also beside a running daemon. Close them at the end.

    Raises:
        PostfleetError: a setting is wrong, there is no state or it cannot be used, or another `session` command is at
            work while this one has to be `alone`.
    """
    settings = settings_of_state(state_dir)
    with contextlib.ExitStack() as lock:
        try:
            lock.enter_context(
                locked(settings.state_dir / _COMMANDS_LOCK, timeout=0 if alone else LOCK_TIMEOUT, shared=not alone)
            )
        except StateLocked as error:
            raise StateInUse(
                "another session command works on these accounts; run this again when it is done"
            ) from error
        # Without the journal: a daemon may be writing it.
        async with open_accounts(settings, SystemClock()) as opened:
            yield CommandServices(
                settings=settings,
                store=opened.store,
                pool=opened.pool,
                sessions=opened.sessions,
                clients=opened.clients,
                logins=opened.logins,
                importer=Importer(opened.store, opened.pool, opened.sessions, opened.clock),
                health=Health(opened.store, opened.sessions, opened.clients, opened.clock),
                clock=opened.clock,
            )
