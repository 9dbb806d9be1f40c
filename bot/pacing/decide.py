"""When may this account post to this group, and does the cycle wait for it? Every wait is decided here.

Telethon's own sleeping is off. A known wait is kept before the request, so that no request is sent only to be refused.

These rules (docs/scheduling.md explains them to users) decide between waiting and leaving a post to a later cycle:
- A gap that the user or the operator asks for is waited for, however long it is.
- A group in slow mode is waited for within `slow_mode_patience`, whether or not the slow mode was known beforehand.
- Everything else (a flood wait, a hold on a group, the daily cap) is waited for within `patience`.
The planner asks `waited_out_until`, so that it skips no account that the cycle would wait for.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from core.models import Hold

DAILY_CAP = 200
"""Most posts of an account in any 24 hours, unless its user asks for fewer. Telegram names no number; this is ours."""
SLOW_MODE_MARGIN = 1.0
"""Telegram dates messages in whole seconds, so one second more keeps a post from coming a fraction too early. It does
not count towards patience: a patience of 60 seconds is enough for a slow mode of 60."""
SLOW_MODE_SHARE = 0.1
"""The next cycle begins when this one ends, so waiting for one slow group delays all others. The wait is at most this
part of the delay between cycles."""
_PAUSES = frozenset({"account_gap", "group_gap"})
_SLOW_MODE = frozenset({"slow_mode", "SLOWMODE_WAIT"})
"""The codes for a slow mode that was known beforehand, and for Telegram's refusal."""
_DAY = timedelta(days=1)


class Verdict(StrEnum):
    """What to do about a delivery now."""

    GO = "go"
    WAIT = "wait"
    """The cycle waits for it."""
    DEFER = "defer"
    """The wait is too long for this cycle. The delivery is skipped, and the log says until when."""


@dataclass(frozen=True)
class Limits:
    """What the user and the operator ask for. Times are in seconds."""

    account_gap: float = 3.0
    """Between two posts of one account, to any group."""
    group_gap: float = 0.0
    """Between two posts to one group, by any of the user's accounts."""
    daily_cap: int = DAILY_CAP
    """Most posts of one account in any 24 hours; 0: none at all."""
    patience: float = 60.0
    """How long a cycle waits for one delivery."""
    slow_mode_patience: float = math.inf
    """How long it waits for a group in slow mode, if that is less than `patience`: the other groups wait, too."""


@dataclass(frozen=True)
class PacingState:
    """What is known about an account and a group at one moment. The defaults allow a post."""

    account_posts: Sequence[datetime] = ()
    """When the account posted in the last 24 hours, oldest first, to any group."""
    account_asked: datetime | None = None
    """When the account last sent a request to post, with any outcome."""
    group_last: datetime | None = None
    """When any of the user's accounts last posted to the group."""
    own_last_in_group: datetime | None = None
    """When this account last posted to the group."""
    slow_mode_seconds: float = 0.0
    """The group's slow mode for this account; 0 for administrators."""
    account_hold: Hold | None = None
    group_hold: Hold | None = None
    """The hold of this account in this group."""


@dataclass(frozen=True)
class Decision:
    """What to do with a delivery, and why."""

    verdict: Verdict
    at: datetime
    """When it may go. For GO that is now."""
    seconds: float
    """From now until `at`."""
    code: str
    """The limit that ends last: `free account_gap group_gap slow_mode daily_cap`, or the code of a hold."""
    reason: str
    """For the bot's owner."""


@dataclass(frozen=True)
class _Wait:
    """One reason not to post before `at`."""

    at: datetime
    code: str
    reason: str


def decide(now: datetime, limits: Limits, state: PacingState) -> Decision:
    """Return the earliest moment that every limit allows, and whether this cycle waits for it.

    After that wait the same facts always give GO, unless the daily cap is 0.
    """
    waits = [wait for wait in _waits(now, limits, state) if wait.at > now]
    if not waits:
        return Decision(Verdict.GO, now, 0.0, "free", "Nothing stands in the way.")
    last = max(waits, key=lambda wait: wait.at)
    seconds = (last.at - now).total_seconds()
    verdict = Verdict.WAIT if seconds <= _patience_for(last.code, limits) else Verdict.DEFER
    return Decision(verdict, last.at, seconds, last.code, last.reason)


def waited_out_until(now: datetime, patience: float) -> datetime:
    """Return the latest end of a wait that a cycle still waits for."""
    return now + timedelta(seconds=patience)


def _patience_for(code: str, limits: Limits) -> float:
    """Return how many seconds a cycle waits at most for a wait of this code."""
    if code in _PAUSES:
        return math.inf
    if code in _SLOW_MODE:
        return min(limits.patience, limits.slow_mode_patience) + SLOW_MODE_MARGIN
    return limits.patience


def cycle_seconds(posts_by_account: Sequence[int], limits: Limits, seconds_a_post: float = 0.5) -> float:
    """Return about how long a cycle takes: accounts post side by side, with a gap between posts. Holds are left out."""
    busiest = max(posts_by_account, default=0)
    return busiest * seconds_a_post + max(0, busiest - 1) * limits.account_gap


def _waits(now: datetime, limits: Limits, state: PacingState) -> list[_Wait]:
    holds = (state.account_hold, state.group_hold)
    waits = [_Wait(hold.until, hold.code, hold.reason) for hold in holds if hold is not None]
    if last := max([*state.account_posts[-1:], *filter(None, [state.account_asked])], default=None):
        rested = last + timedelta(seconds=limits.account_gap)
        waits.append(_Wait(rested, "account_gap", "This account rests between two posts."))
    if state.group_last is not None:
        quiet = state.group_last + timedelta(seconds=limits.group_gap)
        waits.append(_Wait(quiet, "group_gap", "Posts to this group keep their distance."))
    if state.own_last_in_group is not None and state.slow_mode_seconds > 0:
        over = state.own_last_in_group + timedelta(seconds=state.slow_mode_seconds + SLOW_MODE_MARGIN)
        waits.append(_Wait(over, "slow_mode", "The group is in slow mode."))
    if (room := _room_under_the_cap(now, limits, state)) is not None:
        waits.append(_Wait(room, "daily_cap", f"This account made its {limits.daily_cap} posts of 24 hours."))
    return waits


def _room_under_the_cap(now: datetime, limits: Limits, state: PacingState) -> datetime | None:
    """Return when the last 24 hours have fewer than `daily_cap` posts; None if they have now."""
    if limits.daily_cap <= 0:
        return now + _DAY
    if len(state.account_posts) < limits.daily_cap:
        return None
    return state.account_posts[-limits.daily_cap] + _DAY
