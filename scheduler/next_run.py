"""Decides `next_run_at`. Each change is one transaction that looks at the newest state first."""

import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial

from msgspec.structs import replace

from core.models import BotStatus, Missed, User
from data.users.data_manager import Transaction
from scheduler.timing import (
    LARGE_JUMP,
    NextRun,
    Timetable,
    after_cycle,
    after_jump,
    first_run,
    has_calendar,
    next_try,
    not_before,
    when_late,
)

log = logging.getLogger(__name__)
RESTARTED = "the daemon was restarted; start the bot again"


@dataclass
class TakenOver:
    """What became of the bots of the previous daemon."""

    resumed: dict[str, datetime] = field(default_factory=dict)
    stopped: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Ended:
    """How a cycle ended."""

    scheduled_for: datetime
    """The moment it was for."""
    at: datetime
    failures: int = 0
    """How many broke off in a row, including this one."""
    cut_off: bool = False
    """Whether it left posts, its end or its plan to be written, so that the next cycle only continues it."""
    stopped: bool = False
    """Whether somebody stopped the bot before its last post."""
    rest_seconds: float = 0.0
    """The least delay before the next cycle, if the delay between cycles counts."""


def first(user_id: str, timetable: Timetable, now: datetime) -> NextRun:
    """Return the first run of a bot that is started."""
    return _worked_out(user_id, lambda: first_run(timetable, now))


def take_over(tx: Transaction, *, resume: bool, now: datetime) -> TakenOver:
    """Stop every bot, or resume those that ran when `resume` is set."""
    taken = TakenOver()
    for user_id, user in list(tx.users.items()):
        if user.bot_status is BotStatus.RUNNING and resume:
            scheduled_for = user.next_run_at or now
            taken.resumed[user_id] = (
                _worked_out(user_id, partial(_no_further, Timetable.of(user), scheduled_for, now)).at or scheduled_for
            )
            if taken.resumed[user_id] != scheduled_for:
                tx.put_user(user_id, replace(user, next_run_at=taken.resumed[user_id], scheduled_for=None))
        elif user.bot_status in {BotStatus.RUNNING, BotStatus.STOPPING}:
            _stop(tx, user_id, user, user.status_reason or RESTARTED)
            taken.stopped.append(user_id)
    return taken


def put_off(tx: Transaction, until: Mapping[str, datetime]) -> None:
    """Put off runs that were due until these moments."""
    for user_id, at in until.items():
        user = tx.users.get(user_id)
        if user is not None and user.bot_status is BotStatus.RUNNING:
            tx.put_user(user_id, replace(user, next_run_at=at, scheduled_for=user.scheduled_for or user.next_run_at))


def enter_after(tx: Transaction, user_id: str, ended: Ended) -> NextRun | None:
    """Enter the run after a cycle, or the end of the bot. Return None when the bot was stopped meanwhile."""
    user = tx.user(user_id)
    if user.bot_status is BotStatus.STOPPING:
        _stop(tx, user_id, user, user.status_reason)
        return None
    if user.bot_status is not BotStatus.RUNNING:
        return None
    if ended.stopped and user.next_run_at is not None:
        # It was started again since: that start has a first run of its own, at the latest now.
        begins = min(ended.at, user.next_run_at - timedelta(microseconds=1))
        return _enter(tx, user_id, user, _worked_out(user_id, lambda: first_run(Timetable.of(user), begins)))
    if ended.failures:
        coming = _worked_out(
            user_id, lambda: next_try(Timetable.of(user), ended.at, ended.failures, cut_off=ended.cut_off)
        )
        return _enter(tx, user_id, user, coming, scheduled_for=ended.scheduled_for)
    counted = replace(user, cycles_done=user.cycles_done + 1)
    delay = max(user.delay_between_cycles, ended.rest_seconds)
    rested = Timetable(user.schedule, delay, counted.cycles_done)
    return _enter(
        tx, user_id, counted, _worked_out(user_id, lambda: after_cycle(rested, ended.scheduled_for, ended.at))
    )


def enter_all_after(tx: Transaction, ended: Mapping[str, Ended]) -> dict[str, NextRun]:
    """Do the same for several users."""
    entered = {user_id: enter_after(tx, user_id, how) for user_id, how in ended.items()}
    return {user_id: coming for user_id, coming in entered.items() if coming is not None}


def enter_late(
    tx: Transaction, late: Mapping[str, datetime], now: datetime, begins: datetime, apart: timedelta
) -> tuple[dict[str, tuple[NextRun, Missed]], datetime]:
    """Enter users whose moment passed long ago.

    As the schedule says, each makes up for it, one after another, or leaves it out. Return also when one more may
    begin.
    """
    entered: dict[str, tuple[NextRun, Missed]] = {}
    for user_id, scheduled_for in late.items():
        user = tx.users.get(user_id)
        if user is None or user.bot_status is not BotStatus.RUNNING or user.next_run_at not in {scheduled_for, None}:
            continue
        if user.scheduled_for is not None and has_calendar(user.schedule):
            # It was put off already. What it missed is counted after it.
            begin = partial(not_before, Timetable.of(user))
        else:
            begin = partial(when_late, Timetable.of(user), min(scheduled_for, now))
        coming = _worked_out(user_id, partial(begin, now))
        if coming.at is not None and coming.at <= now:
            # Quiet hours may have begun by then.
            coming = _worked_out(user_id, partial(begin, begins))
            begins += apart
        entered[user_id] = (_enter(tx, user_id, user, coming, scheduled_for=user.scheduled_for), user.schedule.missed)
    return entered, begins


def enter_after_jump(tx: Transaction, busy: Collection[str], now: datetime, jump: timedelta) -> dict[str, NextRun]:
    """Enter every waiting run anew after the clock was set back, so that nobody waits longer."""
    entered: dict[str, NextRun] = {}
    for user_id, user in list(tx.users.items()):
        if user.bot_status is BotStatus.RUNNING and user.next_run_at is not None and user_id not in busy:
            coming = _worked_out(user_id, partial(after_jump, Timetable.of(user), user.next_run_at, now, jump))
            scheduled_for = user.scheduled_for if coming.at == user.next_run_at else None
            entered[user_id] = _enter(tx, user_id, user, coming, scheduled_for=scheduled_for)
    return entered


def enter_again(
    tx: Transaction, user_id: str, busy: Collection[str], now: datetime, ended: datetime | None
) -> NextRun | None:
    """Enter the run again after the schedule was changed. Return None when no run waits."""
    user = tx.user(user_id)
    if user.bot_status is not BotStatus.RUNNING or user_id in busy:
        return None
    return _enter(tx, user_id, user, _worked_out(user_id, lambda: _again(user, now, ended)))


def _again(user: User, now: datetime, ended: datetime | None) -> NextRun:
    timetable = Timetable.of(user)
    if has_calendar(user.schedule):
        return first_run(timetable, now)
    coming = after_cycle(timetable, now, min(ended or now, now))  # the clock may have been set back since it ended
    if coming.at is not None and (coming.at < now or ended is None):
        soonest = min(coming.at, user.next_run_at or coming.at)
        return first_run(timetable, max(now, soonest))
    return coming


def _no_further(timetable: Timetable, scheduled_for: datetime, now: datetime) -> NextRun:
    """Return the entered run, or the first one from now when it is further away than any right clock enters."""
    calendar = has_calendar(timetable.schedule)
    latest = first_run(timetable, now + LARGE_JUMP) if calendar else after_cycle(timetable, now, now)
    if latest.at is None or scheduled_for <= latest.at:
        return NextRun(scheduled_for)
    return first_run(timetable, now) if calendar else latest


def _worked_out(user_id: str, work: Callable[[], NextRun]) -> NextRun:
    """Work out a run. A schedule that cannot be worked out stops its own bot alone."""
    try:
        return work()
    except Exception as error:
        log.exception("The schedule of %s cannot be worked out", user_id, extra={"user": user_id})
        why = f"its schedule cannot be worked out ({type(error).__name__}); change it with PATCH /api/config"
        return NextRun(None, over=why)


def _enter(
    tx: Transaction, user_id: str, user: User, coming: NextRun, *, scheduled_for: datetime | None = None
) -> NextRun:
    if coming.at is None:
        _stop(tx, user_id, user, coming.over)
    else:
        tx.put_user(user_id, replace(user, next_run_at=coming.at, scheduled_for=scheduled_for))
    return coming


def _stop(tx: Transaction, user_id: str, user: User, reason: str | None) -> None:
    tx.put_user(user_id, replace(user, bot_status=BotStatus.STOPPED, status_reason=reason, next_run_at=None))
