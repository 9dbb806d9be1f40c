"""What the daemon does now, for who runs it."""

import asyncio
from datetime import UTC, datetime

import msgspec

from bot.cycle.run import CycleServices
from core.models import Moment
from scheduler.housekeeping import Housekeeping, Job
from scheduler.scheduler import Scheduler


class RunningCycle(msgspec.Struct, frozen=True, kw_only=True):
    """A cycle that runs."""

    user: str
    due_at: Moment
    """The moment it is for."""
    total: int
    done: int
    delivered: int


class RestingAccount(msgspec.Struct, frozen=True, kw_only=True):
    """An account that waits for Telegram's leave."""

    session: str
    until: Moment
    reason: str


class JobRun(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of housekeeping."""

    name: str
    purpose: str
    last_run_at: Moment | None
    last_result: str | None
    last_failed: bool
    next_run_at: Moment | None


class Overview(msgspec.Struct, frozen=True, kw_only=True):
    """Everything at a glance."""

    started_at: Moment
    running: list[RunningCycle]
    waiting: int
    """Bots that wait for their next cycle."""
    next_due_at: Moment | None
    resting: list[RestingAccount]
    connections: int
    """Connections to Telegram that are open."""
    tasks: int
    jobs: list[JobRun]


def overview(
    parts: CycleServices, scheduler: Scheduler, housekeeping: Housekeeping | None, started_at: datetime
) -> Overview:
    """Look at everything once."""
    now = parts.clock.now()
    running = []
    for user_id, active in list(scheduler.active.items()):
        progress = active.progress()
        total, done, delivered = (progress.total, progress.done, progress.delivered) if progress else (0, 0, 0)
        running.append(
            RunningCycle(user=user_id, due_at=active.scheduled_for, total=total, done=done, delivered=delivered)
        )
    resting = [
        RestingAccount(session=name, until=session.hold.until, reason=session.hold.reason)
        for name, session in parts.store.snapshot.sessions.items()
        if session.hold is not None and session.hold.until > now
    ]
    first = scheduler.next_due
    return Overview(
        started_at=started_at,
        running=running,
        waiting=scheduler.waiting,
        next_due_at=datetime.fromtimestamp(first, UTC) if first is not None else None,
        resting=resting,
        connections=parts.clients.open,
        tasks=len(asyncio.all_tasks()),
        jobs=[job_run(job) for job in (housekeeping.jobs if housekeeping is not None else [])],
    )


def job_run(job: Job) -> JobRun:
    """A job as operators see it."""
    return JobRun(
        name=job.name,
        purpose=job.purpose,
        last_run_at=job.last_run_at,
        last_result=job.last_result,
        last_failed=job.last_failed,
        next_run_at=job.next_run_at,
    )
