"""One Telegram account, one session: who a session is, as Telegram says. Plain functions on a transaction.

An account belongs to the session that Telegram confirmed first. A session that turns out to be the same account leaves
its user and never posts. If the first one has lost its login and both have the same owner, the first one continues with
the login of the later one, which is removed.
"""

from datetime import datetime

from msgspec.structs import replace

from core.errors import AccountRefused, Conflict
from core.models import Session, SessionState
from data.users.data_manager import Transaction
from sessions.roster.admission import known_as, place, release, resume_hold, same_account
from sessions.roster.assignment import AssignmentRules

_LOST = frozenset({SessionState.NEEDS_LOGIN, SessionState.BANNED})


def recognise(tx: Transaction, name: str, telegram_id: int, now: datetime) -> AccountRefused | None:
    """Note who Telegram says the session is.

    Return why it is refused when the account has another session: it leaves its user and never posts. One that was
    refused before is ready again once the other session is gone. A hold stays with the account, whichever its session.
    """
    session = tx.session(name)
    first = known_as(tx.sessions, telegram_id, None)
    if first is None or first == name:
        again = session.state is SessionState.DUPLICATE
        ready = replace(session, state=SessionState.READY, state_reason=None) if again else session
        tx.put_session(name, replace(ready, telegram_id=telegram_id))
        resume_hold(tx, name, now)
        return None
    refused = same_account(tx.session(first), first, session.owner)
    release(tx, name)
    same = session.telegram_id in {None, telegram_id}
    resume_hold(tx, first, now, session.hold if same else None)
    tx.put_session(
        name, replace(session, telegram_id=None, state=SessionState.DUPLICATE, state_reason=str(refused), hold=None)
    )
    return refused


def can_go_on(first: Session, later: Session) -> bool:
    """Return whether the first session of an account may go on with the login of a later one."""
    return first.state in _LOST and later.state is SessionState.DUPLICATE and first.owner == later.owner


def merge(tx: Transaction, later: str, first: str, rules: AssignmentRules) -> None:
    """Let the first session of an account go on with the login of the later one, which is removed.

    Raises:
        UnknownSession; Conflict: it may not.
    """
    lost, found = tx.session(first), tx.session(later)
    if not can_go_on(lost, found):
        raise Conflict(f"{first} cannot go on with the login of {later}")
    tx.remove_session(later)
    renewed = replace(
        lost,
        key_id=found.key_id,
        dc_id=found.dc_id,
        api_id=found.api_id or lost.api_id,
        taken_on=found.taken_on,
        phone=lost.phone or found.phone,
        state=SessionState.READY,
        state_reason=None,
    )
    tx.put_session(first, renewed)
    place(tx, first, rules)
