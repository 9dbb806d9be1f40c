"""What the `session` commands work with: the rooms about accounts, on the state folder of the settings."""

import contextlib
import sqlite3
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import NoReturn

import typer

from bot.health import Health
from core.clock import Clock, SystemClock
from core.errors import PostfleetError
from core.settings import Settings, load_settings
from data.data_manager import DataManager
from data.journal_reads import SessionPosts, posts_by_session
from data.journal_schema import JOURNAL_FILE
from sessions.client import Clients
from sessions.enrol import Logins
from sessions.imports import Importer
from sessions.pool import Pool
from sessions.session_manager import SessionManager
from sessions.vault import Vault


@dataclass(frozen=True)
class SessionParts:
    """The rooms about accounts."""

    settings: Settings
    store: DataManager
    pool: Pool
    sessions: SessionManager
    clients: Clients
    logins: Logins
    importer: Importer
    health: Health
    clock: Clock

    def posts_today(self, now: datetime) -> dict[str, SessionPosts]:
        """What each session posted today; the daemon's journal is only looked at."""
        path = self.settings.state_dir / JOURNAL_FILE
        today = now.replace(hour=0, minute=0, second=0, microsecond=0)
        try:
            with contextlib.closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as connection:
                return posts_by_session(connection, self.store.snapshot.users, today)
        except sqlite3.Error:  # no journal yet
            return {}


@contextlib.asynccontextmanager
async def session_parts() -> AsyncIterator[SessionParts]:
    """Open them beside a daemon that may be running on the same folder, and close them.

    Raises:
        PostfleetError: a setting is wrong, or the state cannot be used.
    """
    settings = load_settings()
    clock = SystemClock()
    store = DataManager.open(settings.state_dir, clock)
    try:
        pool = Pool(settings.state_dir, Vault.open(settings.state_dir, settings.vault_key), store, clock)
        sessions = SessionManager(settings, store, pool, clock)
        clients = Clients(settings, pool)
        logins = Logins(sessions, clients, clock)
        try:
            yield SessionParts(
                settings=settings,
                store=store,
                pool=pool,
                sessions=sessions,
                clients=clients,
                logins=logins,
                importer=Importer(store, pool, sessions, clock),
                health=Health(store, sessions, clients, clock),
                clock=clock,
            )
        finally:
            await logins.close()
    finally:
        await store.close()


@contextlib.contextmanager
def clear_errors() -> Iterator[None]:
    """Our errors as one line on standard error and exit code 1."""
    try:
        yield
    except PostfleetError as error:
        fail(str(error))
    except KeyboardInterrupt:
        fail("given up")


def fail(text: str) -> NoReturn:
    """Say what is wrong and leave with exit code 1."""
    typer.echo(f"postfleet: {text}", err=True)
    sys.exit(1)
