"""The one way to work with an account: connected, and checked to be the account it is kept as."""

import contextlib
from collections.abc import AsyncIterator

from core.errors import AccountRefused, Conflict, UnknownSession
from sessions.connections.client import Clients, PostingClient
from sessions.session_manager import SessionManager


class AccountMerged(AccountRefused):
    """The account's first session had lost its login and continues with this one's. This session is gone."""


@contextlib.asynccontextmanager
async def recognised(
    clients: Clients, sessions: SessionManager, name: str, api_id: int
) -> AsyncIterator[PostingClient]:
    """Yield the session's client, connected, with its account noted as Telegram says who it is.

    Raises:
        AccountRefused: Telegram says it is an account that has another session here; nothing may be done with it.
        AccountMerged: the same, and that other session continues with this login.
        StateError: who it is could not be noted.
        And what `Clients.connected` raises.
    """
    try:
        async with clients.connected(name, api_id) as client:
            await sessions.used(name, client.self_id, premium=client.premium, phone=client.phone, api_id=api_id)
            yield client
    except AccountRefused as refused:
        if not sessions.may_merge(name, refused.first):
            raise
        try:
            async with clients.set_aside(name):  # a key is connected once at a time, whatever the name of its session
                await sessions.merge(name, refused.first)
        except (Conflict, UnknownSession):  # not now, or not any more
            raise refused from None
        text = "the other session of its Telegram account goes on with this login"
        raise AccountMerged(text, refused.first) from None
