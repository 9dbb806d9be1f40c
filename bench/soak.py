"""The daemon under load for a long time: does it keep growing? 100 users, 300 accounts, short delays, many faults.

The daemon and the data centre run in processes of their own, as anybody would start them. The bench measures the daemon
from outside: the system tells its memory and threads, the daemon its descriptors and tasks. Slopes are least squares
from minute 5 to the end, or over the second half of a shorter run.

What counts as flat: some 6,000 posts are made a minute, so one date kept for each (56 bytes with its place in a list)
grows the daemon by 340 KiB a minute, and one task kept for each fault by 12 tasks. The limits are below that. They are
not 0 because the allocator and SQLite's pages (up to 2 MiB a connection) fill up slowly, and because the number of
tasks swings by 150 with the cycles that run. Each account is disconnected every few minutes, as Telegram does. That
resets what Telethon remembers of a connection (the ids of its last 500 messages, against replays), and shows what a
closed client leaves behind.
"""

import argparse
import random
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil

from bench.report import Report
from tests.support.daemon import HTTP, DaemonProcess, SandboxProcess, whole_house

USERS = 100
ACCOUNTS_A_USER = 3
GROUPS = 60
GROUPS_A_USER = 6
MINUTES = 30.0
_WARM_MINUTES = 5.0
_FAULT_SECONDS = 5.0
_KICKED_PART = 30
"""One account in this many is disconnected with each fault: each account every 150 seconds on average."""
_PAIRS = ",".join(f"{number}:{number:032x}" for number in range(2001, 2060))
_SETTINGS = {
    "API_PAIRS": _PAIRS,
    "TICK_SECONDS": "2",
    "GROUP_GAP_SECONDS": "3",
    "SESSIONS_AT_START": str(ACCOUNTS_A_USER),
    "POSTS_PER_DAY": "1000000",
    "POSTS_PER_MONTH": "10000000",
    "DAILY_POSTS_PER_ACCOUNT": "1000000",
    "MAX_CONCURRENT_SESSIONS": "50",
    "RATE_PER_USER": "1000000/minute",
    "RATE_PER_ADDRESS": "1000000/minute",
    "LOG_LEVEL": "ERROR",  # nobody reads its standard error before the end, and the pipe must not fill up
}
_FAULTS: tuple[dict[str, Any], ...] = (
    {"do": "error", "method": "messages.sendMessage", "error": "FLOOD_WAIT_3", "count": 5},
    {"do": "error", "method": "messages.sendMessage", "error": "SLOWMODE_WAIT_5", "count": 5},
    {"do": "drop_after", "method": "messages.sendMessage", "count": 5},
    {"do": "drop_before", "method": "messages.sendMessage", "count": 5},
    {"do": "delay", "method": "messages.sendMessage", "seconds": 2.0, "count": 10},
)


@dataclass(frozen=True)
class Sample:
    """What was measured at one moment."""

    minute: float
    resident_kib: float
    descriptors: float
    threads: float
    tasks: float


def run(argv: list[str]) -> Report:
    """Run for `--minutes`."""
    options = argparse.ArgumentParser(prog="python -m bench soak")
    options.add_argument("--minutes", type=float, default=MINUTES)
    options.add_argument("--users", type=int, default=USERS)
    chosen = options.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        samples, stats = soak(Path(folder), chosen.minutes, chosen.users)
    return _report(samples, stats, chosen.minutes)


def soak(folder: Path, minutes: float, users: int) -> tuple[list[Sample], dict[str, int]]:
    """Run daemon and data centre for that long. Return the samples, and counts of what was posted."""
    world = {
        "seed": 1,
        "accounts": [{"name": name} for name in _accounts(users)],
        "chats": [{"username": f"plaza{number:02}", "members": "all"} for number in range(GROUPS)],
    }
    with whole_house(folder, world, **_SETTINGS) as (sandbox, daemon):
        for number in range(users):
            _start_bot(daemon, number)
        samples = _sampled(daemon, sandbox, minutes, users)
        report = httpx.get(f"{sandbox.control}/report", timeout=60).json()
        posts = [message["random_id"] for chat in report["chats"].values() for message in chat["messages"]]
        code, _ = daemon.stop()
    return samples, {"posts": len(posts), "doubled": len(posts) - len(set(posts)), "exit code": code}


def _report(samples: Sequence[Sample], stats: dict[str, int], minutes: float) -> Report:
    """Compute the slopes from the moment everything has warmed up."""
    report = Report("soak", ("minute", "resident KiB", "descriptors", "threads", "tasks"))
    for sample in samples[:: max(1, len(samples) // 15)]:
        report.row(sample.minute, sample.resident_kib, sample.descriptors, sample.threads, sample.tasks)
    warm = [sample for sample in samples if sample.minute >= min(_WARM_MINUTES, minutes / 2)]
    report.row(", ".join(f"{name}: {count}" for name, count in stats.items()), "", "", "", "")
    report.target("minutes", minutes)
    report.target("rss_slope_kib_per_min", _slope(warm, "resident_kib"), "<=", 150)
    report.target("fd_slope_per_min", _slope(warm, "descriptors"), "<=", 0.5)
    report.target("task_slope_per_min", _slope(warm, "tasks"), "<=", 1)
    report.target("doubled_posts", stats["doubled"], "==", 0)
    return report


def _slope(samples: Sequence[Sample], name: str) -> float:
    """Return the least-squares slope per minute."""
    if len(samples) < 2:
        return 0.0
    xs = [sample.minute for sample in samples]
    ys = [float(getattr(sample, name)) for sample in samples]
    middle_x, middle_y = sum(xs) / len(xs), sum(ys) / len(ys)
    spread = sum((x - middle_x) ** 2 for x in xs)
    return sum((x - middle_x) * (y - middle_y) for x, y in zip(xs, ys, strict=True)) / spread if spread else 0.0


def _sampled(daemon: DaemonProcess, sandbox: SandboxProcess, minutes: float, users: int) -> list[Sample]:
    samples: list[Sample] = []
    names = _accounts(users)
    chance = random.Random(1)
    began = time.monotonic()
    next_fault = 0.0
    every = min(5.0, minutes * 60 / 20)
    while (passed := time.monotonic() - began) < minutes * 60:
        if passed >= next_fault:
            sandbox.fault(**chance.choice(_FAULTS))
            kicked = chance.sample(names, max(1, len(names) // _KICKED_PART))
            HTTP.post(f"{sandbox.control}/kick", json={"accounts": kicked}).raise_for_status()
            next_fault = passed + _FAULT_SECONDS
        process = psutil.Process(daemon.process.pid)
        samples.append(
            Sample(
                minute=passed / 60,
                resident_kib=process.memory_info().rss / 1024,
                # Only the daemon can count these: the system does not show an undumpable process's files to others.
                descriptors=daemon.figures()["process_open_fds"],
                threads=process.num_threads(),
                tasks=daemon.overview()["tasks"],
            )
        )
        time.sleep(every)
    return samples


def _accounts(users: int) -> list[str]:
    return [f"acc{number:03}" for number in range(users * ACCOUNTS_A_USER)]


def _start_bot(daemon: DaemonProcess, number: int) -> None:
    user = f"user{number:03}"
    config = {
        "groups": [f"@plaza{(number * 7 + step) % GROUPS:02}" for step in range(GROUPS_A_USER)],
        "post_content": f"Hello from {number}",
        "delay_between_posts": 0.5,
        "delay_between_cycles": 5,
    }
    daemon.call(user, "PATCH", "/api/config", json=config).raise_for_status()
    daemon.call(user, "POST", "/api/bot/start").raise_for_status()
