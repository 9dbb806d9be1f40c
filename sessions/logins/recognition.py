"""The only way to work with an account: connected, and checked to be the account on record."""

import contextlib
from collections.abc import AsyncIterator

from core.errors import AccountRefused, Conflict, UnknownSession
from sessions.connections.client import Clients, PostingClient
from sessions.session_manager import SessionManager


class AccountMerged(AccountRefused):
    """The account's first session had lost its login and now uses this one's. This session is gone."""


@contextlib.asynccontextmanager
async def recognised(
    clients: Clients, sessions: SessionManager, name: str, api_id: int
) -> AsyncIterator[PostingClient]:
    """Yield the session's client, connected, after Telegram said whose it is and that is on record.

    Raises:
        AccountRefused: the account has another session here; this one must not be used.
        AccountMerged: the account has another session here, which now uses this login.
        StateError: the account could not be recorded.
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
            async with clients.set_aside(name):  # the key must not be connected under either name
                await sessions.merge(name, refused.first)
        except (Conflict, UnknownSession):  # it cannot be merged now, or is already gone
            raise refused from None
        text = "the other session of its Telegram account now uses this login"
        raise AccountMerged(text, refused.first) from None
