"""Who gets which session. Plain functions on a transaction, so that the check and the act are one.

A session belongs to at most one user and keeps the pair it was given. An API pair carries at most `per_pair` sessions
over all users. Nobody gets a session that somebody else owns.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from msgspec.structs import replace

from core.errors import NoRoomOnApiPairs, NoSpareSession
from core.models import BannedSession, BotStatus, Session, SessionState, User
from data.users.data_manager import Transaction
from sessions.keys.api_pairs import least_used, sessions_on_pairs

WAVES = ((timedelta(minutes=10), 2), (timedelta(hours=24), 3))
"""This many bans within this time are a wave: the bot stops instead of spending more accounts."""
BAN_WAVE = "several accounts were banned within a short time; find out why before you start the bot again"


@dataclass(frozen=True)
class AssignmentRules:
    """What an operator allows."""

    api_ids: tuple[int, ...]
    per_user: int
    per_pair: int
    replacements_per_day: int
    waves: tuple[tuple[timedelta, int], ...] = WAVES
    """How many bans within which time are a wave."""


@dataclass(frozen=True)
class Replacement:
    """What followed from a ban. `spare` is None if no session could or should be given; `why_not` says why."""

    spare: str | None
    why_not: str | None = None
    wave: bool = False


def assign(tx: Transaction, user_id: str, wanted: int, rules: AssignmentRules, now: datetime) -> tuple[str, ...]:
    """Bring the user to `wanted` sessions, or as near as the pool allows. Return the new ones.

    Raises:
        NoSpareSession: the user has none and the pool has none.
        NoRoomOnApiPairs: the user has none, and spare sessions are there, but every pair is full.
    """
    user = tx.user(user_id)
    given: list[str] = []
    refused: NoSpareSession | NoRoomOnApiPairs | None = None
    while len(user.assigned_sessions) + len(given) < min(wanted, rules.per_user):
        try:
            given.append(_give_one(tx, user_id, rules, now))
        except (NoSpareSession, NoRoomOnApiPairs) as error:
            refused = error
            break
    if refused is not None and not given and not user.assigned_sessions:
        raise refused
    return tuple(given)


def assign_for_groups(
    tx: Transaction, user_id: str, most: int, rules: AssignmentRules, now: datetime
) -> tuple[str, ...]:
    """Give a user without sessions one for each group, at most `most`. Return the new ones.

    Raises:
        NoSpareSession, NoRoomOnApiPairs: nothing can be given.
    """
    wanted = min(most, len(tx.user(user_id).groups))
    given = assign(tx, user_id, wanted, rules, now)
    tx.put_user(user_id, replace(tx.user(user_id), accounts_given=len(given)))
    return given


def assign_more(tx: Transaction, user_id: str, most: int, rules: AssignmentRules, now: datetime) -> tuple[str, ...]:
    """Give a user the sessions that more groups ask for, or that the pool lacked before. Return the new ones.

    Sessions that were banned or taken away are not replaced here. A user who had a ban within a day gets none.
    """
    user = tx.user(user_id)
    if user.accounts_given == 0 or any(now - ban.at < timedelta(hours=24) for ban in user.banned_sessions):
        return ()
    had = max(user.accounts_given, len(user.assigned_sessions))
    missing = min(most, len(user.groups)) - had
    if missing <= 0:
        return ()
    given = assign(tx, user_id, len(user.assigned_sessions) + missing, rules, now)
    if given:
        tx.put_user(user_id, replace(tx.user(user_id), accounts_given=had + len(given)))
    return given


def count_given(tx: Transaction, user_id: str) -> None:
    """Count the accounts from the pool for a user from before accounts were counted.

    A user with only accounts of their own is given none.
    """
    user = tx.user(user_id)
    if user.accounts_given or all(tx.session(name).owner == user_id for name in user.assigned_sessions):
        return
    lost = sum(ban.replaced_by is None for ban in user.banned_sessions)
    tx.put_user(user_id, replace(user, accounts_given=len(user.assigned_sessions) + lost))


def retire(tx: Transaction, user_id: str, name: str, reason: str, rules: AssignmentRules, now: datetime) -> Replacement:
    """Take a banned session from its user for good and give a spare one, unless that would feed a wave of bans."""
    user = tx.user(user_id)
    if name not in user.assigned_sessions:
        return Replacement(None, "it was no longer assigned")
    tx.put_session(name, replace(tx.session(name), state=SessionState.BANNED, state_reason=reason))
    bans = (*user.banned_sessions, BannedSession(name=name, at=now, reason=reason))
    keep = tuple(other for other in user.assigned_sessions if other != name)
    put_user(tx, user_id, replace(user, assigned_sessions=keep, banned_sessions=bans))
    if _is_wave(bans, now, rules):
        # Spending more accounts on whatever gets them banned helps nobody.
        stopping = replace(tx.user(user_id), status_reason=BAN_WAVE)
        if stopping.bot_status is BotStatus.RUNNING:
            stopping = replace(stopping, bot_status=BotStatus.STOPPING, next_run_at=None)
        tx.put_user(user_id, stopping)
        return Replacement(None, "several accounts were banned within a short time", wave=True)
    today = [ban for ban in bans if ban.replaced_by and now - ban.at < timedelta(hours=24)]
    if len(today) >= rules.replacements_per_day:
        return Replacement(None, f"{rules.replacements_per_day} accounts were replaced within 24 hours already")
    try:
        spare = _give_one(tx, user_id, rules, now)
    except (NoSpareSession, NoRoomOnApiPairs) as error:
        return Replacement(None, str(error))
    user = tx.user(user_id)
    bans = (*user.banned_sessions[:-1], replace(user.banned_sessions[-1], replaced_by=spare))
    tx.put_user(user_id, replace(user, banned_sessions=bans))
    return Replacement(spare)


def _is_wave(bans: tuple[BannedSession, ...], now: datetime, rules: AssignmentRules) -> bool:
    return any(sum(now - ban.at < within for ban in bans) >= many for within, many in rules.waves)


def _give_one(tx: Transaction, user_id: str, rules: AssignmentRules, now: datetime) -> str:
    """Assign the best spare session. Raises NoSpareSession, NoRoomOnApiPairs."""
    spares = _spares(tx, user_id, now)
    if not spares:
        raise NoSpareSession(
            "there is no spare account: log one in or put its .session file into sessions/available, then start again"
        )
    used = sessions_on_pairs(tx.users, tx.sessions)
    for name, session in spares:
        own = (session.api_id,) if session.api_id is not None else rules.api_ids
        api_id = least_used([pair for pair in own if pair in rules.api_ids], used, rules.per_pair)
        if api_id is not None:
            tx.put_session(name, replace(session, api_id=api_id))
            user = tx.user(user_id)
            put_user(tx, user_id, replace(user, assigned_sessions=(*user.assigned_sessions, name)))
            return name
    raise NoRoomOnApiPairs(
        f"spare accounts are there, but every API pair carries {rules.per_pair} sessions: "
        "add a pair to POSTFLEET_API_PAIRS"
    )


def _spares(tx: Transaction, user_id: str, now: datetime) -> list[tuple[str, Session]]:
    """Return sessions the user may be given: their own before shared ones, by name."""
    taken = {name for user in tx.users.values() for name in user.assigned_sessions}
    free = [
        (name, session)
        for name, session in tx.sessions.items()
        if name not in taken
        and session.state is SessionState.READY
        and session.owner in {None, user_id}
        and (session.hold is None or session.hold.until <= now)
    ]
    return sorted(free, key=lambda item: (item[1].owner is None, item[0]))


def put_user(tx: Transaction, user_id: str, user: User) -> None:
    """Store a user whose sessions changed, with the pairs they run on."""
    pairs = {api_id for name in user.assigned_sessions if (api_id := tx.session(name).api_id) is not None}
    tx.put_user(user_id, replace(user, api_pairs=tuple(sorted(pairs))))
