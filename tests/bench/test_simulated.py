"""Simulated time: a day of waiting takes a moment, and what is done meanwhile takes none of it."""

import asyncio
import time
from datetime import timedelta

import pytest

from bench.support.simulated import START, SimulatedClock, SimulatedLoop


def test_a_day_passes_in_a_moment_and_timers_keep_their_order() -> None:
    loop = SimulatedLoop()
    clock = SimulatedClock(loop)
    order: list[str] = []

    async def wait(name: str, hours: float) -> None:
        await clock.sleep(hours * 3600)
        order.append(name)

    async def both() -> None:
        await asyncio.gather(wait("late", 24), wait("early", 1))

    loop.run_until_complete(both())
    loop.close()
    assert order == ["early", "late"]
    assert timedelta(days=1) < clock.now() - START < timedelta(days=1, seconds=0.001), "timers come a moment late"
    assert clock.time() - START.timestamp() == pytest.approx(clock.monotonic())


def test_no_time_passes_while_bytes_travel_or_a_thread_would_work() -> None:
    loop = SimulatedLoop()

    async def talk() -> bytes:
        async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(await reader.readline())
            await writer.drain()
            writer.close()
            await writer.wait_closed()

        alarm = loop.call_later(3600, lambda: None)
        async with await asyncio.start_server(echo, "127.0.0.1") as server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            await asyncio.to_thread(time.sleep, 0.01)
            writer.write(b"hello\n")
            answer = await reader.readline()
            writer.close()
            await writer.wait_closed()
        alarm.cancel()
        return answer

    assert loop.run_until_complete(talk()) == b"hello\n"
    assert loop.time() == 0
    loop.close()
