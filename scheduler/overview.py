"""What the daemon does now, for its operator."""

import asyncio
from datetime import UTC, datetime

import msgspec

from bot.cycle.run import CycleServices
from core.models import Moment
from scheduler.housekeeping import Housekeeping, Job
from scheduler.scheduler import Scheduler


class CycleOverview(msgspec.Struct, frozen=True, kw_only=True):
    """A cycle that runs."""

    user: str
    due_at: Moment
    """The moment the cycle is for."""
    total: int
    done: int
    delivered: int


class RestingAccount(msgspec.Struct, frozen=True, kw_only=True):
    """An account that may not post until Telegram allows it again."""

    session: str
    until: Moment
    reason: str


class JobRun(msgspec.Struct, frozen=True, kw_only=True):
    """A housekeeping job."""

    name: str
    purpose: str
    last_run_at: Moment | None
    last_result: str | None
    last_failed: bool
    next_run_at: Moment | None


class Overview(msgspec.Struct, frozen=True, kw_only=True):
    """All running cycles, resting accounts and jobs."""

    started_at: Moment
    running: list[CycleOverview]
    waiting: int
    """Bots that wait for their next cycle."""
    next_due_at: Moment | None
    resting: list[RestingAccount]
    connections: int
    """Open connections to Telegram."""
    tasks: int
    jobs: list[JobRun]


def overview(
    services: CycleServices, scheduler: Scheduler, housekeeping: Housekeeping, started_at: datetime
) -> Overview:
    """Return what the daemon does now."""
    now = services.clock.now()
    running = []
    for user_id, cycle in list(scheduler.running.items()):
        progress = cycle.progress()
        total, done, delivered = (progress.total, progress.done, progress.delivered) if progress else (0, 0, 0)
        running.append(
            CycleOverview(user=user_id, due_at=cycle.scheduled_for, total=total, done=done, delivered=delivered)
        )
    resting = [
        RestingAccount(session=name, until=session.hold.until, reason=session.hold.reason)
        for name, session in services.store.snapshot.sessions.items()
        if session.hold is not None and session.hold.until > now
    ]
    first = scheduler.register.next_due
    return Overview(
        started_at=started_at,
        running=running,
        waiting=scheduler.register.waiting,
        next_due_at=datetime.fromtimestamp(first, UTC) if first is not None else None,
        resting=resting,
        connections=services.clients.open,
        tasks=len(asyncio.all_tasks()),
        jobs=[job_run(job) for job in housekeeping.jobs],
    )


def job_run(job: Job) -> JobRun:
    """Return a job as operators see it."""
    return JobRun(
        name=job.name,
        purpose=job.purpose,
        last_run_at=job.last_run_at,
        last_result=job.last_result,
        last_failed=job.last_failed,
        next_run_at=job.next_run_at,
    )
