"""The sandbox under load: it runs in a process of its own, stock Telethon clients in this one."""

import asyncio
import time
from typing import Any

from telethon import TelegramClient, functions

from bench.report import Report
from bench.support.data_centre import DataCentre, data_centre
from sandbox.world import AccountSpec, ChatSpec, World

SENDERS = 50
SECONDS = 5.0
ROUNDS = 3  # the best one counts: other programs on the machine can only slow it down
HANDSHAKES = 40
CONNECTED = 1_000


def world_of(accounts: int) -> World:
    """Return a world of accounts with a group each, so that nobody gets updates about others."""
    return World(
        accounts=[AccountSpec(f"acc{number:04d}") for number in range(accounts)],
        chats=[ChatSpec(f"plaza{number:04d}", members=[f"acc{number:04d}"]) for number in range(accounts)],
    )


class Poster(TelegramClient):  # type: ignore[misc]  # Telethon ships no types
    """A client that throws away the updates that come back with its own messages."""

    async def _update_loop(self) -> None:
        while self.is_connected():
            await self._updates_queue.get()


def client_for(centre: DataCentre, account: str | None) -> Any:
    """Return a client, with the account's key or none."""
    return Poster(centre.session(account), 1, "hash", receive_updates=False)


async def sends(centre: DataCentre) -> tuple[float, float]:
    """Return messages a second from 50 clients, and the data centre's CPU seconds per message."""
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
    """Return key exchanges a second, made one after the other, and how many a second the data centre's CPU allows."""
    clients = [client_for(centre, None) for _ in range(HANDSHAKES)]
    used, began = centre.cpu_seconds(), time.perf_counter()
    for client in clients:
        await client.connect()
    took, used = time.perf_counter() - began, centre.cpu_seconds() - used
    await asyncio.gather(*(client.disconnect() for client in clients))
    return HANDSHAKES / took, HANDSHAKES / used


async def memory(centre: DataCentre) -> tuple[float, float]:
    """Return the data centre's KiB per connected client, and connects a second."""
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
    async with data_centre(world_of(CONNECTED).as_dict()) as centre:
        kept, connects = await memory(centre)
    async with data_centre(world_of(SENDERS).as_dict()) as centre:
        rounds = [await sends(centre) for _ in range(ROUNDS)]
    rate, cost = max(rate for rate, _ in rounds), min(cost for _, cost in rounds)
    async with data_centre(world_of(SENDERS).as_dict()) as centre:
        exchanges, possible = await handshakes(centre)
    report.row("sends, 50 clients", rate, "1/s")
    report.row("data centre's CPU per send", cost * 1e6, "µs")
    report.row("key exchanges, one client after the other", exchanges, "1/s")
    report.row("key exchanges the data centre alone could do", possible, "1/s")
    report.row("data centre's memory per connected client", kept, "KiB")
    report.row("connects with ready keys", connects, "1/s")
    report.target("sends_per_s_50", rate, ">=", 4_000)
    report.target("handshakes_per_s", exchanges, ">=", 12)
    report.target("server_kib_per_client_1000", kept, "<=", 20)
    report.target("cpu_us_per_send", cost * 1e6, "<=", 400)
    return report


def run(_argv: list[str]) -> Report:
    """Measure the data centre."""
    return asyncio.run(_run())
