"""Checks API pairs with Telegram, and moves accounts to another pair."""

import asyncio

from pydantic import SecretStr
from telethon import errors

from core.errors import InvalidInput, LoginRefused, PairNotChecked, SessionInUse, TooMany
from sessions.connections.client import CONNECTION_LOST, Clients
from sessions.logins.login_client import PAIR_REFUSED, LoginClient
from sessions.logins.recognition import recognised
from sessions.session_manager import SessionManager

_WITHIN_SECONDS = 20.0
_REFUSED = "Telegram does not take this pair; copy api_id and api_hash anew from my.telegram.org"


async def check_pair(clients: Clients, api_id: int, api_hash: SecretStr | None = None) -> None:
    """Check that Telegram accepts the pair, over a connection without an account. `api_hash` None: use the known one.

    Raises:
        InvalidInput: Telegram refuses the pair.
        PairNotChecked: Telegram cannot be asked now.
        SettingsError: no hash is known.
    """
    client = clients.new_login(LoginClient, api_id, api_hash)
    try:
        async with asyncio.timeout(_WITHIN_SECONDS):
            await client.login_token()  # a QR code that nobody sees: the first request that checks the hash
    except LoginRefused as refused:
        if refused.code == "api_pair_refused":
            raise InvalidInput("api_hash", _REFUSED) from None
        raise PairNotChecked(f"the pair could not be checked: {refused}") from None
    except TooMany as error:
        raise PairNotChecked(f"the pair could not be checked: {error}") from None
    except TimeoutError:
        raise PairNotChecked("the pair could not be checked: Telegram does not answer") from None
    finally:
        await client.close()


async def add_pair(
    clients: Clients, sessions: SessionManager, api_id: int, api_hash: SecretStr, *, unchecked: bool = False
) -> None:
    """Add a pair, or replace its hash, once Telegram accepts it. `unchecked` skips that check.

    Raises:
        What `check_pair` and `ApiPairs.add` raise; nothing was changed.
    """
    sessions.pairs.check_input(api_id, api_hash)
    if not unchecked:
        await check_pair(clients, api_id, api_hash)
    sessions.add_pair(api_id, api_hash)


async def give_pair(
    clients: Clients, sessions: SessionManager, name: str, api_id: int, *, unchecked: bool = False
) -> None:
    """Move an account with its login to another pair, once Telegram accepts both together.

    `unchecked` skips that check, and the account's next connection shows whether Telegram accepts them.

    Raises:
        UnknownSession: no session has that name.
        NotFound: there is no such pair.
        Conflict: the pair is not enabled.
        NoRoomOnApiPairs: the pair carries as many accounts as it may.
        SessionInUse: the account is at work.
        InvalidInput: Telegram refuses the pair.
        LoginRefused: the account needs a new login on that pair.
        PairNotChecked: Telegram cannot be asked now.
        AccountRefused: its Telegram account has another session here.
    """
    sessions.must_have_room(name, api_id)
    if unchecked:
        await sessions.give_pair(name, api_id)
        return
    if clients.at_work(name):
        raise SessionInUse(f"{name} is at work just now; stop its bot, or try again later")
    try:
        async with recognised(clients, sessions, name, api_id):
            await sessions.give_pair(name, api_id)
    except PAIR_REFUSED:
        raise InvalidInput("api_id", _REFUSED) from None
    except (errors.FloodError, errors.ServerError) as error:
        raise PairNotChecked("Telegram wants a rest before it can be asked; nothing was changed") from error
    except CONNECTION_LOST as error:
        raise PairNotChecked("Telegram could not be reached or did not answer; nothing was changed") from error
    except (errors.RPCError, errors.AuthKeyNotFound, errors.SecurityError) as error:
        raise LoginRefused(
            "login_lost",
            f"Telegram does not take the login of {name} with this pair; log the account in again on pair {api_id}",
        ) from error
