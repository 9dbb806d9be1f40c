"""A day of posting under the limits of a realistic world, in simulated time, beside a naive loop that only waits a
fixed delay: who is told to wait, and how much of what the limits allow is delivered?

Three users, each 4 accounts and 20 groups, some in slow mode and one closed to members, and a schedule of their own.
All settings are the defaults, but for the daily cap and the allowance, which are ours and no limits of the table. What
the cap would leave of each schedule is told beside.
"""

import argparse
import asyncio
import contextlib
import logging
import math
import tempfile
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from telethon import TelegramClient
from telethon.crypto import AuthKey
from telethon.errors import RPCError
from telethon.sessions import MemorySession

from bench.parts.simulated import SimulatedClock, SimulatedLoop
from bench.report import Report
from bot.cycle.planner import plan_cycle
from core.models import User
from core.settings import Settings
from sandbox.keys import derived_auth_key
from sandbox.limits import LIMITS
from sandbox.server import Sandbox
from sandbox.world import AccountSpec, ChatSpec, World
from tests.support.house import House, house_on

HOUR = 3600.0
SCHEDULES = {"hourly": HOUR, "brisk": 600.0, "eager": 60.0}
"""User → seconds between its cycles."""
ACCOUNTS, GROUPS = 4, 20
"""Of each user."""
SLOW_MODES = (10, 30, 60, 60, 300, 300, 900, 3600)
"""Of a user's groups; the others have none."""
ANSWER_SECONDS = 0.15
"""From a post to Telegram's answer."""
DEFAULTS: dict[str, Any] = {
    name: Settings.model_fields[name].default
    for name in ("send_timeout_seconds", "wait_patience_seconds", "group_gap_seconds")
}
_MEMORY = Path("/dev/shm")  # noqa: S108  only the folder in which a temporary one is made
DAILY_CAP: int = Settings.model_fields["daily_posts_per_account"].default


def world_of() -> World:
    """12 accounts, everyone a member of all 60 groups."""
    chats = []
    for user in SCHEDULES:
        slow = dict(enumerate(SLOW_MODES))
        chats += [ChatSpec(f"{user}{number:02d}", slow_mode=slow.get(number, 0)) for number in range(GROUPS)]
        chats[-1].default_banned = ["send_messages"]
    return World(
        limits="realistic",
        accounts=[AccountSpec(f"acc{number:02d}") for number in range(1, 1 + ACCOUNTS * len(SCHEDULES))],
        chats=chats,
        faults=[{"do": "delay", "method": "messages.sendMessage", "seconds": ANSWER_SECONDS}],
    )


def groups_of(user: str) -> list[str]:
    """As the user writes them."""
    return [f"@{user}{number:02d}" for number in range(GROUPS)]


@dataclass(frozen=True)
class Share:
    """Which account posts to which groups, how fast, and which of the groups let it."""

    plan: Mapping[str, list[str]]
    gap: float
    pause: float
    slow_modes: Mapping[str, int]
    closed: frozenset[str]

    def allowed(self, seconds: float) -> int:
        """Posts the limits leave of this schedule at best: to each group one a cycle or, where the table or its slow
        mode asks for longer, one as soon as that is over. A cycle is at best its shortest: nobody waits but between
        posts, and no time is spent on groups that are too slow for every cycle."""
        quick = [sum(self.slow_modes[group] <= self.pause for group in groups) for groups in self.plan.values()]
        cycle = self.pause + self.gap * (max(quick) - 1)
        table = max(LIMITS["group"].seconds / LIMITS["group"].calls, LIMITS["chat"].seconds / LIMITS["chat"].calls)
        return sum(
            1 + math.floor(seconds / max(cycle, table, slow_mode))
            for group, slow_mode in self.slow_modes.items()
            if group not in self.closed
        )


@dataclass(frozen=True)
class Outcome:
    """What the data centre saw of one user's accounts."""

    delivered: int
    floods: int
    limited: int
    """Accounts that Telegram would not let post any more."""


def outcomes(sandbox: Sandbox, shares: Mapping[str, Share]) -> dict[str, Outcome]:
    """By user."""
    report = sandbox.report()
    limited = sandbox.centre.limits.peer_flood
    return {
        user: Outcome(
            sum(report["chats"][group.removeprefix("@")]["count"] for group in groups_of(user)),
            sum(report["floods"].get(account, 0) for account in share.plan),
            len(limited & set(share.plan)),
        )
        for user, share in shares.items()
    }


async def begin(house: House) -> dict[str, Share]:
    """Three users with their accounts and groups; who posts where."""
    shares = {}
    for user, pause in SCHEDULES.items():
        defaults = User()
        await house.add_user(
            user, groups_of(user), delay_between_posts=defaults.delay_between_posts, delay_between_cycles=pause
        )
        sessions = await house.give_sessions(user)
        planned = plan_cycle(house.user(user), house.store.snapshot.sessions, house.parts.clock.now()).sessions
        chats = {f"@{chat.username}": chat for chat in house.sandbox.world.chats}
        shares[user] = Share(
            plan={name: [group for group in planned if planned[group] == name] for name in sessions},
            gap=defaults.delay_between_posts,
            pause=pause,
            slow_modes={group: int(chats[group].slow_mode) for group in groups_of(user)},
            closed=frozenset(group for group in groups_of(user) if chats[group].default_banned),
        )
    return shares


async def bots(house: House, seconds: float) -> None:
    """Postfleet at work for so long."""
    ticking = asyncio.create_task(house.scheduler.run())
    for user in SCHEDULES:
        await house.bots.start(user)
    await asyncio.sleep(seconds)
    await house.scheduler.leave(60.0)
    await ticking


async def naive(sandbox: Sandbox, shares: Mapping[str, Share], seconds: float) -> None:
    """The same accounts, groups and delays; a stock client with Telethon's own defaults, and a loop that goes on
    whatever it is told."""
    async with asyncio.timeout(seconds + 1e-3), asyncio.TaskGroup() as loops:
        for share in shares.values():
            for account, groups in share.plan.items():
                loops.create_task(_naive_loop(sandbox, account, groups, share))


async def _naive_loop(sandbox: Sandbox, account: str, groups: Sequence[str], share: Share) -> None:
    session = MemorySession()
    session.set_dc(sandbox.dc_id, *sandbox.address)
    session.auth_key = AuthKey(derived_auth_key(sandbox.world.seed, account))
    client = TelegramClient(session, 1, "hash", receive_updates=False)
    await client.connect()
    try:
        while True:
            for group in groups:
                client._flood_waited_requests.clear()  # noqa: SLF001  it keeps them by the machine's clock
                with contextlib.suppress(RPCError, ValueError):
                    await client.send_message(group, "Hello")
                await asyncio.sleep(share.gap)
            await asyncio.sleep(share.pause - share.gap)
    finally:
        await client.disconnect()


@dataclass(frozen=True)
class Day:
    """Both sides of the same time."""

    seconds: float
    shares: Mapping[str, Share]
    ours: Mapping[str, Outcome]
    theirs: Mapping[str, Outcome]
    told_floods: int
    """Flood waits in our own counters: they must be the data centre's."""

    def share_of_allowed(self, user: str) -> float:
        """Delivered of what the limits allow."""
        return self.ours[user].delivered / self.shares[user].allowed(self.seconds)


async def _day(folder: Path, clock: SimulatedClock, seconds: float) -> Day:
    async with _sandbox(folder / "dc", clock) as ours, _sandbox(folder / "naive", clock) as theirs:
        chosen = DEFAULTS | {"tick_seconds": 60.0, "sessions_at_start": ACCOUNTS, "daily_posts_per_account": 1_000_000}
        chosen |= {"posts_per_day": 1_000_000, "posts_per_month": 1_000_000}
        async with house_on(folder, ours, clock=clock, **chosen) as house:
            shares = await begin(house)
            side_by_side: list[Awaitable[None]] = [bots(house, seconds), _until_over(naive(theirs, shares, seconds))]
            await asyncio.gather(*side_by_side)
            floods = sum(house.journal.stats(user).total_flood_waits for user in SCHEDULES)
            return Day(seconds, shares, outcomes(ours, shares), outcomes(theirs, shares), floods)


async def _until_over(endless: Awaitable[None]) -> None:
    with contextlib.suppress(TimeoutError):
        await endless


@contextlib.asynccontextmanager
async def _sandbox(folder: Path, clock: SimulatedClock) -> AsyncIterator[Sandbox]:
    sandbox = Sandbox(world_of(), folder=folder, control_port=None, clock=clock)
    await sandbox.start()
    try:
        yield sandbox
    finally:
        await sandbox.stop()


def simulate(hours: float) -> Day:
    """So many simulated hours."""
    loops: list[SimulatedLoop] = []

    def make() -> SimulatedLoop:
        loops.append(SimulatedLoop())
        return loops[0]

    memory = _MEMORY if _MEMORY.is_dir() else None  # nothing here is about the disk, and it would take most of the time
    with tempfile.TemporaryDirectory(dir=memory) as folder, asyncio.Runner(loop_factory=make) as runner:
        runner.get_loop()
        return runner.run(_day(Path(folder), SimulatedClock(loops[0]), hours * HOUR))


def report_of(day: Day) -> Report:
    """The table and the figures."""
    shares, ours, theirs = day.shares, list(day.ours.values()), list(day.theirs.values())
    allowed = [share.allowed(day.seconds) for share in shares.values()]
    most = math.ceil(day.seconds / (24 * HOUR)) * ACCOUNTS * DAILY_CAP
    report = Report("day", (f"{day.seconds / HOUR:g} simulated hours", *shares))
    report.row("a cycle every", *(f"{share.pause:g} s" for share in shares.values()))
    report.row("posts the limits allow", *allowed)
    report.row("Postfleet: delivered", *(outcome.delivered for outcome in ours))
    report.row("share of allowed", *(f"{day.share_of_allowed(user):.1%}" for user in shares))
    report.row("floods", *(outcome.floods for outcome in ours))
    report.row("naive loop: delivered", *(outcome.delivered for outcome in theirs))
    report.row("floods", *(outcome.floods for outcome in theirs))
    report.row(f"accounts of {ACCOUNTS} limited for good", *(outcome.limited for outcome in theirs))
    report.row(f"what a daily cap of {DAILY_CAP} leaves of the allowed", *(min(posts, most) for posts in allowed))
    report.target("floods_caused", max(sum(outcome.floods for outcome in ours), day.told_floods), "==", 0)
    report.target("share_of_allowed", min(map(day.share_of_allowed, shares)), ">=", 0.95)
    report.target("naive_floods", sum(outcome.floods for outcome in theirs), ">=", 1)
    report.target("delivered", sum(outcome.delivered for outcome in ours))
    report.target("naive_delivered", sum(outcome.delivered for outcome in theirs))
    return report


def run(argv: list[str]) -> Report:
    """Simulate a day."""
    parser = argparse.ArgumentParser(prog="python -m bench day")
    parser.add_argument("--hours", type=float, default=24.0, help="simulated")
    hours = parser.parse_args(argv).hours
    logging.disable(logging.WARNING)  # every post that slow mode leaves out is a line
    return report_of(simulate(hours))
