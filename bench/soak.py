"""The whole house under load for long: does it keep growing? 100 users, 300 accounts, short delays, faults all along.

The daemon and the data centre are processes of their own, as anybody would start them; the daemon alone is looked at,
from outside: memory and threads by the system, descriptors and tasks by what it says. Slopes are least squares from
minute 5 to the end (of a shorter run, over its second half).

What counts as flat. Some 6,000 posts are made a minute, so a mere date kept for each (56 bytes with its place in a
list) grows the daemon by 340 KiB a minute, a task kept for each fault by 12. The limits lie below that. They are
not 0 because the allocator and the pages of SQLite (up to 2 MiB a connection) fill up slowly, and because the number
of tasks swings by 150 with the cycles that run. Each account is disconnected every few minutes, as Telegram does: what
Telethon remembers of a connection (the ids of its last 500 messages, against replays) then begins anew, and what a
closed client leaves behind is seen too.
"""

import argparse
import contextlib
import json
import os
import random
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import psutil

from api.security.tokens import OPERATOR, issue_token
from bench.report import Report
from core.clock import SystemClock

ROOT = Path(__file__).parents[1]
USERS = 100
ACCOUNTS_A_USER = 3
GROUPS = 60
GROUPS_A_USER = 6
MINUTES = 30.0
_WARM_MINUTES = 5.0
_FAULT_SECONDS = 5.0
_KICKED_PART = 30
"""One account in so many is disconnected with each fault: every 150 seconds, on average."""
_START_SECONDS = 60.0
_PAIRS = ",".join(f"{number}:{number:032x}" for number in range(2001, 2060))
_FAULTS: tuple[dict[str, Any], ...] = (
    {"do": "error", "method": "messages.sendMessage", "error": "FLOOD_WAIT_3", "count": 5},
    {"do": "error", "method": "messages.sendMessage", "error": "SLOWMODE_WAIT_5", "count": 5},
    {"do": "drop_after", "method": "messages.sendMessage", "count": 5},
    {"do": "drop_before", "method": "messages.sendMessage", "count": 5},
    {"do": "delay", "method": "messages.sendMessage", "seconds": 2.0, "count": 10},
)


@dataclass(frozen=True)
class Sample:
    """One look at the daemon."""

    minute: float
    resident_kib: float
    descriptors: float
    threads: float
    tasks: float


def run(argv: list[str]) -> Report:
    """Soak for `--minutes`."""
    options = argparse.ArgumentParser(prog="python -m bench soak")
    options.add_argument("--minutes", type=float, default=MINUTES)
    options.add_argument("--users", type=int, default=USERS)
    chosen = options.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        samples, stats = soak(Path(folder), chosen.minutes, chosen.users)
    return report(samples, stats, chosen.minutes)


def soak(folder: Path, minutes: float, users: int) -> tuple[list[Sample], dict[str, int]]:
    """Run the house so long; what was seen, and what it posted."""
    secret = secrets.token_urlsafe(48)
    state = folder / "state"
    state.mkdir(mode=0o700)
    with _data_centre(folder, state, users) as centre, _daemon(folder, state, centre, secret) as process:
        url = _wait_for_address(state, process)
        with httpx.Client(base_url=url, timeout=30) as http:
            for number in range(users):
                _start_bot(http, secret, number)
            samples = _look(http, process.pid, secret, centre["control"], minutes, users)
        counts = httpx.get(f"{centre['control']}/report", timeout=60).json()
        posts = [message["random_id"] for chat in counts["chats"].values() for message in chat["messages"]]
        process.terminate()
        code = process.wait(20)
    return samples, {"posts": len(posts), "doubled": len(posts) - len(set(posts)), "exit code": code}


def report(samples: Sequence[Sample], stats: dict[str, int], minutes: float) -> Report:
    """Slopes from when everything has warmed up."""
    answer = Report("soak", ("minute", "resident KiB", "descriptors", "threads", "tasks"))
    for sample in samples[:: max(1, len(samples) // 15)]:
        answer.row(sample.minute, sample.resident_kib, sample.descriptors, sample.threads, sample.tasks)
    warm = [sample for sample in samples if sample.minute >= min(_WARM_MINUTES, minutes / 2)]
    answer.row(", ".join(f"{name}: {count}" for name, count in stats.items()), "", "", "", "")
    answer.target("minutes", minutes)
    answer.target("rss_slope_kib_per_min", _slope(warm, "resident_kib"), "<=", 150)
    answer.target("fd_slope_per_min", _slope(warm, "descriptors"), "<=", 0.5)
    answer.target("task_slope_per_min", _slope(warm, "tasks"), "<=", 1)
    answer.target("doubled_posts", stats["doubled"], "==", 0)
    return answer


def _slope(samples: Sequence[Sample], name: str) -> float:
    """Least squares, per minute."""
    if len(samples) < 2:
        return 0.0
    xs = [sample.minute for sample in samples]
    ys = [float(getattr(sample, name)) for sample in samples]
    middle_x, middle_y = sum(xs) / len(xs), sum(ys) / len(ys)
    spread = sum((x - middle_x) ** 2 for x in xs)
    return sum((x - middle_x) * (y - middle_y) for x, y in zip(xs, ys, strict=True)) / spread if spread else 0.0


def _look(http: httpx.Client, pid: int, secret: str, control: str, minutes: float, users: int) -> list[Sample]:
    samples: list[Sample] = []
    names = _accounts(users)
    chance = random.Random(1)
    began = time.monotonic()
    faulty = 0.0
    every = min(5.0, minutes * 60 / 20)
    while (passed := time.monotonic() - began) < minutes * 60:
        if passed >= faulty:
            httpx.post(f"{control}/faults", json=chance.choice(_FAULTS), timeout=10).raise_for_status()
            kicked = chance.sample(names, max(1, len(names) // _KICKED_PART))
            httpx.post(f"{control}/kick", json={"accounts": kicked}, timeout=10).raise_for_status()
            faulty = passed + _FAULT_SECONDS
        headers = {"Authorization": f"Bearer {_token(secret, 'soak', OPERATOR)}"}
        seen = http.get("/api/admin/overview", headers=headers).raise_for_status().json()
        figures = http.get("/metrics", headers=headers).raise_for_status().text
        memory, threads = _of_process(pid)
        samples.append(Sample(passed / 60, memory, _descriptors(figures), threads, tasks=seen["tasks"]))
        time.sleep(every)
    return samples


def _accounts(users: int) -> list[str]:
    return [f"acc{number:03}" for number in range(users * ACCOUNTS_A_USER)]


def _of_process(pid: int) -> tuple[float, float]:
    process = psutil.Process(pid)
    return process.memory_info().rss / 1024, process.num_threads()


def _descriptors(figures: str) -> float:
    """As the daemon itself counts them: its memory is private, and with it what the system tells of its files."""
    return next(float(line.split()[1]) for line in figures.splitlines() if line.startswith("process_open_fds "))


def _start_bot(http: httpx.Client, secret: str, number: int) -> None:
    headers = {"Authorization": f"Bearer {_token(secret, f'user{number:03}')}"}
    groups = [f"@plaza{(number * 7 + step) % GROUPS:02}" for step in range(GROUPS_A_USER)]
    config = {
        "groups": groups,
        "post_content": f"Hello from {number}",
        "delay_between_posts": 0.5,
        "delay_between_cycles": 5,
    }
    http.patch("/api/config", headers=headers, json=config).raise_for_status()
    http.post("/api/bot/start", headers=headers).raise_for_status()


def _token(secret: str, user: str, *roles: str) -> str:
    return issue_token(secret, user, now=SystemClock().now(), lifetime=timedelta(minutes=10), roles=roles)


@contextlib.contextmanager
def _data_centre(folder: Path, state: Path, users: int) -> Iterator[dict[str, Any]]:
    world = {
        "seed": 1,
        "accounts": [{"name": name} for name in _accounts(users)],
        "chats": [{"username": f"plaza{number:02}", "members": "all"} for number in range(GROUPS)],
    }
    (folder / "world.json").write_text(json.dumps(world), encoding="utf-8")
    options = ["--world", folder / "world.json", "--folder", folder / "dc"]
    command = [sys.executable, ROOT / "run.py", "sandbox", "--json", *options]
    command += ["--sessions-dir", state / "sessions" / "available"]
    process = subprocess.Popen([str(part) for part in command], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield json.loads(process.stdout.readline())
    finally:
        process.terminate()
        process.wait(20)
        process.stdout.close()


@contextlib.contextmanager
def _daemon(folder: Path, state: Path, centre: dict[str, Any], secret: str) -> Iterator["subprocess.Popen[bytes]"]:
    settings = {
        "STATE_DIR": str(state),
        "PORT": "0",
        "JWT_SECRET": secret,
        "API_PAIRS": _PAIRS,
        "DC": centre["dc"],
        "DC_PUBLIC_KEY": str(centre["public_key"]),
        "SESSIONS_AT_START": str(ACCOUNTS_A_USER),
        "POSTS_PER_DAY": "1000000",
        "POSTS_PER_MONTH": "10000000",
        "DAILY_POSTS_PER_ACCOUNT": "1000000",
        "MAX_CONCURRENT_SESSIONS": "50",
        "RATE_PER_USER": "1000000/minute",
        "RATE_PER_ADDRESS": "1000000/minute",
        "LEAST_CYCLE_DELAY_SECONDS": "0",
        "LOG_LEVEL": "WARNING",
    }
    environment = {name: value for name, value in os.environ.items() if not name.startswith("POSTFLEET_")}
    environment |= {f"POSTFLEET_{name}": value for name, value in settings.items()}
    command = [sys.executable, str(ROOT / "run.py"), "serve"]
    process = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
            process.wait(20)


def _wait_for_address(state: Path, process: "subprocess.Popen[bytes]") -> str:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(FileNotFoundError, httpx.HTTPError):
            url = (state / "api.address").read_text(encoding="ascii").strip()
            if url and httpx.get(f"{url}/healthz", timeout=5).is_success:
                return url
        time.sleep(0.1)
    raise RuntimeError("the daemon did not start")
