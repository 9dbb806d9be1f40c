"""A day of posting under the limits of a realistic world, in simulated time, beside a naive loop with a fixed delay.

Who gets flood waits, and how much of what the limits allow is delivered? Each of three users has 4 accounts, 20 groups
(some in slow mode, one closed to members) and a schedule. Every setting has its default except the daily cap and the
allowance, because those are limits of ours and not of Telegram. A row of the table shows what the cap would leave.
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

from bench.report import Report
from bench.support.simulated import SimulatedClock, SimulatedLoop
from bot.cycle.planner import AccountSet, plan_cycle
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
RESPONSE_SECONDS = 0.15
"""From a request to Telegram's response."""
DEFAULTS: dict[str, Any] = {
    name: Settings.model_fields[name].default
    for name in ("send_timeout_seconds", "wait_patience_seconds", "group_gap_seconds")
}
_MEMORY = Path("/dev/shm")  # noqa: S108  a temporary folder is made in it
DAILY_CAP: int = Settings.model_fields["daily_posts_per_account"].default


def world_of() -> World:
    """Return a world of 12 accounts that are members of all 60 groups."""
    chats = []
    for user in SCHEDULES:
        slow = dict(enumerate(SLOW_MODES))
        chats += [ChatSpec(f"{user}{number:02d}", slow_mode=slow.get(number, 0)) for number in range(GROUPS)]
        chats[-1].default_banned = ["send_messages"]
    return World(
        limits="realistic",
        accounts=[AccountSpec(f"acc{number:02d}") for number in range(1, 1 + ACCOUNTS * len(SCHEDULES))],
        chats=chats,
        faults=[{"do": "delay", "method": "messages.sendMessage", "seconds": RESPONSE_SECONDS}],
    )


def groups_of(user: str) -> list[str]:
    """Return the groups as the user writes them."""
    return [f"@{user}{number:02d}" for number in range(GROUPS)]


@dataclass(frozen=True)
class Programme:
    """Which account posts to which groups, how fast, and which groups allow it."""

    plan: Mapping[str, list[str]]
    gap: float
    pause: float
    slow_modes: Mapping[str, int]
    closed: frozenset[str]

    def allowed(self, seconds: float) -> int:
        """Return the most posts that the limits allow this schedule.

        Each group gets one post a cycle, or one as soon as its slow mode and Telegram's limits are over when those last
        longer. The cycle is as short as it can be: it waits only between posts, and spends no time on groups that are
        too slow for every cycle.
        """
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
    """What one user's accounts did, by the data centre's report."""

    delivered: int
    floods: int
    limited: int
    """Accounts with a peer flood, which may not post any more."""


def outcomes(sandbox: Sandbox, programmes: Mapping[str, Programme]) -> dict[str, Outcome]:
    """Return the outcome of each user."""
    report = sandbox.report()
    limited = sandbox.centre.limits.peer_flood
    return {
        user: Outcome(
            sum(report["chats"][group.removeprefix("@")]["count"] for group in groups_of(user)),
            sum(report["floods"].get(account, 0) for account in programme.plan),
            len(limited & set(programme.plan)),
        )
        for user, programme in programmes.items()
    }


async def begin(house: House) -> dict[str, Programme]:
    """Add the three users with their accounts and groups. Return the programme of each."""
    programmes = {}
    for user, pause in SCHEDULES.items():
        defaults = User()
        await house.add_user(
            user, groups_of(user), delay_between_posts=defaults.delay_between_posts, delay_between_cycles=pause
        )
        sessions = await house.give_sessions(user)
        accounts = AccountSet({name: house.store.snapshot.sessions[name] for name in sessions})
        planned = plan_cycle(accounts, groups_of(user), house.services.clock.now()).sessions
        chats = {f"@{chat.username}": chat for chat in house.sandbox.world.chats}
        programmes[user] = Programme(
            plan={name: [group for group in planned if planned[group] == name] for name in sessions},
            gap=defaults.delay_between_posts,
            pause=pause,
            slow_modes={group: int(chats[group].slow_mode) for group in groups_of(user)},
            closed=frozenset(group for group in groups_of(user) if chats[group].default_banned),
        )
    return programmes


async def bots(house: House, seconds: float) -> None:
    """Let Postfleet post for that long."""
    ticking = asyncio.create_task(house.scheduler.run())
    for user in SCHEDULES:
        await house.bots.start(user)
    await asyncio.sleep(seconds)
    await house.scheduler.leave(60.0)
    await ticking


async def naive(sandbox: Sandbox, programmes: Mapping[str, Programme], seconds: float) -> None:
    """Post with the same accounts, groups and delays, but stock clients and a loop that ignores every error."""
    async with asyncio.timeout(seconds + 1e-3), asyncio.TaskGroup() as loops:
        for programme in programmes.values():
            for account, groups in programme.plan.items():
                loops.create_task(_naive_loop(sandbox, account, groups, programme))


async def _naive_loop(sandbox: Sandbox, account: str, groups: Sequence[str], programme: Programme) -> None:
    session = MemorySession()
    session.set_dc(sandbox.dc_id, *sandbox.address)
    session.auth_key = AuthKey(derived_auth_key(sandbox.world.seed, account))
    client = TelegramClient(session, 1, "hash", receive_updates=False)
    await client.connect()
    try:
        while True:
            for group in groups:
                client._flood_waited_requests.clear()  # noqa: SLF001  Telethon times them by the machine's clock
                with contextlib.suppress(RPCError, ValueError):
                    await client.send_message(group, "Hello")
                await asyncio.sleep(programme.gap)
            await asyncio.sleep(programme.pause - programme.gap)
    finally:
        await client.disconnect()


@dataclass(frozen=True)
class Day:
    """The outcomes of both sides."""

    seconds: float
    programmes: Mapping[str, Programme]
    ours: Mapping[str, Outcome]
    theirs: Mapping[str, Outcome]
    counted_floods: int
    """Flood waits in our own counters, which must equal the data centre's."""

    def share_of_allowed(self, user: str) -> float:
        """Return the part of the allowed posts that was delivered."""
        return self.ours[user].delivered / self.programmes[user].allowed(self.seconds)


async def _day(folder: Path, clock: SimulatedClock, seconds: float) -> Day:
    async with _sandbox(folder / "dc", clock) as ours, _sandbox(folder / "naive", clock) as theirs:
        chosen = DEFAULTS | {"tick_seconds": 60.0, "sessions_at_start": ACCOUNTS, "daily_posts_per_account": 1_000_000}
        chosen |= {"posts_per_day": 1_000_000, "posts_per_month": 1_000_000}
        async with house_on(folder, ours, clock=clock, **chosen) as house:
            programmes = await begin(house)
            side_by_side: list[Awaitable[None]] = [
                bots(house, seconds),
                _until_over(naive(theirs, programmes, seconds)),
            ]
            await asyncio.gather(*side_by_side)
            floods = sum(house.journal.stats(user).total_flood_waits for user in SCHEDULES)
            return Day(seconds, programmes, outcomes(ours, programmes), outcomes(theirs, programmes), floods)


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
    """Simulate that many hours."""
    loops: list[SimulatedLoop] = []

    def make() -> SimulatedLoop:
        loops.append(SimulatedLoop())
        return loops[0]

    memory = _MEMORY if _MEMORY.is_dir() else None  # the disk is not measured, and would take most of the time
    with tempfile.TemporaryDirectory(dir=memory) as folder, asyncio.Runner(loop_factory=make) as runner:
        runner.get_loop()
        return runner.run(_day(Path(folder), SimulatedClock(loops[0]), hours * HOUR))


def report_of(day: Day) -> Report:
    """Return the table and the figures."""
    programmes, ours, theirs = day.programmes, list(day.ours.values()), list(day.theirs.values())
    allowed = [programme.allowed(day.seconds) for programme in programmes.values()]
    most = math.ceil(day.seconds / (24 * HOUR)) * ACCOUNTS * DAILY_CAP
    report = Report("day", (f"{day.seconds / HOUR:g} simulated hours", *programmes))
    report.row("a cycle every", *(f"{programme.pause:g} s" for programme in programmes.values()))
    report.row("posts the limits allow", *allowed)
    report.row("Postfleet: delivered", *(outcome.delivered for outcome in ours))
    report.row("share of allowed", *(f"{day.share_of_allowed(user):.1%}" for user in programmes))
    report.row("floods", *(outcome.floods for outcome in ours))
    report.row("naive loop: delivered", *(outcome.delivered for outcome in theirs))
    report.row("floods", *(outcome.floods for outcome in theirs))
    report.row(f"accounts of {ACCOUNTS} limited for good", *(outcome.limited for outcome in theirs))
    report.row(f"what a daily cap of {DAILY_CAP} leaves of the allowed", *(min(posts, most) for posts in allowed))
    report.target("floods_caused", max(sum(outcome.floods for outcome in ours), day.counted_floods), "==", 0)
    report.target("share_of_allowed", min(map(day.share_of_allowed, programmes)), ">=", 0.95)
    report.target("naive_floods", sum(outcome.floods for outcome in theirs), ">=", 1)
    report.target("delivered", sum(outcome.delivered for outcome in ours))
    report.target("naive_delivered", sum(outcome.delivered for outcome in theirs))
    return report


def run(argv: list[str]) -> Report:
    """Simulate a day."""
    parser = argparse.ArgumentParser(prog="python -m bench day")
    parser.add_argument("--hours", type=float, default=24.0, help="simulated")
    hours = parser.parse_args(argv).hours
    logging.disable(logging.WARNING)  # each post that slow mode skips logs a line
    return report_of(simulate(hours))
