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
from core.errors import PostfleetError, StateInUse, StateLocked
from core.settings import Settings, load_settings
from data.data_manager import DataManager
from data.files import LOCK_TIMEOUT, locked, make_folder
from data.journal_reads import SessionPosts, posts_by_session
from data.journal_schema import JOURNAL_FILE
from sessions.client import Clients
from sessions.enrol import Logins
from sessions.imports import Importer
from sessions.pool import Pool
from sessions.session_manager import SessionManager
from sessions.vault import Vault

_COMMANDS_LOCK = "commands.lock"
"""Held by every `session` command: shared, but alone by the one that seals all files anew."""


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
async def session_parts(*, alone: bool = False) -> AsyncIterator[SessionParts]:
    """Open them beside a daemon that may be running on the same folder, and close them.

    Raises:
        PostfleetError: a setting is wrong, the state cannot be used, or another `session` command is at work while this
            one has to be `alone`.
    """
    settings = load_settings()
    make_folder(settings.state_dir)
    with contextlib.ExitStack() as lock:
        try:
            lock.enter_context(
                locked(settings.state_dir / _COMMANDS_LOCK, timeout=0 if alone else LOCK_TIMEOUT, shared=not alone)
            )
        except StateLocked as error:
            raise StateInUse(
                "another session command works on these accounts; run this again when it is done"
            ) from error
        async with _opened(settings) as parts:
            yield parts


@contextlib.asynccontextmanager
async def _opened(settings: Settings) -> AsyncIterator[SessionParts]:
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
