"""Each account as people see it: its state, why, until when, what it did. Owners see whole phone numbers."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import StrEnum

import msgspec

from core.models import Moment, Session, SessionState
from data.journal.reads import SessionPosts
from data.users.data_manager import Snapshot

LIMITED_CODES = frozenset({"PEER_FLOOD", "USER_RESTRICTED", "USER_BANNED_IN_CHANNEL"})
"""Holds on the account as such, not on one kind of call for a while."""


class AccountState(StrEnum):
    """What an account does, or why it does nothing."""

    READY = "ready"
    POSTING = "posting"
    RESTING = "resting"
    """Telegram asked for a pause until `until`."""
    LIMITED = "limited"
    """Telegram limits the account. It is tried again at `until`."""
    NEEDS_LOGIN = "needs_login"
    FROZEN = "frozen"
    BANNED = "banned"
    DUPLICATE = "duplicate"
    """Its Telegram account has another session here. It never posts."""


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """One account as `viewer` may see it."""

    name: str
    label: str
    state: AccountState
    reason: str | None
    until: Moment | None
    user: str | None
    """The user whose bot posts with it."""
    owner: str | None
    """The only user who may have it. None: a spare one for everyone."""
    phone: str | None
    """Whole for its owner, masked for everybody else."""
    telegram_id: int | None
    api_id: int | None
    added_at: Moment | None
    last_used_at: Moment | None
    posts_today: int
    """Since midnight UTC."""


def accounts(
    snapshot: Snapshot,
    now: datetime,
    viewer: str | None,
    posts: Mapping[str, SessionPosts],
    posting: Iterable[str] = (),
) -> list[Account]:
    """Return the accounts that the viewer may see, by name: their own and assigned ones; all for None (operators)."""
    holders = {name: user_id for user_id, user in snapshot.users.items() for name in user.assigned_sessions}
    busy = set(posting)
    return [
        _account(name, session, holders.get(name), now, viewer, posts.get(name), name in busy)
        for name, session in sorted(snapshot.sessions.items())
        if viewer is None or viewer in {session.owner, holders.get(name)}
    ]


def _account(
    name: str,
    session: Session,
    holder: str | None,
    now: datetime,
    viewer: str | None,
    posts: SessionPosts | None,
    posting: bool,
) -> Account:
    state, reason, until = health_of(session, now, posting=posting)
    seen = [moment for moment in (session.last_used_at, posts.last if posts else None) if moment is not None]
    whole = viewer is not None and viewer == session.owner
    return Account(
        name=name,
        label=session.label,
        state=state,
        reason=reason,
        until=until,
        user=holder,
        owner=session.owner,
        phone=shown_phone(session.phone, whole=whole),
        telegram_id=session.telegram_id,
        api_id=session.api_id,
        added_at=session.added_at,
        last_used_at=max(seen, default=None),
        posts_today=posts.count if posts else 0,
    )


def health_of(
    session: Session, now: datetime, *, posting: bool = False
) -> tuple[AccountState, str | None, datetime | None]:
    """Return the state of an account, why, and until when. `posting`: it is at work."""
    if session.state is not SessionState.READY:
        return AccountState(session.state.value), session.state_reason, None
    hold = session.hold
    if hold is not None and hold.until > now:
        limited = hold.code in LIMITED_CODES
        return AccountState.LIMITED if limited else AccountState.RESTING, hold.reason, hold.until
    return AccountState.POSTING if posting else AccountState.READY, None, None


def shown_phone(phone: str | None, *, whole: bool) -> str | None:
    """Return the number with a plus. Unless `whole`, only two digits at each end are shown."""
    if not phone:
        return None
    return "+" + (phone if whole else phone[:2] + "•" * max(3, len(phone) - 4) + phone[-2:])
