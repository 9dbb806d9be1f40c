"""A whole Postfleet inside one test, without its API: real store and journal, real Telethon, a real data centre."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from bot.cycle.run import CycleControl, CycleServices
from bot.cycle.runner import CycleRunner
from core.clock import Clock, SystemClock
from core.models import Delivery, Event, User
from core.settings import Settings, load_settings
from data.journal.journal import Journal
from data.users.data_manager import DataManager
from sandbox.server import Sandbox
from sandbox.world import World, demo_world
from scheduler.bots import Bots
from scheduler.scheduler import Scheduler
from scheduler.services import open_services
from sessions.account_services import AccountServices
from sessions.files.pool import Pool

SECRET = "Zk3v9QpL7xW2mN8rT5yB1cD4fG6hJ0sA-uEiOq"
API_PAIRS = "1001:0123456789abcdef0123456789abcdef,1002:fedcba9876543210fedcba9876543210"
SOON = 20.0
"""Seconds within which what is waited for has to happen; it takes a fraction of that."""


@dataclass
class House:
    """Everything, and the questions tests ask."""

    sandbox: Sandbox
    settings: Settings
    store: DataManager
    journal: Journal
    accounts: AccountServices
    services: CycleServices
    cycles: CycleRunner
    scheduler: Scheduler
    bots: Bots

    @property
    def pool(self) -> Pool:
        """The session files."""
        return self.accounts.pool

    async def add_user(self, user_id: str, groups: list[str], **fields: Any) -> None:
        """A user who posts `Hello from USER` without pauses, once an hour."""
        user = User(
            groups=tuple(groups),
            post_content=f"Hello from {user_id}",
            delay_between_posts=0.0,
            delay_between_cycles=3600.0,
        )
        await self.store.transact(lambda tx: tx.put_user(user_id, replace(user, **fields)))

    async def change_user(self, user_id: str, **fields: Any) -> None:
        """Change some of a user's fields."""
        await self.store.transact(lambda tx: tx.put_user(user_id, replace(tx.user(user_id), **fields)))

    def user(self, user_id: str) -> User:
        """The user as the store has it."""
        return self.store.snapshot.users[user_id]

    async def give_sessions(self, user_id: str) -> tuple[str, ...]:
        """What the first start of a bot does."""
        await self.store.transact(lambda tx: self.services.sessions.assign_at_start(tx, user_id))
        self.pool.follow(self.store.snapshot)
        return self.user(user_id).assigned_sessions

    async def cycle(self, user_id: str, control: CycleControl | None = None) -> None:
        """Run one cycle to its end."""
        if not self.user(user_id).assigned_sessions:
            await self.give_sessions(user_id)
        async with asyncio.timeout(SOON):
            await self.cycles.execute(await self.cycles.begin(user_id, control or CycleControl()))

    def texts(self, group: str) -> list[str]:
        """The texts in a chat, by the data centre's report."""
        return [message["text"] for message in self.messages(group)]

    def messages(self, group: str) -> list[dict[str, Any]]:
        """The chat's messages, by the data centre's report."""
        found: list[dict[str, Any]] = self.sandbox.report()["chats"][group.removeprefix("@")]["messages"]
        return found

    async def deliveries(self, user_id: str) -> dict[str, Delivery]:
        """The newest delivery to each group."""
        return {delivery.group: delivery for delivery in reversed(await self.journal.deliveries(user_id))}

    def events(self, user_id: str) -> list[Event]:
        """The user's log, oldest first."""
        return list(reversed(self.journal.last_events(user_id)))

    def said(self, user_id: str) -> str:
        """Everything the user's log says."""
        return "\n".join(event.text for event in self.events(user_id))


@contextlib.asynccontextmanager
async def open_house(
    folder: Path, world: World | None = None, *, accounts: int = 4, groups: int = 6, **settings: Any
) -> AsyncIterator[House]:
    """Build it on an empty folder, or on one a house stood on before (then its data centre is new)."""
    sandbox = Sandbox(world or demo_world(accounts=accounts, groups=groups), folder=folder / "dc")
    await sandbox.start()
    try:
        async with house_on(folder, sandbox, **settings) as house:
            yield house
    finally:
        await sandbox.stop()


@contextlib.asynccontextmanager
async def house_on(
    folder: Path, sandbox: Sandbox, *, clock: Clock | None = None, **settings: Any
) -> AsyncIterator[House]:
    """The same on a data centre that runs already."""
    state = folder / "state"
    chosen: dict[str, Any] = {
        "api_pairs": API_PAIRS,
        "send_timeout_seconds": 5.0,
        "wait_patience_seconds": 3.0,
        "group_gap_seconds": 0,
        "network_patience_seconds": 0,
        "tick_seconds": 0.5,
        "least_cycle_delay_seconds": 0,
    }
    built = load_settings(
        state_dir=state,
        jwt_secret=SECRET,
        dc="{},{},{}".format(sandbox.dc_id, *sandbox.address),
        dc_public_key=sandbox.public_key_path,
        **(chosen | settings),
    )
    if not (state / "sessions").exists():
        (state / "sessions" / "available").mkdir(parents=True)
        for account in sandbox.world.accounts:
            sandbox.write_session(account.name, state / "sessions" / "available" / f"{account.name}.session")
    async with open_services(built, clock or SystemClock()) as services:
        services.accounts.pool.take_in()
        yield House(
            sandbox=sandbox,
            settings=built,
            store=services.accounts.store,
            journal=services.journal,
            accounts=services.accounts,
            services=services.cycle,
            cycles=services.cycles,
            scheduler=services.scheduler,
            bots=services.bots,
        )


async def until(condition: Callable[[], object], what: str) -> None:
    """Wait for something to become true, and say what when it does not."""
    deadline = asyncio.get_running_loop().time() + SOON
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, f"waited {SOON:g} s in vain for: {what}"
        await asyncio.sleep(0.01)
