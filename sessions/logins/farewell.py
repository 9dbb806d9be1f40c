"""Deletes accounts: logs them out at Telegram if possible, and removes their record and key."""

import msgspec
from telethon import errors
from telethon.tl.functions.auth import LogOutRequest

from core.errors import PostfleetError, SessionInUse
from core.models import SessionState
from sessions.connections.client import CONNECTION_LOST, Clients
from sessions.session_manager import SessionManager

_CALL_SECONDS = 10.0
_STILL_OPEN = "its login may still be open: end it in a Telegram app, under Settings, Devices"


class Farewell(msgspec.Struct, frozen=True):
    """The result of deleting an account."""

    name: str
    user: str | None
    """The user whose bot posted with it."""
    logged_out: bool
    """Whether Telegram ended its login."""
    reason: str | None
    """Why its login was not ended."""


async def delete(clients: Clients, sessions: SessionManager, name: str, *, log_out: bool = True) -> Farewell:
    """Log the account out at Telegram, then remove its record and key.

    `log_out=False` leaves the login open, for a login that is used elsewhere too.
    A hold that still runs is remembered, in case the account comes back.

    Raises:
        UnknownSession: no session has that name.
        SessionInUse: the account is at work here or in another process; nothing was done.
        Conflict: it got a new login meanwhile.
        StateError: the state could not be written; the account may be logged out already.
    """
    sessions.known(name)
    if clients.at_work(name):
        raise SessionInUse(f"{name} is at work just now; stop its bot, or try again later")
    reason = await _log_out(clients, sessions, name) if log_out else "it was not asked for"
    async with clients.set_aside(name):
        user = await sessions.remove(name)
    return Farewell(name, user, reason is None, reason)


async def _log_out(clients: Clients, sessions: SessionManager, name: str) -> str | None:
    """Log the account out. Return why that failed, or None."""
    session = sessions.known(name)
    if session.state is SessionState.BANNED:
        return "Telegram has banned it"
    try:
        async with clients.connected(name, session.api_id or sessions.pair_for_login()) as client:
            await client.call(LogOutRequest(), _CALL_SECONDS)
    except SessionInUse:
        raise
    except PostfleetError as error:  # no key, or no API pair
        return f"{error.for_users}; {_STILL_OPEN}"
    except CONNECTION_LOST:
        return f"Telegram could not be reached; {_STILL_OPEN}"
    except (errors.RPCError, errors.AuthKeyNotFound, errors.SecurityError):
        return "Telegram does not know its login any more"
    return None
