"""Who posts where: every group goes to exactly one of the user's sessions. Pure and deterministic.

Each group ranks the sessions by a hash of both names and takes the first that has room. A group therefore keeps its
account from cycle to cycle, and a session that comes or goes moves few groups. No session gets more than its even
share.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from bot.chats.membership import NOT_A_MEMBER
from core.models import Hold, Session, SessionState


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
    """Whether it is about this very account: its groups are not moved to another one."""
    is_absence: bool = False
    """The account was not in the group when it was asked; it may have joined since."""


Exclusions = dict[str, dict[str, Exclusion]]
"""group → session → why Telegram would refuse the post there"""


@dataclass(frozen=True)
class AccountSet:
    """A user's accounts, in the user's order, and what keeps each of them from a group."""

    sessions: Mapping[str, Session]
    holds: Mapping[str, Mapping[str, Hold]] = field(default_factory=dict)
    """group → session → until when the account leaves the group alone"""
    exclusions: Mapping[str, Mapping[str, Exclusion]] = field(default_factory=dict)
    """What is known beforehand: group → session → why it cannot make this kind of post there."""

    def of(self, name: str, *, with_exclusions: bool = True) -> "AccountSet":
        """Return the set of that account alone."""
        sessions = {name: self.sessions[name]} if name in self.sessions else {}
        return AccountSet(sessions, self.holds, self.exclusions if with_exclusions else {})


def plan_cycle(
    accounts: AccountSet, groups: Iterable[str], now: datetime, *, waits_until: datetime | None = None
) -> Plan:
    """Give each group to one account.

    Holds that end by `waits_until` leave nobody out: the cycle waits for them (`pacing.waited_out_until`).
    """
    usable = {name: session for name, session in accounts.sessions.items() if session.state in _MAY_STAND}
    wanted = sorted(groups)
    share = -(-len(wanted) // max(1, len(usable)))
    load: Counter[str] = Counter()
    plan = Plan()
    for group in wanted:
        holds, excluded = accounts.holds.get(group, {}), accounts.exclusions.get(group, {})
        members = [name for name in usable if _may_post(holds.get(name), excluded.get(name), now)]
        if not members:
            plan.skipped[group] = _nobody(accounts.sessions, holds, excluded, now)
            continue
        with_room = [name for name in members if load[name] < share] or members
        name = max(with_room, key=lambda name: _rank(group, name))
        load[name] += 1
        reason = _rests(name, usable[name], holds.get(name), waits_until or now)
        if reason is None and name in excluded:
            reason = f"{name}: {excluded[name].reason}"
        if reason is None:
            plan.sessions[group] = name
        else:  # its posts are never moved to another account: that would get round the limit
            plan.skipped[group] = reason
    return plan


def keeps(accounts: AccountSet, session: str, group: str, now: datetime) -> bool:
    """Return whether the group stays with the account it was given to, also while that rests.

    Posting through another one would get round the limit. An account that is lost, or is not in the group, leaves it
    to others.
    """
    hold, exclusion = accounts.holds.get(group, {}).get(session), accounts.exclusions.get(group, {}).get(session)
    return may_look(accounts, session) and _may_post(hold, exclusion, now)


def may_look(accounts: AccountSet, session: str) -> bool:
    """Return whether the account can look whether its post arrived. One that rests or is limited can read, too."""
    return session in accounts.sessions and accounts.sessions[session].state in _MAY_STAND


def same_chats(groups: Iterable[str], places: Mapping[str, tuple[int, int | None]]) -> dict[str, str]:
    """Return the groups that are another spelling of one before them → that one.

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
    """Return why the second spelling of a chat gets no post."""
    return f"it is the same chat as {group}, which gets this post already"


_MAY_STAND = frozenset({SessionState.READY, SessionState.FROZEN})


def _rank(group: str, session: str) -> bytes:
    return hashlib.blake2b(f"{session}\0{group}".encode(), digest_size=8).digest()


def _may_post(hold: Hold | None, exclusion: Exclusion | None, now: datetime) -> bool:
    """Return whether the group may be this account's: it is in it, and fit for the post. It may still rest."""
    is_elsewhere = hold is not None and hold.until > now and hold.code in NOT_A_MEMBER
    is_unfit = exclusion is not None and not exclusion.personal
    return not (is_elsewhere or is_unfit)


def _rests(name: str, session: Session, hold: Hold | None, until: datetime) -> str | None:
    """Return why this account does not post to the group by then, None when it may."""
    if session.state is SessionState.FROZEN:
        return f"{name} is frozen by Telegram; its owner has to appeal"
    if session.hold is not None and session.hold.until > until:
        return f"{name} rests until {clock_time(session.hold.until)}: {session.hold.reason}"
    if hold is not None and hold.until > until:
        return f"{name} leaves this group alone until {clock_time(hold.until)}: {hold.reason}"
    return None


def _nobody(
    sessions: Mapping[str, Session], holds: Mapping[str, Hold], excluded: Mapping[str, Exclusion], now: datetime
) -> str:
    if not sessions:
        return "no account is assigned"
    reasons = []
    for name, session in sessions.items():
        hold = holds.get(name)
        if session.state is SessionState.NEEDS_LOGIN:
            reasons.append(f"{name} needs a new login")
        elif hold is not None and hold.until > now:
            reasons.append(f"{name}: {hold.reason}")
        elif name in excluded:
            reasons.append(f"{name}: {excluded[name].reason}")
    return "no account can post here; " + "; ".join(reasons)


def clock_time(moment: datetime) -> str:
    """Return a moment as the user's log shows it."""
    return moment.strftime("%Y-%m-%d %H:%M:%S UTC")
