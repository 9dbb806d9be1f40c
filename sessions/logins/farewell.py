"""Deletes accounts: logs them out at Telegram if that is possible, and forgets them."""

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
    """Why Telegram did not."""


async def delete(clients: Clients, sessions: SessionManager, name: str, *, log_out: bool = True) -> Farewell:
    """Log the account out at Telegram, unless its login is used elsewhere too, and forget it: record and key.

    A hold that still runs stays with the account, should it come back.

    Raises:
        UnknownSession: there is none of that name.
        SessionInUse: it is at work here or in another process; nothing was done.
        Conflict: it was logged in anew meanwhile.
        StateError: the state could not be written; it may be logged out already.
    """
    sessions.known(name)
    if clients.at_work(name):
        raise SessionInUse(f"{name} is at work just now; stop its bot, or try again later")
    reason = await _log_out(clients, sessions, name) if log_out else "it was not asked for"
    async with clients.set_aside(name):
        user = await sessions.remove(name)
    return Farewell(name, user, reason is None, reason)


async def _log_out(clients: Clients, sessions: SessionManager, name: str) -> str | None:
    """Return why the account could not be logged out, None when it was."""
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
