"""The tick in real time: 10,000 users, 500 of them due each second, beside APScheduler with a job per user and a scan.

The durable run is the daemon's own: every start reads the store and every end is committed to disk. The bare run only
starts something and enters the next time, which is what APScheduler and the scan do.
"""

import asyncio
import gc
import tempfile
import time
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import psutil
from apscheduler.schedulers.asyncio import AsyncIOScheduler

from bench.report import Report
from bot.cycle.run import CycleControl, CycleRun, CycleServices
from bot.cycle.runner import CycleRunner
from core.clock import SystemClock
from core.models import BotStatus, Cycle, Delivery, DeliveryState, PostContent, PostType, Session, User
from core.settings import Settings
from data.users.data_manager import Transaction
from scheduler.running_cycle import RunningCycle
from scheduler.scheduler import Scheduler
from scheduler.services import Services, open_services

USERS = 10_000
DUE_A_SECOND = 500
SECONDS = 15.0
IDLE_USERS = 100_000
IDLE_SECONDS = 20.0
_INTERVAL = USERS / DUE_A_SECOND
_SCAN_SECONDS = 0.05


class Notes:
    """The delays of all starts, in seconds from the moment they were due."""

    def __init__(self) -> None:
        self.late: list[float] = []
        """Until the start."""
        self.begun: list[float] = []
        """Until the first commit of the cycle was durable."""

    def percentile(self, part: float) -> float:
        """Return a percentile of `late` in milliseconds; `part` is from 0 to 1."""
        return _percentile(self.late, part)


def _percentile(seconds: list[float], part: float) -> float:
    return sorted(seconds)[min(len(seconds) - 1, int(part * len(seconds)))] * 1000


class InstantCycles(CycleRunner):
    """Cycles that begin (one commit) and end at once, so that only the scheduler's own work is left."""

    def __init__(self, services: CycleServices, notes: Notes) -> None:
        super().__init__(services)
        self._notes = notes

    async def begin(self, user_id: str, control: CycleControl, *, only_running: bool = False) -> CycleRun:
        """Note the delay of the cycle's start, and of the commit that writes it."""
        due = self._services.store.snapshot.users[user_id].next_run_at
        assert due is not None
        self._notes.late.append((self._services.clock.now() - due).total_seconds())
        number = await self._count(user_id, anew=True, only_running=only_running)
        now = self._services.clock.now()
        self._notes.begun.append((now - due).total_seconds())
        cycle = Cycle(id=number, user=user_id, post_type=PostType.TEXT, post_content=PostContent(), started_at=now)
        delivery = Delivery(
            user=user_id,
            cycle=number,
            group="@plaza",
            session="acc01",
            random_id=number,
            state=DeliveryState.DELIVERED,
            planned_at=now,
            finished_at=now,
        )
        return CycleRun(self._services, cycle, number, [delivery], control)

    async def execute(self, run: CycleRun) -> None:
        """Post nothing: the one delivery is made already."""


class BareScheduler(Scheduler):
    """The tick and the heap, without anything on disk."""

    notes: Notes
    entered: dict[str, datetime]

    def _launch(self, user_id: str) -> None:
        due = self.entered[user_id]
        self.register.begin(user_id, RunningCycle(due, due, 0.0))
        self._own(self._bare(user_id, due), user_id)

    async def _bare(self, user_id: str, due: datetime) -> None:
        now = self._services.clock.now()
        self.notes.late.append((now - due).total_seconds())
        self.register.end(user_id)
        self.enter(user_id, due + timedelta(seconds=_INTERVAL))

    def enter(self, user_id: str, at: datetime) -> None:
        """Enter the next start."""
        self.entered[user_id] = at
        self.wake(user_id, at)


def _services(folder: Path, notes: Notes) -> AbstractAsyncContextManager[Services]:
    settings = Settings(state_dir=folder, tick_seconds=2.0, log_level="ERROR")
    return open_services(settings, SystemClock(), runner=partial(InstantCycles, notes=notes))


async def durable(folder: Path) -> tuple[Notes, float]:
    """Run the daemon's own scheduler with its store. Return the delays and the CPU seconds per start."""
    notes, begin = Notes(), datetime.now(UTC) + timedelta(seconds=2)

    def fill(tx: Transaction) -> None:
        for number in range(USERS):
            due = begin + timedelta(seconds=number / DUE_A_SECOND)
            user = User(
                groups=("@plaza",),
                post_content="Hello",
                assigned_sessions=(f"acc{number:05}",),
                delay_between_cycles=_INTERVAL,
                bot_status=BotStatus.RUNNING,
                next_run_at=due,
            )
            tx.put_session(f"acc{number:05}", Session())
            tx.put_user(f"user{number:05}", user)

    async with _services(folder, notes) as services:
        store = services.accounts.store
        await store.transact(fill)
        for user_id, user in store.snapshot.users.items():
            services.scheduler.wake(user_id, user.next_run_at)
        return notes, await _measured(services.scheduler, notes, begin)


async def bare(folder: Path) -> tuple[Notes, float]:
    """Run the same tick without writing anything."""
    notes = Notes()
    async with _services(folder, notes) as services:
        scheduler = BareScheduler(services.cycle, services.cycles)
        scheduler.notes, scheduler.entered = notes, {}
        begin = datetime.now(UTC) + timedelta(seconds=1)
        for number in range(USERS):
            scheduler.enter(f"user{number:05}", begin + timedelta(seconds=number / DUE_A_SECOND))
        return notes, await _measured(scheduler, notes, begin)


async def _measured(scheduler: Scheduler, notes: Notes, begin: datetime) -> float:
    gc.collect()
    ticking = asyncio.create_task(scheduler.run())
    await asyncio.sleep((begin - datetime.now(UTC)).total_seconds())
    used, first = time.process_time(), len(notes.late)
    await asyncio.sleep(SECONDS)
    cost = (time.process_time() - used) / max(1, len(notes.late) - first)
    await scheduler.leave(5)
    await ticking
    return cost


async def apscheduler() -> tuple[Notes, float]:
    """Run APScheduler with a job per user."""
    notes, scheduler = Notes(), AsyncIOScheduler(timezone=UTC)
    begin = datetime.now(UTC) + timedelta(seconds=6)
    due = {number: begin + timedelta(seconds=number / DUE_A_SECOND) for number in range(USERS)}

    async def job(number: int) -> None:
        notes.late.append((datetime.now(UTC) - due[number]).total_seconds())
        due[number] += timedelta(seconds=_INTERVAL)

    scheduler.start(paused=True)
    for number, at in due.items():
        scheduler.add_job(job, "interval", args=(number,), seconds=_INTERVAL, start_date=at, misfire_grace_time=600)
    scheduler.resume()
    await asyncio.sleep(max(0.0, (begin - datetime.now(UTC)).total_seconds()))
    used, first = time.process_time(), len(notes.late)
    await asyncio.sleep(SECONDS)
    cost = (time.process_time() - used) / max(1, len(notes.late) - first)
    scheduler.shutdown(wait=False)
    return notes, cost


async def scan() -> tuple[Notes, float]:
    """Look at every user again and again."""
    notes = Notes()
    begin = time.time() + 0.5
    due = {f"user{number:05}": begin + number / DUE_A_SECOND for number in range(USERS)}

    async def start(user_id: str, at: float) -> None:
        notes.late.append(time.time() - at)
        due[user_id] = at + _INTERVAL

    tasks: set[asyncio.Task[None]] = set()
    await asyncio.sleep(0.5)
    used = time.process_time()
    while time.time() < begin + SECONDS:
        now = time.time()
        for user_id, at in due.items():
            if at <= now:
                task = asyncio.create_task(start(user_id, at))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
        await asyncio.sleep(_SCAN_SECONDS)
    return notes, (time.process_time() - used) / len(notes.late)


async def idle(folder: Path) -> tuple[float, float]:
    """Keep 100,000 users of whom nobody is due. Return per cent of a core, and KiB per user (store and heap)."""
    later = datetime.now(UTC) + timedelta(days=1)

    def fill(tx: Transaction) -> None:
        for number in range(IDLE_USERS):
            user = User(bot_status=BotStatus.RUNNING, next_run_at=later + timedelta(seconds=number / 100))
            tx.put_user(f"user{number:06}", user)

    async with _services(folder, Notes()) as services:
        store, scheduler = services.accounts.store, services.scheduler
        gc.collect()
        before = _resident_kib()
        await store.transact(fill)
        for user_id, user in store.snapshot.users.items():
            scheduler.wake(user_id, user.next_run_at or later)
        gc.collect()
        kept = (_resident_kib() - before) / IDLE_USERS
        ticking = asyncio.create_task(scheduler.run())
        await asyncio.sleep(2)
        used = time.process_time()
        await asyncio.sleep(IDLE_SECONDS)
        percent = (time.process_time() - used) / IDLE_SECONDS * 100
        await scheduler.leave(1)
        await ticking
    return percent, kept


def _resident_kib() -> float:
    return psutil.Process().memory_info().rss / 1024


def run(_argv: list[str]) -> Report:
    """Measure the tick."""
    report = Report("schedule", ("who", "late p50 ms", "p99 ms", "max ms", "CPU µs per start", "starts"))
    figures: dict[str, tuple[Notes, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        percent, kept = asyncio.run(idle(Path(folder) / "idle"))
        figures["Postfleet, durable"] = asyncio.run(durable(Path(folder) / "durable"))
        figures["Postfleet, the tick alone"] = asyncio.run(bare(Path(folder) / "bare"))
    figures["APScheduler, a job per user"] = asyncio.run(apscheduler())
    figures["scan every 50 ms"] = asyncio.run(scan())
    for name, (notes, cost) in figures.items():
        late = (notes.percentile(0.5), notes.percentile(0.99), notes.percentile(1))
        report.row(name, *late, cost * 1e6, len(notes.late))
        if notes.begun:
            begun = (_percentile(notes.begun, 0.5), _percentile(notes.begun, 0.99), _percentile(notes.begun, 1))
            report.row("  until the start is on disk", *begun, "", "")
    report.row(
        f"idle with {IDLE_USERS:,} users: {percent:.3f} % of a core, {kept:.2f} KiB per user", "", "", "", "", ""
    )
    times = figures["APScheduler, a job per user"][1] / figures["Postfleet, the tick alone"][1]
    report.target("lateness_p99_ms", figures["Postfleet, durable"][0].percentile(0.99), "<=", 50)
    report.target("vs_apscheduler_cpu", times, ">=", 1)
    report.target("idle_cpu_pct_100k", percent, "<=", 0.1)
    report.target("kib_per_user", kept, "<=", 4)
    return report
