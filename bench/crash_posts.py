"""kill -9 at random moments of cycles, over a broken network: does every post stand in its chat exactly once?

The real daemon and the data centre are processes of their own. Two houses run side by side, for the real server has
been seen to answer a repeated random_id in two ways: with the first message, and with RANDOM_ID_DUPLICATE.
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

from bench.parts.posts_audit import Audit, audit
from bench.report import Report
from core.clock import SystemClock
from core.models import Delivery
from data.journal.journal import Journal
from tests.support.daemon import HTTP, DaemonProcess, SandboxProcess, plain_world, wait_until, whole_house

KILLS = 200
ACCOUNTS, GROUPS = 12, 60
PARTS = {"alice": 1, "bob": 2, "carol": 1}
"""user → messages a post has: alice posts a text, bob an album of two pictures, carol forwards a message."""
USERS = tuple(PARTS)
LONGEST_LIFE = 1.2
"""Seconds from the moment the daemon answers to the latest kill: about one cycle."""
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
    """What became of one house."""

    repeats: str
    kills: list[float] = field(default_factory=list)
    """Unix times."""
    in_cycles: int = 0
    faults: int = 0
    repeated_ids: int = 0
    """How often a random_id came again and the data centre knew it."""
    miscounted: int = 0
    """Users whose counters disagree with the journal."""
    result: Audit = field(default_factory=Audit)


def ordeal(folder: Path, repeats: str, kills: int, seed: int) -> Ordeal:
    """Kill one daemon that often, then let it finish in peace and look at everything."""
    told, draw = Ordeal(repeats), Random(f"{seed}/{repeats}")
    world = plain_world(ACCOUNTS, GROUPS, seed=seed, repeats=repeats)
    with whole_house(folder, world, **SETTINGS) as (sandbox, daemon):
        _begin(sandbox, daemon)
        for rule in FAULTS:
            sandbox.fault(**rule)
        for _ in range(kills):
            _live_and_die(told, draw, sandbox, daemon)
        told.faults = sum(rule["hits"] for rule in HTTP.get(f"{sandbox.control}/faults").json()["faults"])
        sandbox.clear_faults()
        _finish_in_peace(daemon)
        _judge(told, sandbox, daemon)
    return told


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


def _live_and_die(told: Ordeal, draw: Random, sandbox: SandboxProcess, daemon: DaemonProcess) -> None:
    """One life: some cycles are disturbed by a kick too, and half the lives are begun by people, not by a setting."""
    life = draw.uniform(0.0, LONGEST_LIFE)
    if draw.random() < 0.2:
        time.sleep(life / 2)
        HTTP.post(f"{sandbox.control}/kick", json={}).raise_for_status()
        life /= 2
    time.sleep(life)
    daemon.kill()
    told.kills.append(time.time())
    _resurrect(daemon, resume=draw.random() < 0.5)


def _resurrect(daemon: DaemonProcess, *, resume: bool) -> None:
    daemon.env["POSTFLEET_RESUME_ON_START"] = str(resume).lower()
    daemon.start()
    for user in USERS:
        daemon.call(user, "POST", "/api/bot/start").raise_for_status()


def _finish_in_peace(daemon: DaemonProcess) -> None:
    for user in USERS:
        # Stopped before it is taken up again, a cycle that was cut off rightly waits for the next start.
        wait_until(partial(_runs, daemon, user), f"a cycle of {user}")
        daemon.call(user, "POST", "/api/bot/stop").raise_for_status()
    for user in USERS:
        wait_until(partial(_is_stopped, daemon, user), f"the last cycle of {user}", 120)


def _runs(daemon: DaemonProcess, user: str) -> bool:
    return daemon.state(user)["progress"] is not None


def _is_stopped(daemon: DaemonProcess, user: str) -> bool:
    return bool(daemon.state(user)["bot_status"] == "stopped")


def _judge(told: Ordeal, sandbox: SandboxProcess, daemon: DaemonProcess) -> None:
    counted = {user: daemon.state(user)["stats"] for user in USERS}
    daemon.stop()
    report = sandbox.report()
    told.repeated_ids = len(report["dedup_hits"])
    deliveries, told.in_cycles = asyncio.run(_read_journal(daemon.state_dir, told.kills))
    chats = {chat: facts["messages"] for chat, facts in report["chats"].items()}
    told.result = audit(deliveries, chats, dict.fromkeys(USERS, GROUPS), PARTS)
    for user in USERS:
        delivered = sum(delivery.user == user and delivery.state == "delivered" for delivery in deliveries)
        told.miscounted += counted[user]["total_success"] != delivered


async def _read_journal(state_dir: Path, kills: Sequence[float]) -> tuple[list[Delivery], int]:
    """Every delivery, and how many kills fell into a cycle: after its plan was written, before its last entry."""
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
    """Both houses, half of the kills each, and a few more for those that miss a cycle."""
    each = -(-kills // 2) + kills // 40
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(2) as houses:
        places = [(Path(folder) / repeats, repeats) for repeats in ("first", "error")]
        for place, _ in places:
            place.mkdir()
        running = [houses.submit(ordeal, place, repeats, each, seed) for place, repeats in places]
        return [house.result() for house in running]


def report_of(ordeals: Sequence[Ordeal], wanted: int) -> Report:
    """The table and the figures."""
    report = Report("crash_posts", ("figure", *(f"repeats: {told.repeats}" for told in ordeals)))
    report.row("kill -9 of the daemon", *(len(told.kills) for told in ordeals))
    report.row("of them in a cycle", *(told.in_cycles for told in ordeals))
    report.row("dropped connections, lost replies, server errors", *(told.faults for told in ordeals))
    report.row("random_ids sent again", *(told.repeated_ids for told in ordeals))
    report.row("deliveries planned", *(told.result.deliveries for told in ordeals))
    report.row("messages in the chats", *(told.result.messages for told in ordeals))
    for state in ("delivered", "unknown", "failed", "skipped"):
        report.row(f"deliveries {state}", *(told.result.states[state] for told in ordeals))
    for reason in sorted({reason for told in ordeals for reason in told.result.reasons}):
        report.row(reason, *(told.result.reasons[reason] for told in ordeals))
    for finding in [text for told in ordeals for text in told.result.duplicates + told.result.missing][:20]:
        report.row(finding)
    report.target("kills", sum(told.in_cycles for told in ordeals), ">=", wanted)
    report.target("duplicates", sum(len(told.result.duplicates) for told in ordeals), "==", 0)
    report.target("missing", sum(len(told.result.missing) for told in ordeals), "==", 0)
    report.target("not_delivered", sum(told.result.deliveries - told.result.states["delivered"] for told in ordeals))
    report.target("counters_wrong", sum(told.miscounted for told in ordeals), "==", 0)
    return report


def run(argv: list[str]) -> Report:
    """Kill, count, tell."""
    parser = argparse.ArgumentParser(prog="python -m bench crash_posts")
    parser.add_argument("--kills", type=int, default=KILLS, help="how often, at least, in the middle of a cycle")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(argv)
    return report_of(proof(options.kills, options.seed), options.kills)
