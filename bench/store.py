"""Durable updates a second by the store, beside other designs in the same run.

    python -m bench store [--quick] [--seconds S]

Every design holds the same users and makes the same update: one field of a random user, durable before the call
returns. Only ratios within one run can be compared between machines.
"""

import argparse
import asyncio
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from bench.report import Report
from bench.support.store_designs import (
    DESIGNS,
    Design,
    GroupedSqlite,
    Idle,
    Naive,
    Ours,
    Raw,
    outcomes_per_second,
    seconds_to_start,
)

_STALL_TICK = 0.001


@dataclass(frozen=True)
class Pace:
    """The result of one measurement."""

    per_second: float
    p99_ms: float
    stall_p99_ms: float


def run(argv: list[str]) -> Report:
    """Measure everything. It takes about three minutes, a third of that with --quick."""
    parser = argparse.ArgumentParser(prog="python -m bench store")
    parser.add_argument("--seconds", type=float, default=1.5, help="length of each measurement")
    parser.add_argument("--quick", action="store_true", help="only the targets, without the table")
    options = parser.parse_args(argv)
    report = Report("store", ("users", "callers", "design", "updates/s", "p99 ms", "loop stall p99 ms"))
    for users in () if options.quick else (100, 1000, 10_000):
        for callers in (1, 64, 1000):
            for design in DESIGNS:
                pace = measure(design, users, callers, options.seconds)
                report.row(users, callers, design.name, pace.per_second, pace.p99_ms, pace.stall_p99_ms)
    _targets(report, options.seconds)
    return report


def measure(design: type[Design], users: int, callers: int, seconds: float) -> Pace:
    """Measure one design in a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        made = design(Path(folder), users)
        try:
            return asyncio.run(_load(made.update, made.close, users, callers, seconds))
        finally:
            made.remove()


async def _load(
    update: Callable[[str], Awaitable[None]],
    close: Callable[[], Awaitable[None]],
    users: int,
    callers: int,
    seconds: float,
) -> Pace:
    taken: list[float] = []
    stalls: list[float] = []
    began = time.perf_counter()
    end = began + seconds

    async def caller(number: int) -> None:
        choose = random.Random(number)
        while (start := time.perf_counter()) < end:
            await update(f"user{choose.randrange(users)}")
            taken.append(time.perf_counter() - start)

    async def watch() -> None:
        while (start := time.perf_counter()) < end:
            await asyncio.sleep(_STALL_TICK)
            stalls.append(time.perf_counter() - start - _STALL_TICK)

    working = [asyncio.create_task(caller(number)) for number in range(callers)]
    await watch()
    took, done = time.perf_counter() - began, list(taken)
    await close()  # a slow design need not finish what is still queued
    await asyncio.gather(*working)
    return Pace(len(done) / took, _p99(done) * 1000, _p99(stalls) * 1000)


def _p99(values: list[float]) -> float:
    return sorted(values)[int(len(values) * 0.99)] if values else 0.0


def _targets(report: Report, seconds: float) -> None:
    report.target("vs_naive_1k_64", _against(Naive, 64, 3, seconds), ">=", 500)
    report.target("vs_sqlite_1k_64", _against(GroupedSqlite, 64, 5, seconds), ">=", 0.3)
    report.target("vs_naive_1k_1", _against(Naive, 1, 3, seconds), ">=", 8)
    report.target("vs_raw_1k_1", _against(Raw, 1, 7, seconds / 2), ">=", 0.6)
    stalls = []
    for _ in range(5):
        stalls.append(measure(Ours, 10_000, 64, seconds).stall_p99_ms)
        report.row("", "", "an idle loop, for comparison", 0.0, 0.0, measure(Idle, 1, 1, seconds).stall_p99_ms)
    report.target("stall_p99_ms_10k", statistics.median(stalls), "<=", 5)
    report.target("start_10k_s", seconds_to_start(10_000, 100_000), "<=", 1.5)
    journal = statistics.median(outcomes_per_second(64, seconds) for _ in range(3))
    report.target("journal_per_s_64", journal, ">=", 10_000)


def _against(other: type[Design], callers: int, turns: int, seconds: float) -> float:
    """Return our rate divided by another design's, at 1,000 users.

    The two take turns, because a machine's speed changes, and the median of the turns counts. A design that finished no
    update in its turn counts as having made one.
    """
    ratios = []
    for _ in range(turns):
        ours = measure(Ours, 1000, callers, seconds).per_second
        ratios.append(ours / max(1 / seconds, measure(other, 1000, callers, seconds).per_second))
    return statistics.median(ratios)


if __name__ == "__main__":
    sys.exit(0 if run(sys.argv[1:]).ok else 1)
