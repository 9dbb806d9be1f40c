"""kill -9 at random moments of cycles, over a broken network: is every post in its chat exactly once?

The real daemon and the data centre are processes of their own. Two such pairs run side by side, because Telegram has
been seen to handle a repeated random_id in two ways: it returns the first message, or RANDOM_ID_DUPLICATE.
"""

import argparse
import asyncio
import base64
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random

from bench.report import Report
from bench.support.posts_audit import Audit, audit
from core.clock import SystemClock
from core.models import Delivery
from data.journal.journal import Journal
from tests.support.daemon import HTTP, DaemonProcess, SandboxProcess, plain_world, wait_until, whole_house

KILLS = 200
ACCOUNTS, GROUPS = 12, 60
PARTS = {"alice": 1, "bob": 2, "carol": 1}
"""User → messages per post: alice posts a text, bob an album of two pictures, carol forwards a message."""
USERS = tuple(PARTS)
LONGEST_LIFE = 1.2
"""Seconds from the API's first response to the kill, at most: about one cycle."""
POST = "messages.[sf]*"
"""sendMessage, sendMultiMedia, forwardMessages."""
FAULTS = (
    {"do": "drop_before", "method": POST, "probability": 0.02},
    {"do": "drop_after", "method": POST, "probability": 0.03},
    {"do": "silent", "method": POST, "probability": 0.01},
    {"do": "ignore", "method": POST, "probability": 0.01},
    {"do": "drop_before", "method": "*", "probability": 0.01},
    {"error": "RPC_CALL_FAIL", "method": POST, "probability": 0.01},
)
PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
SETTINGS = {
    "SESSIONS_AT_START": str(ACCOUNTS // len(USERS)),
    "SEND_TIMEOUT_SECONDS": "1",
    "DAILY_POSTS_PER_ACCOUNT": "1000000",
    "POSTS_PER_DAY": "1000000",
    "POSTS_PER_MONTH": "1000000",
    "RATE_PER_ADDRESS": "1000000/minute",
}


@dataclass
class Ordeal:
    """The result of one daemon's kills."""

    repeats: str
    kills: list[float] = field(default_factory=list)
    """Unix times."""
    in_cycles: int = 0
    faults: int = 0
    repeated_ids: int = 0
    """Requests whose random_id the data centre knew already."""
    miscounted: int = 0
    """Users whose counters disagree with the journal."""
    result: Audit = field(default_factory=Audit)


def ordeal(folder: Path, repeats: str, kills: int, seed: int) -> Ordeal:
    """Kill one daemon that often, let it finish undisturbed, then check everything."""
    found, draw = Ordeal(repeats), Random(f"{seed}/{repeats}")
    world = plain_world(ACCOUNTS, GROUPS, seed=seed, repeats=repeats)
    with whole_house(folder, world, **SETTINGS) as (sandbox, daemon):
        _begin(sandbox, daemon)
        for rule in FAULTS:
            sandbox.fault(**rule)
        for _ in range(kills):
            _live_and_die(found, draw, sandbox, daemon)
        found.faults = sum(rule["hits"] for rule in HTTP.get(f"{sandbox.control}/faults").json()["faults"])
        sandbox.clear_faults()
        _finish_in_peace(daemon)
        _judge(found, sandbox, daemon)
    return found


def _begin(sandbox: SandboxProcess, daemon: DaemonProcess) -> None:
    groups = [f"@plaza{number:02d}" for number in range(1, GROUPS + 1)]
    always = {"groups": groups, "delay_between_posts": 0.05, "delay_between_cycles": 0.05}
    for user in USERS:
        content = _content(daemon, user)
        daemon.call(user, "PATCH", "/api/config", json=always | content).raise_for_status()
        daemon.call(user, "POST", "/api/bot/start").raise_for_status()
        wait_until(lambda: sandbox.texts("plaza01"), "the message to forward")


def _content(daemon: DaemonProcess, user: str) -> dict[str, object]:
    if user == "bob":
        uploads = [
            daemon.call(user, "POST", "/api/media", content=PIXEL).raise_for_status() for _ in range(PARTS[user])
        ]
        media = [{"file": upload.json()["name"]} for upload in uploads]
        return {"post_type": "album", "post_content": {"text": "{n}", "media": media}}
    if user == "carol":
        return {"post_type": "forward", "post_content": {"message": "https://t.me/plaza01/1"}}
    return {"post_content": f"{user} {{n}}"}


def _live_and_die(found: Ordeal, draw: Random, sandbox: SandboxProcess, daemon: DaemonProcess) -> None:
    """Let the daemon run for a while and kill it.

    In one life of five the data centre drops every connection, too. Half the restarts resume by the setting, and half
    because users start their bots.
    """
    life = draw.uniform(0.0, LONGEST_LIFE)
    if draw.random() < 0.2:
        time.sleep(life / 2)
        HTTP.post(f"{sandbox.control}/kick", json={}).raise_for_status()
        life /= 2
    time.sleep(life)
    daemon.kill()
    found.kills.append(time.time())
    _resurrect(daemon, resume=draw.random() < 0.5)


def _resurrect(daemon: DaemonProcess, *, resume: bool) -> None:
    daemon.env["POSTFLEET_RESUME_ON_START"] = str(resume).lower()
    daemon.start()
    for user in USERS:
        daemon.call(user, "POST", "/api/bot/start").raise_for_status()


def _finish_in_peace(daemon: DaemonProcess) -> None:
    for user in USERS:
        # A bot that is stopped before it resumes rightly leaves its interrupted cycle to the next start.
        wait_until(partial(_runs, daemon, user), f"a cycle of {user}")
        daemon.call(user, "POST", "/api/bot/stop").raise_for_status()
    for user in USERS:
        wait_until(partial(_is_stopped, daemon, user), f"the last cycle of {user}", 120)


def _runs(daemon: DaemonProcess, user: str) -> bool:
    return daemon.state(user)["progress"] is not None


def _is_stopped(daemon: DaemonProcess, user: str) -> bool:
    return bool(daemon.state(user)["bot_status"] == "stopped")


def _judge(found: Ordeal, sandbox: SandboxProcess, daemon: DaemonProcess) -> None:
    counted = {user: daemon.state(user)["stats"] for user in USERS}
    daemon.stop()
    report = sandbox.report()
    found.repeated_ids = len(report["dedup_hits"])
    deliveries, found.in_cycles = asyncio.run(_read_journal(daemon.state_dir, found.kills))
    chats = {chat: facts["messages"] for chat, facts in report["chats"].items()}
    found.result = audit(deliveries, chats, dict.fromkeys(USERS, GROUPS), PARTS)
    for user in USERS:
        delivered = sum(delivery.user == user and delivery.state == "delivered" for delivery in deliveries)
        found.miscounted += counted[user]["total_success"] != delivered


async def _read_journal(state_dir: Path, kills: Sequence[float]) -> tuple[list[Delivery], int]:
    """Return every delivery, and the number of kills in a cycle: between its plan and its last entry."""
    journal = Journal.open(state_dir)
    try:
        deliveries = [delivery for user in USERS for delivery in await journal.deliveries(user, limit=1_000_000)]
    finally:
        await journal.close()
    spans: dict[tuple[str, int], tuple[float, float]] = {}
    for delivery in deliveries:
        ended = delivery.finished_at or SystemClock().now()
        began, last = spans.get((delivery.user, delivery.cycle), (delivery.planned_at.timestamp(), 0.0))
        spans[delivery.user, delivery.cycle] = (began, max(last, ended.timestamp()))
    return deliveries, sum(any(began <= kill <= last for began, last in spans.values()) for kill in kills)


def proof(kills: int, seed: int) -> list[Ordeal]:
    """Run both daemons with half of the kills each, and a few more for kills between cycles."""
    each = -(-kills // 2) + kills // 40
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(2) as threads:
        places = [(Path(folder) / repeats, repeats) for repeats in ("first", "error")]
        for place, _ in places:
            place.mkdir()
        running = [threads.submit(ordeal, place, repeats, each, seed) for place, repeats in places]
        return [ordeal.result() for ordeal in running]


def report_of(ordeals: Sequence[Ordeal], wanted: int) -> Report:
    """Return the table and the figures."""
    report = Report("crash_posts", ("figure", *(f"repeats: {one.repeats}" for one in ordeals)))
    report.row("kill -9 of the daemon", *(len(one.kills) for one in ordeals))
    report.row("kills in a cycle", *(one.in_cycles for one in ordeals))
    report.row("dropped connections, lost replies, server errors", *(one.faults for one in ordeals))
    report.row("random_ids sent again", *(one.repeated_ids for one in ordeals))
    report.row("deliveries planned", *(one.result.deliveries for one in ordeals))
    report.row("messages in the chats", *(one.result.messages for one in ordeals))
    for state in ("delivered", "unknown", "failed", "skipped"):
        report.row(f"deliveries {state}", *(one.result.states[state] for one in ordeals))
    for reason in sorted({reason for one in ordeals for reason in one.result.reasons}):
        report.row(reason, *(one.result.reasons[reason] for one in ordeals))
    for finding in [text for one in ordeals for text in one.result.duplicates + one.result.missing][:20]:
        report.row(finding)
    report.target("kills", sum(one.in_cycles for one in ordeals), ">=", wanted)
    report.target("duplicates", sum(len(one.result.duplicates) for one in ordeals), "==", 0)
    report.target("missing", sum(len(one.result.missing) for one in ordeals), "==", 0)
    report.target("not_delivered", sum(one.result.deliveries - one.result.states["delivered"] for one in ordeals))
    report.target("counters_wrong", sum(one.miscounted for one in ordeals), "==", 0)
    return report


def run(argv: list[str]) -> Report:
    """Kill until `--kills` fell into cycles."""
    parser = argparse.ArgumentParser(prog="python -m bench crash_posts")
    parser.add_argument("--kills", type=int, default=KILLS, help="kills in the middle of a cycle, at least")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(argv)
    return report_of(proof(options.kills, options.seed), options.kills)
