"""Posts a second through the whole path, beside a bare Telethon loop on the same data centre; the cost of an account.

The accounts are in the same groups, as they are in practice. A stock client gets an update about every message of every
other account, which is most of its work.
"""

import argparse
import asyncio
import contextlib
import logging
import random
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import psutil
from msgspec.structs import replace
from telethon import TelegramClient

from bench.report import Report
from bench.support.data_centre import DataCentre, data_centre
from bot.cycle.run import CycleControl, CycleServices, StopReason
from bot.cycle.runner import CycleRunner
from core.clock import SystemClock
from core.models import User
from core.settings import Settings, load_settings
from data.users.data_manager import Transaction
from sandbox.keys import derived_auth_key, write_session_file
from scheduler.services import open_services

ACCOUNTS = 50
GROUPS = 40
USERS = 8
CONNECTED = 1000
IDLE_SECONDS = 10.0
AT_ONCE = 100
SECRET = "".join(random.Random(1).choices("abcdefghijklmnopqrstuvwxyz0123456789", k=48))
PAIRS = ",".join(f"{1000 + number}:{number:032x}" for number in range(200))


def run(argv: list[str]) -> Report:
    """Post for `--seconds` on each side."""
    options = argparse.ArgumentParser()
    options.add_argument("--seconds", type=float, default=5.0)
    seconds = options.parse_args(argv).seconds
    report = Report("post", ["what", "figure"])
    logging.getLogger("postfleet.events").setLevel(logging.CRITICAL)
    asyncio.run(_cost(report))  # first, because memory is measured in a fresh process
    asyncio.run(_throughput(report, seconds))
    return report


async def _throughput(report: Report, seconds: float) -> None:
    async with data_centre(_world(ACCOUNTS, GROUPS)) as centre:
        bare = await _bare(centre, seconds)
        ours = await _ours(centre, seconds)
    report.row("bare Telethon, posts/s, 50 accounts", bare)
    report.row("the whole path, posts/s, 50 accounts", ours)
    report.target("vs_bare_50", ours / bare, ">=", 1.0)


async def _bare(centre: DataCentre, seconds: float) -> float:
    """Post as a script does: stock clients, each sending to one group after the other."""
    clients = [TelegramClient(centre.session(f"acc{number:04d}"), 1, "hash") for number in range(ACCOUNTS)]
    await asyncio.gather(*(client.connect() for client in clients))
    peers = await asyncio.gather(
        *(asyncio.gather(*(client.get_input_entity(f"plaza{n:04d}") for n in range(GROUPS))) for client in clients)
    )
    before, began = _messages(centre), time.perf_counter()

    async def send(client: Any, mine: list[Any]) -> None:
        while True:
            for peer in mine:
                await client.send_message(peer, "Meeting on Thursday")

    tasks = [asyncio.create_task(send(client, mine)) for client, mine in zip(clients, peers, strict=True)]
    await asyncio.sleep(seconds)
    took, sent = time.perf_counter() - began, _messages(centre) - before
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.gather(*(client.disconnect() for client in clients))
    return sent / took


async def _ours(centre: DataCentre, seconds: float) -> float:
    """Run every user's cycles one after the other. The journal gets each post before and after it is sent."""
    with tempfile.TemporaryDirectory() as folder:
        async with _services(Path(folder), centre.facts, ACCOUNTS) as services:
            names = [f"acc{number:04d}" for number in range(ACCOUNTS)]
            users = {f"user{number}": tuple(names[number::USERS]) for number in range(USERS)}
            await services.store.transact(lambda tx: _hand_out(tx, users))
            cycles = CycleRunner(services)
            for user in users:  # the first cycle connects and looks up groups, which a bot does once
                await cycles.execute(await cycles.begin(user, CycleControl()))
            controls: list[CycleControl] = []

            async def post(user: str) -> None:
                while not ended:
                    controls.append(CycleControl())
                    await cycles.execute(await cycles.begin(user, controls[-1]))

            ended = False
            before, began = _messages(centre), time.perf_counter()
            tasks = [asyncio.create_task(post(user)) for user in users]
            await asyncio.sleep(seconds)
            took, sent = time.perf_counter() - began, _messages(centre) - before
            ended = True
            for control in controls:
                control.end(StopReason.STOPPED)
            await asyncio.gather(*tasks)
            return sent / took


def _hand_out(tx: Transaction, users: dict[str, tuple[str, ...]]) -> None:
    groups = tuple(f"@plaza{number:04d}" for number in range(GROUPS))
    for number, (user, names) in enumerate(users.items()):
        for name in names:
            tx.put_session(name, replace(tx.session(name), api_id=1000 + number))
        tx.put_user(
            user,
            User(
                assigned_sessions=names,
                api_pairs=(1000 + number,),
                groups=groups,
                post_content="Meeting on Thursday",
                delay_between_posts=0.0,
            ),
        )


async def _cost(report: Report) -> None:
    """Measure a thousand accounts that are connected and idle."""
    async with data_centre(_world(CONNECTED, 1)) as centre:
        with tempfile.TemporaryDirectory() as folder:
            async with _services(Path(folder), centre.facts, CONNECTED) as services:
                memory, files = _resident_kib(), _descriptors()
                gate = asyncio.Semaphore(AT_ONCE)

                async def touch(number: int) -> None:
                    async with gate, services.clients.connected(f"acc{number:04d}", 1000 + number // 7):
                        pass

                began = time.perf_counter()
                await asyncio.gather(*(touch(number) for number in range(CONNECTED)))
                took = time.perf_counter() - began
                assert services.clients.open == CONNECTED
                kib = (_resident_kib() - memory) / CONNECTED
                descriptors = (_descriptors() - files) / CONNECTED
                used, began = time.process_time(), time.perf_counter()
                await asyncio.sleep(IDLE_SECONDS)
                idle = (time.process_time() - used) / (time.perf_counter() - began) * 100
    report.row("seconds until 1,000 accounts are connected", took)
    report.row("memory of an idle connected account, KiB", kib)
    report.row("file descriptors of an account", descriptors)
    report.row("CPU of 1,000 idle accounts, % of a core", idle)
    report.target("kib_per_account", kib, "<=", 60)
    report.target("fds_per_account", descriptors, "<=", 1.01)  # all share one lock file
    report.target("connect_1000_s", took, "<=", 3)
    report.target("idle_cpu_pct_1000", idle, "<=", 1.5)


def _world(accounts: int, groups: int) -> dict[str, Any]:
    """Return a world with that many accounts, all of them in every group."""
    return {
        "accounts": [{"name": f"acc{number:04d}"} for number in range(accounts)],
        "chats": [{"username": f"plaza{number:04d}", "members": "all"} for number in range(groups)],
    }


@contextlib.asynccontextmanager
async def _services(folder: Path, facts: dict[str, Any], accounts: int) -> AsyncIterator[CycleServices]:
    """Open the services of a cycle, with a session file for each account."""
    available = folder / "sessions" / "available"
    available.mkdir(parents=True)
    for number in range(accounts):
        name = f"acc{number:04d}"
        where = (facts["dc_id"], facts["host"], facts["port"])
        write_session_file(available / f"{name}.session", derived_auth_key(1, name), *where)
    settings: Settings = load_settings(
        state_dir=folder,
        jwt_secret=SECRET,
        api_pairs=PAIRS,
        dc=facts["dc"],
        dc_public_key=facts["public_key"],
        group_gap_seconds=0,
        daily_posts_per_account=10**9,
        max_concurrent_sessions=CONNECTED,
    )
    async with open_services(settings, SystemClock()) as services:
        services.accounts.pool.take_in()
        yield services.cycle


def _messages(centre: DataCentre) -> int:
    """Return the number of messages in the chats, by the data centre's count of answered sends."""
    sends = httpx.get(f"{centre.facts['control']}/report", timeout=60).json()["accounts"].values()
    return sum(account["sends"] for account in sends)


def _resident_kib() -> float:
    return psutil.Process().memory_info().rss / 1024


def _descriptors() -> int:
    return psutil.Process().num_fds()
