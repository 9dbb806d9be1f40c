"""The data centre under load: its own process on one side, stock Telethon clients in this one on the other."""

import asyncio
import contextlib
import json
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psutil
from telethon import TelegramClient, functions
from telethon.crypto import AuthKey, rsa
from telethon.sessions import MemorySession

from bench.report import Report
from sandbox.keys import derived_auth_key
from sandbox.world import AccountSpec, ChatSpec, World

SENDERS = 50
SECONDS = 5.0
ROUNDS = 3  # the best counts: other programs on the machine only ever take away
HANDSHAKES = 40
CONNECTED = 1_000


class DataCentre:
    """The process under load, looked at from outside."""

    def __init__(self, pid: int, facts: dict[str, Any]) -> None:
        self.pid = pid
        self.facts = facts

    def cpu_seconds(self) -> float:
        """What it has used so far."""
        used = psutil.Process(self.pid).cpu_times()
        return used.user + used.system

    def resident_kib(self) -> float:
        """What it occupies now."""
        return psutil.Process(self.pid).memory_info().rss / 1024


def trust(public_key: str) -> None:
    """Have Telethon take the data centre's key for one of Telegram's."""
    rsa.add_key(Path(public_key).read_text(encoding="ascii"), old=False)


@contextlib.asynccontextmanager
async def data_centre(world: World) -> AsyncIterator[DataCentre]:
    """`run.py sandbox` with this world."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "world.json"
        path.write_text(json.dumps(world.as_dict()), encoding="utf-8")
        options = ["--json", "--world", str(path), "--folder", folder]
        process = await asyncio.create_subprocess_exec(
            sys.executable, "run.py", "sandbox", *options, stdout=asyncio.subprocess.PIPE
        )
        try:
            assert process.stdout is not None
            facts = json.loads(await process.stdout.readline())
            trust(facts["public_key"])
            yield DataCentre(process.pid, facts)
        finally:
            process.send_signal(signal.SIGTERM)
            await process.wait()


def world_of(accounts: int) -> World:
    """Accounts with a group each, so that nobody gets anybody else's news."""
    return World(
        accounts=[AccountSpec(f"acc{number:04d}") for number in range(accounts)],
        chats=[ChatSpec(f"plaza{number:04d}", members=[f"acc{number:04d}"]) for number in range(accounts)],
    )


class Poster(TelegramClient):  # type: ignore[misc]  # Telethon ships no types
    """A client that posts and wants no news: it throws away what comes back with its own messages."""

    async def _update_loop(self) -> None:
        while self.is_connected():
            await self._updates_queue.get()


def client_for(centre: DataCentre, account: str | None) -> Any:
    """A stock client, with a ready key or none."""
    session = MemorySession()
    session.set_dc(centre.facts["dc_id"], centre.facts["host"], centre.facts["port"])
    if account is not None:
        session.auth_key = AuthKey(derived_auth_key(1, account))
    return Poster(session, 1, "hash", receive_updates=False)


async def sends(centre: DataCentre) -> tuple[float, float]:
    """Messages a second from 50 clients, and the data centre's CPU seconds for one."""
    clients = [client_for(centre, f"acc{number:04d}") for number in range(SENDERS)]
    await asyncio.gather(*(client.connect() for client in clients))
    peers = [await client.get_input_entity(f"plaza{number:04d}") for number, client in enumerate(clients)]
    ends = time.perf_counter() + SECONDS
    counts = [0] * SENDERS

    async def send(place: int) -> None:
        client, peer = clients[place], peers[place]
        while time.perf_counter() < ends:
            await client(functions.messages.SendMessageRequest(peer, f"message {counts[place]}"))
            counts[place] += 1

    used, began = centre.cpu_seconds(), time.perf_counter()
    await asyncio.gather(*(send(place) for place in range(SENDERS)))
    took, used = time.perf_counter() - began, centre.cpu_seconds() - used
    await asyncio.gather(*(client.disconnect() for client in clients))
    return sum(counts) / took, used / sum(counts)


async def handshakes(centre: DataCentre) -> tuple[float, float]:
    """Key exchanges a second one after the other, and how many a second the data centre's CPU would allow."""
    clients = [client_for(centre, None) for _ in range(HANDSHAKES)]
    used, began = centre.cpu_seconds(), time.perf_counter()
    for client in clients:
        await client.connect()
    took, used = time.perf_counter() - began, centre.cpu_seconds() - used
    await asyncio.gather(*(client.disconnect() for client in clients))
    return HANDSHAKES / took, HANDSHAKES / used


async def memory(centre: DataCentre) -> tuple[float, float]:
    """KiB the data centre keeps a connected client, and connects a second."""
    first = client_for(centre, "acc0000")
    await first.connect()
    before = centre.resident_kib()
    clients = [client_for(centre, f"acc{number:04d}") for number in range(1, CONNECTED)]
    began = time.perf_counter()
    for start in range(0, len(clients), 50):
        await asyncio.gather(*(client.connect() for client in clients[start : start + 50]))
    took = time.perf_counter() - began
    kept = (centre.resident_kib() - before) / len(clients)
    await asyncio.gather(*(client.disconnect() for client in [first, *clients]))
    return kept, len(clients) / took


async def _run() -> Report:
    report = Report("sandbox", ("figure", "value", "unit"))
    async with data_centre(world_of(CONNECTED)) as centre:
        kept, connects = await memory(centre)
    async with data_centre(world_of(SENDERS)) as centre:
        rounds = [await sends(centre) for _ in range(ROUNDS)]
    rate, cost = max(rate for rate, _ in rounds), min(cost for _, cost in rounds)
    async with data_centre(world_of(SENDERS)) as centre:
        exchanges, possible = await handshakes(centre)
    report.row("sends, 50 clients", rate, "1/s")
    report.row("data centre's CPU a send", cost * 1e6, "µs")
    report.row("key exchanges, one client after the other", exchanges, "1/s")
    report.row("key exchanges the data centre alone could do", possible, "1/s")
    report.row("data centre's memory a connected client", kept, "KiB")
    report.row("connects with ready keys", connects, "1/s")
    report.target("sends_per_s_50", rate, ">=", 4_000)
    report.target("handshakes_per_s", exchanges, ">=", 12)
    report.target("server_kib_per_client_1000", kept, "<=", 20)
    report.target("cpu_us_per_send", cost * 1e6, "<=", 400)
    return report


def run(_argv: list[str]) -> Report:
    """Bench the data centre."""
    return asyncio.run(_run())
