"""Jobs that run by themselves: backups, retention, allowances, the health of accounts, statistics.

APScheduler keeps the times. Each job tells its last run, how that went, and its next run. Last runs are kept over
restarts, so that a daily job whose time the daemon missed runs soon after the start.
"""

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.interval import IntervalTrigger

from bot.cycle.run import CycleServices
from bot.health import Health
from core.settings import Settings
from data.archive.backup import make_backup, remove_abandoned
from data.disk.files import make_folder
from data.job_records import JobRecord, JobRecords, read_job_records, write_job_records
from data.media.layout import sweep
from scheduler.allowance_renewals import tell_of_new_days
from scheduler.supervise import keep_alive

log = logging.getLogger(__name__)

BACKUPS_FOLDER = "backups"
_JITTER_SECONDS = 60
_AFTER_START = timedelta(seconds=60)
"""Overdue jobs leave the first minute after the start to bots that resume."""
_LOOK_SECONDS = 30.0
"""Seconds between two looks whether the clock jumped."""
_JUMP_SECONDS = 30.0
_QUARTERS = CronTrigger(minute="*/15", second=1, timezone=UTC)
"""In every time zone midnight is at a quarter of an hour of UTC."""


@dataclass
class Job:
    """One housekeeping job."""

    name: str
    purpose: str
    work: Callable[[], Awaitable[str]]
    """Does the job and returns its result in words."""
    trigger: CronTrigger | IntervalTrigger
    turn: asyncio.Lock
    """Jobs that share a lock wait for one another."""
    daily: bool = False
    """Whether its time comes once a day, so that a missed time is made up for."""
    last_run_at: datetime | None = None
    last_result: str | None = None
    last_failed: bool = False
    next_run_at: datetime | None = None


class Housekeeping:
    """Runs the jobs: none twice at once, and none in another's way."""

    def __init__(self, services: CycleServices) -> None:
        self._services = services
        self._settings = services.settings
        self._journal = services.journal
        self._clock = services.clock
        self._health = Health.of(services, services.journal)
        self._days_told_until = self._known_since = services.clock.now()
        files, accounts = self._turns = asyncio.Lock(), asyncio.Lock()  # Telegram's answers may take minutes
        self._scheduler = AsyncIOScheduler(timezone=UTC)
        self._begun: dict[str, asyncio.Task[Job]] = {}
        self._stop = threading.Event()
        self._writing = asyncio.Lock()
        self._watching: asyncio.Task[None] | None = None
        self._jobs = {
            job.name: job
            for job in (
                Job("backup", "A copy of the whole state", self._backup, _daily(2, 30), files, daily=True),
                Job("retention", "Forget old events and posts", self._forget, _daily(3, 30), files, daily=True),
                Job("allowances", "Give back what was reserved in vain", self._give_back, _every(hours=1), files),
                Job(
                    "resets", "Tell whose allowance begins anew, by their own time zone", self._reset, _QUARTERS, files
                ),
                Job(
                    "health",
                    "Ask accounts that were quiet for a day how they are",
                    self._ask,
                    _every(minutes=15),
                    accounts,
                ),
                Job("uploads", "Remove what broken uploads left", self._sweep, _every(hours=1), files),
                Job("statistics", "A line of figures in the log", self._statistics, _every(minutes=15), files),
            )
        }

    @property
    def jobs(self) -> list[Job]:
        """Every job with its last and next run."""
        for name, job in self._jobs.items():
            entered = self._scheduler.get_job(name)
            job.next_run_at = getattr(entered, "next_run_time", None)
        return list(self._jobs.values())

    def start(self) -> None:
        """Begin to run the jobs. Needs a running event loop."""
        self._recall()
        now = self._clock.now()
        for name, job in self._jobs.items():
            self._scheduler.add_job(
                self._begin,
                job.trigger,
                args=(name,),
                id=name,
                next_run_time=self._next_run(job, now),
                coalesce=True,
                misfire_grace_time=None,  # however late: after a sleep a late job is better than none
            )
        self._scheduler.start()
        watching = keep_alive("housekeeping's look at the clock", self._watch_the_clock, self._clock)
        self._watching = asyncio.create_task(watching, name="housekeeping's clock")

    def begin_now(self, name: str) -> None:
        """Run a job at once, as if it were its time."""
        self._scheduler.modify_job(name, next_run_time=self._clock.now())

    async def stop(self) -> None:
        """Begin no further job, and break off the running one where it waits."""
        self._stop.set()
        if self._scheduler.running:
            self._scheduler.remove_all_jobs()
            self._scheduler.shutdown(wait=False)
        tasks = [*self._begun.values(), *filter(None, [self._watching])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for turn in self._turns:
            async with turn:
                pass

    async def _begin(self, name: str) -> None:
        """Run a job in a task of its own, because APScheduler logs one that it breaks off as an error."""
        if name in self._begun or self._stop.is_set():
            return
        task = self._begun[name] = asyncio.create_task(self.run(name), name=f"housekeeping: {name}")
        task.add_done_callback(lambda _: self._begun.pop(name))

    async def run(self, name: str) -> Job:
        """Do a job now. A failure is noted and logged, and the next run comes all the same."""
        job = self._jobs[name]
        async with job.turn:
            began = self._clock.now()
            try:
                result, failed = await job.work(), False
            except asyncio.CancelledError:
                log.info("Housekeeping: %s was broken off", name, extra={"action": "housekeeping_broken_off"})
                raise
            except Exception as error:
                result, failed = f"{type(error).__name__}: {error}", True
                log.exception("Housekeeping: %s failed", name, extra={"action": "housekeeping_failed"})
            else:
                log.info("Housekeeping: %s: %s", name, result, extra={"action": f"housekeeping_{name}"})
            job.last_run_at, job.last_result, job.last_failed = began, result, failed
        await self._write_down()
        return job

    # When.

    def _next_run(self, job: Job, now: datetime) -> datetime:
        coming: datetime
        if isinstance(job.trigger, IntervalTrigger):
            coming = now + job.trigger.interval
            return coming
        coming = job.trigger.get_next_fire_time(None, now)
        if not job.daily:
            return coming
        last_time = coming - timedelta(days=1, seconds=_JITTER_SECONDS)
        # A last run ahead of now was written down by a wrong clock, so it says nothing.
        met = last_time <= (job.last_run_at or self._known_since) <= now
        return coming if met else now + _AFTER_START

    async def _watch_the_clock(self) -> None:
        clock = self._clock
        while True:
            seen_at, passed = clock.now(), clock.monotonic()
            await clock.sleep(_LOOK_SECONDS)
            jump = (clock.now() - seen_at).total_seconds() - (clock.monotonic() - passed)
            if abs(jump) > _JUMP_SECONDS:
                self._follow_a_jump(jump)

    def _follow_a_jump(self, seconds: float) -> None:
        """Run due jobs at once after a sleep, and let no job wait longer after the clock was set back."""
        now = self._clock.now()
        for job in self.jobs:
            if seconds < 0:
                self._scheduler.modify_job(job.name, next_run_time=self._next_run(job, now))
            elif job.next_run_at is not None and job.next_run_at <= now:
                self._scheduler.modify_job(job.name, next_run_time=now)

    # What is known of last runs.

    def _recall(self) -> None:
        known = read_job_records(self._settings.state_dir)
        if known is None:
            write_job_records(self._settings.state_dir, self._records())
            return
        self._known_since = known.since
        for name, record in known.jobs.items():
            if job := self._jobs.get(name):
                job.last_run_at, job.last_result = record.last_run_at, record.last_result
                job.last_failed = record.last_failed

    def _records(self) -> JobRecords:
        ran = {
            name: JobRecord(last_run_at=job.last_run_at, last_result=job.last_result, last_failed=job.last_failed)
            for name, job in self._jobs.items()
            if job.last_run_at is not None
        }
        return JobRecords(since=self._known_since, jobs=ran)

    async def _write_down(self) -> None:
        async with self._writing:
            records = self._records()
            await self._to_its_end(lambda: write_job_records(self._settings.state_dir, records))

    # What.

    async def _backup(self) -> str:
        if not self._settings.backups_kept:
            return "backups are off"
        folder = self._settings.state_dir / BACKUPS_FOLDER
        now = self._clock.now()
        target = folder / f"postfleet-{now:%Y%m%d-%H%M%S}.tar.gz"
        if target.exists():
            return f"{target.name} was made this very second"
        await self._to_its_end(lambda: _back_up(self._settings, target, now, self._stop))
        return f"{target.name}, {target.stat().st_size // 1024} KiB"

    async def _to_its_end(self, work: Callable[[], None]) -> None:
        """Do the work in a thread. A cancelled caller waits for it: a thread ends only by looking at `_stop`."""
        thread = asyncio.create_task(asyncio.to_thread(work))
        try:
            await asyncio.shield(thread)
        except asyncio.CancelledError:
            await asyncio.gather(thread, return_exceptions=True)
            raise

    async def _forget(self) -> str:
        before = self._clock.now() - timedelta(days=self._settings.journal_days)
        removed = await self._journal.trim(before)
        return f"{removed} rows older than {before:%Y-%m-%d} were forgotten"

    async def _give_back(self) -> str:
        return f"{await self._journal.give_back_lost()} reserved posts were given back"

    async def _sweep(self) -> str:
        return f"{await asyncio.to_thread(sweep, self._settings.state_dir)} leftovers of uploads were removed"

    async def _reset(self) -> str:
        since, self._days_told_until = self._days_told_until, self._clock.now()
        return await tell_of_new_days(self._services, since, self._days_told_until)

    async def _ask(self) -> str:
        found = await self._health.round()
        unwell = [checkup.name for checkup in found if checkup.alive is False]
        return f"{len(found)} accounts were asked" + (f"; not well: {', '.join(unwell)}" if unwell else "")

    async def _statistics(self) -> str:
        process = psutil.Process()
        memory = process.memory_info().rss / 1_000_000
        return f"memory {memory:.1f} MB, threads {process.num_threads()}, tasks {len(asyncio.all_tasks())}"


def _back_up(settings: Settings, target: Path, now: datetime, stop: threading.Event) -> None:
    make_folder(target.parent)
    remove_abandoned(target.parent)
    make_backup(settings.state_dir, target, now, with_media=settings.backup_media, stop=stop)
    # A backup dated ahead of now was made by a wrong clock. It counts as older, or it would outlive all others.
    kept = sorted(target.parent.glob("postfleet-*.tar.gz"), key=lambda path: (path.name <= target.name, path.name))
    for old in kept[: -settings.backups_kept]:
        old.unlink()


def _daily(hour: int, minute: int) -> CronTrigger:
    return CronTrigger(hour=hour, minute=minute, timezone=UTC, jitter=_JITTER_SECONDS)


def _every(**span: int) -> IntervalTrigger:
    return IntervalTrigger(**span, timezone=UTC, jitter=_JITTER_SECONDS)
