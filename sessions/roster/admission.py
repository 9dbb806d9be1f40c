"""Sessions that come, are renewed, moved and removed. Plain functions on a transaction."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from msgspec.structs import replace

from core.errors import AccountRefused, Conflict, NoRoomOnApiPairs, UnknownSession
from core.models import Hold, Session, SessionState, User
from data.users.data_manager import Transaction
from sessions.foreign.credentials import Credentials
from sessions.keys.api_pairs import least_used, sessions_on_pairs
from sessions.roster.assignment import AssignmentRules, put_user

NOT_HERE = "this account cannot be taken in here; ask the operator"
"""A text that tells nothing about who has accounts here."""
_LONG_AGO = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Newcomer:
    """An account that was logged in or brought. `name` None: its known name, or `tg` and its Telegram id."""

    credentials: Credentials
    name: str | None = None
    owner: str | None = None
    telegram_id: int | None = None
    """The id that Telegram said, never the one in a file."""
    api_id: int | None = None
    phone: str | None = None
    label: str = ""
    by_operator: bool = False


@dataclass(frozen=True)
class Admitted:
    """The result of admitting a newcomer."""

    name: str
    assigned_to: str | None
    """The user whose bot posts with it now."""


def known_as(sessions: Mapping[str, Session], telegram_id: int | None, key_id: str | None) -> str | None:
    """Return the session of this account, None when there is none.

    Older versions let an account have several. The oldest counts.
    """
    same = [
        name
        for name, session in sessions.items()
        if (telegram_id is not None and session.telegram_id == telegram_id)
        or (key_id is not None and session.key_id == key_id)
    ]
    return min(same, key=lambda name: (sessions[name].added_at or _LONG_AGO, name), default=None)


def same_account(known: Session, name: str, viewer: str | None) -> AccountRefused:
    """Return what to tell somebody who brings an account that has a session already.

    Its owner is told which one. Others learn nothing about who has accounts here.
    """
    theirs = viewer is not None and viewer == known.owner
    return AccountRefused(f"the same Telegram account as {name}" if theirs else NOT_HERE, name)


def holder_of(tx: Transaction, name: str) -> str | None:
    """Return the user the session is assigned to."""
    return next((user_id for user_id, user in tx.users.items() if name in user.assigned_sessions), None)


def take_holds_as_of(tx: Transaction, names: Iterable[str], now: datetime) -> None:
    """Let accounts rest no longer than they were asked to, if the clock was set back since."""
    for name in names:
        session = tx.session(name)
        if session.hold is not None and (hold := session.hold.as_of(now)) is not session.hold:
            tx.put_session(name, replace(session, hold=hold))


def admit(tx: Transaction, name: str, newcomer: Newcomer, rules: AssignmentRules, now: datetime) -> Admitted:
    """Make the account a session, or renew the one it has. Its owner may post with it at once.

    A renewed session leaves its user when the pair it was logged in with is full.

    Raises:
        Conflict: the name is another account's.
        AccountRefused: the account is here already, for somebody else.
    """
    key_id = newcomer.credentials.key_id
    known = known_as(tx.sessions, newcomer.telegram_id, key_id)
    if known != name and (known is not None or name in tx.sessions):
        raise Conflict(f"the name {name} is taken by another account; choose another one")
    before = tx.session(name) if known is not None else Session(owner=newcomer.owner, added_at=now)
    if before.owner != newcomer.owner and not newcomer.by_operator:
        raise same_account(before, name, newcomer.owner)
    session = replace(
        before,
        key_id=key_id,
        dc_id=newcomer.credentials.dc_id,
        telegram_id=newcomer.telegram_id or before.telegram_id,
        api_id=newcomer.api_id or before.api_id,
        taken_on=newcomer.api_id if newcomer.telegram_id is not None else before.taken_on,
        phone=newcomer.phone or before.phone,
        label=newcomer.label or before.label,
        state=SessionState.READY,
        state_reason=None,
    )
    tx.put_session(name, session)
    if newcomer.telegram_id is not None:
        resume_hold(tx, name, now)
    return Admitted(name, place(tx, name, rules))


def place(tx: Transaction, name: str, rules: AssignmentRules) -> str | None:
    """Assign a session whose login or pair is new to the user who has it while its pair has room, or to its owner.

    Return the user it is assigned to.
    """
    session, holder = tx.session(name), holder_of(tx, name)
    if holder is not None:
        put_user(tx, holder, tx.user(holder))
        if session.api_id is not None and sessions_on_pairs(tx.users, tx.sessions)[session.api_id] > rules.per_pair:
            release(tx, name)
            holder = None
    elif session.owner is not None and session.owner in tx.users:
        holder = _give_to(tx, name, session.owner, rules)
    return holder


def _give_to(tx: Transaction, name: str, user_id: str, rules: AssignmentRules) -> str | None:
    """Assign the session if the user and a pair have room. Return the user, or None."""
    user, session = tx.user(user_id), tx.session(name)
    if len(user.assigned_sessions) >= rules.per_user or session.state is not SessionState.READY:
        return None
    own = (session.api_id,) if session.api_id is not None else rules.api_ids
    api_id = least_used(own, sessions_on_pairs(tx.users, tx.sessions), rules.per_pair)
    if api_id is None:
        return None
    tx.put_session(name, replace(session, api_id=api_id))
    put_user(tx, user_id, replace(user, assigned_sessions=(*user.assigned_sessions, name)))
    return user_id


def release(tx: Transaction, name: str) -> str | None:
    """Take the session from its user, so that it can be given again. Return the user, None if it had none."""
    tx.session(name)
    holder = holder_of(tx, name)
    if holder is not None:
        user = tx.user(holder)
        holds = {
            group: {by: hold for by, hold in held.items() if by != name} for group, held in user.group_holds.items()
        }
        keep = tuple(other for other in user.assigned_sessions if other != name)
        put_user(
            tx,
            holder,
            replace(user, assigned_sessions=keep, group_holds={group: held for group, held in holds.items() if held}),
        )
    return holder


def move(tx: Transaction, name: str, user_id: str, rules: AssignmentRules) -> str | None:
    """Give the session to that user and nobody else. Return who had it before.

    Raises:
        UnknownUser, UnknownSession.
        Conflict: it is somebody's own account, it cannot post, or the user has as many as allowed.
        NoRoomOnApiPairs: its pair is full.
    """
    user, session = tx.user(user_id), tx.session(name)
    if session.owner not in {None, user_id}:
        raise Conflict(f"{name} is the own account of another user and is never given away")
    if session.state is not SessionState.READY:
        raise Conflict(f"{name} cannot post: {session.state_reason or session.state.value}")
    if name in user.assigned_sessions:
        return user_id
    if len(user.assigned_sessions) >= rules.per_user:
        raise Conflict(f"{user_id} has {rules.per_user} accounts already, as many as a user may; release one first")
    before = release(tx, name)
    if _give_to(tx, name, user_id, rules) is None:
        raise NoRoomOnApiPairs(f"every API pair {name} may run on carries {rules.per_pair} sessions; add a pair")
    return before


def set_owner(tx: Transaction, name: str, user_id: str | None) -> None:
    """Make the session that user's own, or a spare one (None). The user who posts with it now keeps it.

    Raises:
        UnknownUser, UnknownSession.
        Conflict: another user posts with it.
    """
    session, holder = tx.session(name), holder_of(tx, name)
    if user_id is not None:
        tx.user(user_id)
        if holder not in {None, user_id}:
            raise Conflict(f"{holder} posts with {name}; release it first")
    tx.put_session(name, replace(session, owner=user_id))


def give_pair(tx: Transaction, name: str, api_id: int, rules: AssignmentRules) -> None:
    """Let the session run on that pair. One that needed a login for want of a pair is ready again.

    Raises:
        UnknownSession.
        Conflict: the pair may not be used.
        NoRoomOnApiPairs: it carries as many as it may.
    """
    must_have_room(tx.users, tx.sessions, name, api_id, rules)
    session = tx.session(name)
    ready = replace(session, api_id=api_id)
    if session.state is SessionState.NEEDS_LOGIN:
        ready = replace(ready, state=SessionState.READY, state_reason=None)
    tx.put_session(name, ready)
    place(tx, name, rules)


def must_have_room(
    users: Mapping[str, User], sessions: Mapping[str, Session], name: str, api_id: int, rules: AssignmentRules
) -> None:
    """Check that the session may run on that pair. Raises as `give_pair` does."""
    if name not in sessions:
        raise UnknownSession(f"there is no session {name!r}")
    if api_id not in rules.api_ids:
        raise Conflict(f"API pair {api_id} is not enabled")
    used = sessions_on_pairs(users, sessions)[api_id]
    if sessions[name].api_id == api_id and any(name in user.assigned_sessions for user in users.values()):
        used -= 1
    if used >= rules.per_pair:
        raise NoRoomOnApiPairs(f"API pair {api_id} carries {rules.per_pair} sessions, as many as it may; add a pair")


def leave_pair(tx: Transaction, api_id: int) -> list[str]:
    """Let the sessions that do not work leave the pair, so that it can be removed. Return their names.

    Raises:
        Conflict: sessions that work run on it.
    """
    on_it = sorted(name for name, session in tx.sessions.items() if session.api_id == api_id)
    working = [name for name in on_it if tx.session(name).state in {SessionState.READY, SessionState.FROZEN}]
    if working:
        named = ", ".join(working[:10]) + (" and others" if len(working) > 10 else "")
        raise Conflict(f"{len(working)} account(s) run on API pair {api_id}: {named}; give them another pair first")
    for name in on_it:
        tx.put_session(name, replace(tx.session(name), api_id=None))
    for user_id in {holder for name in on_it if (holder := holder_of(tx, name)) is not None}:
        put_user(tx, user_id, tx.user(user_id))
    return on_it


def remove(tx: Transaction, name: str, key_id: str | None, now: datetime) -> str | None:
    """Forget a session with that key; return the user who had it. A hold that still runs stays with the account.

    Raises:
        UnknownSession.
        Conflict: it has another key meanwhile.
    """
    if tx.session(name).key_id != key_id:
        raise Conflict(f"{name} was logged in anew meanwhile; delete it again if that is still wanted")
    holder = release(tx, name)
    _keep_hold(tx, tx.session(name), now)
    tx.remove_session(name)
    return holder


def _keep_hold(tx: Transaction, session: Session, now: datetime) -> None:
    """Keep the hold for when the account comes back with another login. Drop kept holds that are over."""
    for account, kept in list(tx.holds.items()):
        if kept.as_of(now).until <= now:
            tx.put_hold(account, None)
    if session.telegram_id is not None and session.hold is not None and session.hold.as_of(now).until > now:
        tx.put_hold(str(session.telegram_id), session.hold)


def resume_hold(tx: Transaction, name: str, now: datetime, other: Hold | None = None) -> None:
    """Let the session, whose account Telegram confirmed, rest as long as its account has to.

    The longest of these holds counts: its own, the one kept from an earlier session that was deleted, and `other`.
    """
    session = tx.session(name)
    account = str(session.telegram_id)
    kept = tx.holds.get(account)
    holds = [hold.as_of(now) for hold in (session.hold, kept, other) if hold is not None]
    if kept is not None:
        tx.put_hold(account, None)
    if holds and (kept is not None or other is not None):
        tx.put_session(name, replace(session, hold=max(holds, key=lambda hold: hold.until)))


def quarantine(tx: Transaction, api_id: int, reason: str, rules: AssignmentRules) -> dict[str, str | None]:
    """Let the sessions leave a refused pair.

    Those that Telegram never took on it run on another pair. The others need a new login. Return these, each with the
    user it is assigned to, if any.
    """
    hit = [name for name, session in tx.sessions.items() if session.api_id == api_id]
    ready = [name for name in hit if tx.session(name).state is SessionState.READY]
    marked = [name for name in ready if not _leaves_for_another(tx, name, rules)]
    for name in marked:
        tx.put_session(name, replace(tx.session(name), state=SessionState.NEEDS_LOGIN, state_reason=reason))
    return {name: holder_of(tx, name) for name in marked}


def _leaves_for_another(tx: Transaction, name: str, rules: AssignmentRules) -> bool:
    """Give the session another pair if Telegram never took it on this one. Return whether that was so."""
    session, holder = tx.session(name), holder_of(tx, name)
    if session.taken_on == session.api_id or (session.taken_on is None and session.last_used_at is not None):
        return False  # it was logged in with this pair, or may have been before logins were noted
    if holder is None:
        tx.put_session(name, replace(session, api_id=None))
        return True
    others = [one for one in rules.api_ids if one != session.api_id]
    proven = [one for one in others if one == session.taken_on]
    used = sessions_on_pairs(tx.users, tx.sessions)
    api_id = least_used(proven, used, rules.per_pair) or least_used(others, used, rules.per_pair)
    if api_id is None:
        return False
    tx.put_session(name, replace(session, api_id=api_id))
    put_user(tx, holder, tx.user(holder))
    return True
