"""When may this account post to this group, and does the cycle wait for it? One pure answer to every wait there is.

Telethon's own sleeping is off: a wait that is known beforehand is waited here, and no request is sent to be refused.

Whether a wait is waited out or left to a later cycle is decided here alone (docs/scheduling.md tells users):
- pauses that the user or the operator asks for are waited out however long they are;
- a group in slow mode is waited for as long as `slow_mode_patience` lets it, whoever told of the slow mode;
- everything else (a flood wait, a hold on a group, the posts of a day) is waited for as long as `patience` lets it.
The planner asks `waited_out_until`, so that it leaves out nobody whom the cycle would wait for.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from core.models import Hold

DAILY_CAP = 200
"""Posts an account makes in any 24 hours, unless its user asks for fewer. Our own caution; Telegram tells no number."""
SLOW_MODE_MARGIN = 1.0
"""Telegram dates messages in whole seconds: one more keeps a post from coming a fraction too early. It costs no
patience: a group of 60 seconds is waited for by who waits for 60."""
SLOW_MODE_SHARE = 0.1
"""The next cycle begins when this one ends, so waiting for one slow group keeps all others waiting too: at most for
this part of the pause between cycles."""
_PAUSES = frozenset({"account_gap", "group_gap"})
_SLOW_MODE = frozenset({"slow_mode", "SLOWMODE_WAIT"})
"""As it was known beforehand, and as Telegram refused for it."""
_DAY = timedelta(days=1)


class Verdict(StrEnum):
    """What to do about a delivery now."""

    GO = "go"
    WAIT = "wait"
    """The cycle waits for it."""
    DEFER = "defer"
    """It has to wait longer than the cycle does: leave it for later, and say so."""


@dataclass(frozen=True)
class Limits:
    """What the user and the house ask for. Seconds."""

    account_gap: float = 3.0
    """Between two posts of one account, wherever they go."""
    group_gap: float = 0.0
    """Between two posts to one group, whichever of the user's accounts makes them."""
    daily_cap: int = DAILY_CAP
    """Posts of one account in any 24 hours; 0 stands for none at all."""
    patience: float = 60.0
    """How long a cycle waits for one delivery."""
    slow_mode_patience: float = math.inf
    """How long it waits for a group in slow mode, where that is less: others of the cycle wait as well."""


@dataclass(frozen=True)
class PacingState:
    """What is known about an account and a group at one moment. Left out: nothing stands in the way."""

    account_posts: Sequence[datetime] = ()
    """When the account posted in the last 24 hours, oldest first, wherever it went."""
    account_asked: datetime | None = None
    """When the account last sent a request to post, whatever came of it."""
    group_last: datetime | None = None
    """When any of the user's accounts last posted to the group."""
    own_last_in_group: datetime | None = None
    """When this account last posted to the group."""
    slow_mode_seconds: float = 0.0
    """The group's slow mode for this account; 0 for administrators."""
    slow_mode_until: datetime | None = None
    """When Telegram itself says the account may post there next (`slowmode_next_send_date`)."""
    account_hold: Hold | None = None
    group_hold: Hold | None = None
    """This account in this group."""


@dataclass(frozen=True)
class Decision:
    """The answer, and what decided it."""

    verdict: Verdict
    at: datetime
    """When it may go; for GO this moment."""
    seconds: float
    """From now until then."""
    code: str
    """The limit that ends last: `free account_gap group_gap slow_mode daily_cap`, or the code of a hold."""
    reason: str
    """For the bot's owner."""


@dataclass(frozen=True)
class _Bar:
    """One limit: not before `at`."""

    at: datetime
    code: str
    reason: str


def decide(now: datetime, limits: Limits, standing: PacingState) -> Decision:
    """The earliest moment every limit allows, and whether this cycle waits for it.

    Waiting that long and asking again with the same facts always returns GO (unless the daily cap is 0).
    """
    bars = [bar for bar in _bars(now, limits, standing) if bar.at > now]
    if not bars:
        return Decision(Verdict.GO, now, 0.0, "free", "Nothing stands in the way.")
    last = max(bars, key=lambda bar: bar.at)
    seconds = (last.at - now).total_seconds()
    verdict = Verdict.WAIT if seconds <= _patience_for(last.code, limits) else Verdict.DEFER
    return Decision(verdict, last.at, seconds, last.code, last.reason)


def waited_out_until(now: datetime, patience: float) -> datetime:
    """Whatever ends by then a cycle may wait for."""
    return now + timedelta(seconds=patience)


def _patience_for(code: str, limits: Limits) -> float:
    """Seconds a cycle waits for what this limit keeps back."""
    if code in _PAUSES:
        return math.inf
    if code in _SLOW_MODE:
        return min(limits.patience, limits.slow_mode_patience) + SLOW_MODE_MARGIN
    return limits.patience


def cycle_seconds(posts_by_account: Sequence[int], limits: Limits, seconds_a_post: float = 0.5) -> float:
    """About how long a cycle takes: accounts work side by side, each rests between its posts. Holds are not in it."""
    busiest = max(posts_by_account, default=0)
    return busiest * seconds_a_post + max(0, busiest - 1) * limits.account_gap


def _bars(now: datetime, limits: Limits, standing: PacingState) -> list[_Bar]:
    holds = (standing.account_hold, standing.group_hold)
    bars = [_Bar(hold.until, hold.code, hold.reason) for hold in holds if hold is not None]
    if last := max([*standing.account_posts[-1:], *filter(None, [standing.account_asked])], default=None):
        rested = last + timedelta(seconds=limits.account_gap)
        bars.append(_Bar(rested, "account_gap", "This account rests between two posts."))
    if standing.group_last is not None:
        quiet = standing.group_last + timedelta(seconds=limits.group_gap)
        bars.append(_Bar(quiet, "group_gap", "Posts to this group keep their distance."))
    bars += _slow_mode(standing)
    if (room := _room_under_the_cap(now, limits, standing)) is not None:
        bars.append(_Bar(room, "daily_cap", f"This account made its {limits.daily_cap} posts of 24 hours."))
    return bars


def _slow_mode(standing: PacingState) -> list[_Bar]:
    ends = [standing.slow_mode_until] if standing.slow_mode_until is not None else []
    if standing.own_last_in_group is not None and standing.slow_mode_seconds > 0:
        ends.append(standing.own_last_in_group + timedelta(seconds=standing.slow_mode_seconds + SLOW_MODE_MARGIN))
    return [_Bar(end, "slow_mode", "The group is in slow mode.") for end in ends]


def _room_under_the_cap(now: datetime, limits: Limits, standing: PacingState) -> datetime | None:
    """When fewer than `daily_cap` posts lie in the last 24 hours; None when that is so now."""
    if limits.daily_cap <= 0:
        return now + _DAY
    if len(standing.account_posts) < limits.daily_cap:
        return None
    return standing.account_posts[-limits.daily_cap] + _DAY
