"""What stands in `next_run_at`: each change of it is one transaction that looks at the newest state first."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from msgspec.structs import replace

from core.models import BotStatus, Missed, User
from data.data_manager import Transaction
from scheduler.timing import Next, after_cycle, after_jump, first_run, has_calendar, next_try, when_late

RESTARTED = "the daemon was restarted; start the bot again"


@dataclass
class TakenOver:
    """What became of the bots of the daemon before."""

    resumed: dict[str, datetime] = field(default_factory=dict)
    stopped: list[str] = field(default_factory=list)


def take_over(tx: Transaction, *, resume: bool, now: datetime) -> TakenOver:
    """No bot runs after a restart, unless the settings say so."""
    taken = TakenOver()
    for user_id, user in list(tx.users.items()):
        if user.bot_status is BotStatus.RUNNING and resume:
            taken.resumed[user_id] = user.next_run_at or now
        elif user.bot_status in {BotStatus.RUNNING, BotStatus.STOPPING}:
            _stop(tx, user_id, user, user.status_reason or RESTARTED)
            taken.stopped.append(user_id)
    return taken


def enter_after(tx: Transaction, user_id: str, slot: datetime, now: datetime, failures: int) -> Next | None:
    """After a cycle: the next one, or the end of the bot. None when it was stopped meanwhile."""
    user = tx.user(user_id)
    if user.bot_status is BotStatus.STOPPING:
        _stop(tx, user_id, user, user.status_reason)
        return None
    if user.bot_status is not BotStatus.RUNNING:
        return None
    if failures:
        coming = Next(next_try(user, now, failures))
    else:
        user = replace(user, cycles_done=user.cycles_done + 1)
        coming = after_cycle(user, slot, now)
    return _enter(tx, user_id, user, coming)


def enter_late(
    tx: Transaction, late: Mapping[str, datetime], now: datetime, apart: timedelta
) -> dict[str, tuple[Next, Missed]]:
    """Users whose slot passed long ago: make up for it, one after another, or leave it out, as each of them wants."""
    entered: dict[str, tuple[Next, Missed]] = {}
    begins = now
    for user_id, slot in late.items():
        user = tx.users.get(user_id)
        if user is None or user.bot_status is not BotStatus.RUNNING or user.next_run_at not in {slot, None}:
            continue
        coming = when_late(user, slot, now)
        if coming.at is not None and coming.at <= now:
            coming = replace_at(coming, begins)
            begins += apart
        entered[user_id] = (_enter(tx, user_id, user, coming), user.schedule.missed)
    return entered


def enter_after_jump(tx: Transaction, busy: Collection[str], now: datetime, jump: timedelta) -> dict[str, Next]:
    """The clock was set back: nobody waits longer for that."""
    return {
        user_id: _enter(tx, user_id, user, after_jump(user, user.next_run_at, now, jump))
        for user_id, user in list(tx.users.items())
        if user.bot_status is BotStatus.RUNNING and user.next_run_at is not None and user_id not in busy
    }


def enter_again(
    tx: Transaction, user_id: str, busy: Collection[str], now: datetime, ended: datetime | None
) -> Next | None:
    """The schedule was changed: what was entered by the old one does not count. None when nothing is entered."""
    user = tx.user(user_id)
    if user.bot_status is not BotStatus.RUNNING or user_id in busy:
        return None
    if has_calendar(user.schedule):
        return _enter(tx, user_id, user, first_run(user, now))
    coming = after_cycle(user, now, ended or now)
    if coming.at is not None and (coming.at < now or ended is None):
        soonest = min(coming.at, user.next_run_at or coming.at)
        coming = first_run(user, max(now, soonest))
    return _enter(tx, user_id, user, coming)


def replace_at(coming: Next, at: datetime) -> Next:
    """The same at another moment."""
    return Next(at, coming.missed, coming.over)


def _enter(tx: Transaction, user_id: str, user: User, coming: Next) -> Next:
    if coming.at is None:
        _stop(tx, user_id, user, coming.over)
    else:
        tx.put_user(user_id, replace(user, next_run_at=coming.at))
    return coming


def _stop(tx: Transaction, user_id: str, user: User, reason: str | None) -> None:
    tx.put_user(user_id, replace(user, bot_status=BotStatus.STOPPED, status_reason=reason, next_run_at=None))
