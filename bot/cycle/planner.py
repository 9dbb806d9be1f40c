"""Who posts where: every group to exactly one of the user's sessions. Pure and deterministic.

Sticky without a memory: each group ranks the sessions by a hash of both names and takes the first that has room, so a
group keeps its account from cycle to cycle, and a session that comes or goes moves few groups. Balanced: no session
gets more than its even share.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from bot.chats.membership import NOT_A_MEMBER
from core.models import Hold, Session, SessionState, User


@dataclass(frozen=True)
class Plan:
    """Which session posts to which group, and why some groups are left out this time."""

    sessions: dict[str, str] = field(default_factory=dict)
    """group → session"""
    skipped: dict[str, str] = field(default_factory=dict)
    """group → reason, in words for its user"""


@dataclass(frozen=True)
class Exclusion:
    """What is known to keep an account from posting to a group, without asking."""

    reason: str
    """For the bot's owner."""
    personal: bool = False
    """It is about this very account: its groups are not moved to another one."""
    is_absence: bool = False
    """The account was not in the group when it was asked; it may have joined since."""


NO_BARS: Mapping[str, Mapping[str, Exclusion]] = {}


def plan_cycle(
    user: User,
    sessions: Mapping[str, Session],
    now: datetime,
    groups: Iterable[str] | None = None,
    bars: Mapping[str, Mapping[str, Exclusion]] = NO_BARS,
    *,
    waits_until: datetime | None = None,
) -> Plan:
    """Give each group (all of the user's, or those named) to one session.

    Holds that end by `waits_until` leave nobody out: the cycle waits for them (`pacing.waited_out_until`).
    `bars` is what is known beforehand: group → session → what keeps it from posting this kind of post there.
    """
    usable = {name: sessions[name] for name in user.assigned_sessions if sessions[name].state in _MAY_STAND}
    wanted = sorted(user.groups if groups is None else groups)
    share = -(-len(wanted) // max(1, len(usable)))
    load: Counter[str] = Counter()
    plan = Plan()
    for group in wanted:
        holds, barred = user.group_holds.get(group, {}), bars.get(group, {})
        members = [name for name in usable if _may_post(holds.get(name), barred.get(name), now)]
        if not members:
            plan.skipped[group] = _nobody(user, sessions, holds, barred, now)
            continue
        with_room = [name for name in members if load[name] < share] or members
        name = max(with_room, key=lambda name: _rank(group, name))
        load[name] += 1
        reason = _rests(name, usable[name], holds.get(name), waits_until or now)
        if reason is None and name in barred:
            reason = f"{name}: {barred[name].reason}"
        if reason is None:
            plan.sessions[group] = name
        else:  # its posts are never moved to another account: that would get round the limit
            plan.skipped[group] = reason
    return plan


def keeps(
    user: User,
    sessions: Mapping[str, Session],
    session: str,
    group: str,
    now: datetime,
    bars: Mapping[str, Mapping[str, Exclusion]] = NO_BARS,
) -> bool:
    """Whether the group stays with the account it was given to, also while that rests: posting through another one
    would get round the limit. One that is lost, or is not in the group, leaves it to others."""
    if session not in user.assigned_sessions or sessions[session].state not in _MAY_STAND:
        return False
    hold, bar = user.group_holds.get(group, {}).get(session), bars.get(group, {}).get(session)
    return _may_post(hold, bar, now)


def may_look(user: User, sessions: Mapping[str, Session], session: str) -> bool:
    """Whether the account can look whether its post arrived: also one that rests or is limited reads."""
    return session in user.assigned_sessions and sessions[session].state in _MAY_STAND


def same_chats(groups: Iterable[str], places: Mapping[str, tuple[int, int | None]]) -> dict[str, str]:
    """Groups that are another spelling of one before them → that one.

    `places` gives a group's chat and topic, where they are known. A topic is a place of its own.
    """
    first: dict[tuple[int, int | None], str] = {}
    same: dict[str, str] = {}
    for group in groups:
        if group not in places:
            continue
        before = first.setdefault(places[group], group)
        if before != group:
            same[group] = before
    return same


def same_chat_reason(group: str) -> str:
    """Why the second spelling of a chat gets no post."""
    return f"it is the same chat as {group}, which gets this post already"


_MAY_STAND = frozenset({SessionState.READY, SessionState.FROZEN})


def _rank(group: str, session: str) -> bytes:
    return hashlib.blake2b(f"{session}\0{group}".encode(), digest_size=8).digest()


def _may_post(hold: Hold | None, bar: Exclusion | None, now: datetime) -> bool:
    """Whether the group may be this account's: it is in it, and fit for the post. It may rest all the same."""
    is_elsewhere = hold is not None and hold.until > now and hold.code in NOT_A_MEMBER
    is_unfit = bar is not None and not bar.personal
    return not (is_elsewhere or is_unfit)


def _rests(name: str, session: Session, hold: Hold | None, until: datetime) -> str | None:
    """Why this account does not post to the group by then, None when it may."""
    if session.state is SessionState.FROZEN:
        return f"{name} is frozen by Telegram; its owner has to appeal"
    if session.hold is not None and session.hold.until > until:
        return f"{name} rests until {clock_time(session.hold.until)}: {session.hold.reason}"
    if hold is not None and hold.until > until:
        return f"{name} leaves this group alone until {clock_time(hold.until)}: {hold.reason}"
    return None


def _nobody(
    user: User,
    sessions: Mapping[str, Session],
    holds: Mapping[str, Hold],
    barred: Mapping[str, Exclusion],
    now: datetime,
) -> str:
    if not user.assigned_sessions:
        return "no account is assigned"
    reasons = []
    for name in user.assigned_sessions:
        hold = holds.get(name)
        if sessions[name].state is SessionState.NEEDS_LOGIN:
            reasons.append(f"{name} needs a new login")
        elif hold is not None and hold.until > now:
            reasons.append(f"{name}: {hold.reason}")
        elif name in barred:
            reasons.append(f"{name}: {barred[name].reason}")
    return "no account can post here; " + "; ".join(reasons)


def clock_time(moment: datetime) -> str:
    """A moment as the user's log shows it."""
    return moment.strftime("%Y-%m-%d %H:%M:%S UTC")
