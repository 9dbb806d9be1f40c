"""The message that a forward or a copy is made from, as one account sees it."""

from collections.abc import Awaitable, Callable
from typing import Any

from telethon.errors import RPCError
from telethon.tl import functions
from telethon.tl import types as tl

from bot.chats.targets import parse_message_link
from bot.compose.kinds.message import is_saved
from bot.compose.post import Source
from bot.reactions.classify import Scope, reaction_to
from core.errors import InvalidInput
from sessions.connections.client import Call

_FIELD = "post_content.message"
_ALBUM_REACH = 9
"""An album has at most 10 messages with consecutive ids: the others of one lie at most this far away."""
_CANNOT_SEE = "this account cannot see the message; let it join that chat first"


class SourceUnavailable(InvalidInput):
    """This account cannot see the message to forward or copy."""

    code = "source_unavailable"


async def source_of(message: str, call: Call, peer_of: Callable[[str], Awaitable[Any]]) -> Source:
    """Return the message that `PostContent.message` names. `peer_of` returns the InputPeer of a `Target.chat`.

    Raises:
        SourceUnavailable: this account cannot see it; another may.
        InvalidInput: there is no such message.
        RPCError, OSError: anything that is not about the message.
    """
    if is_saved(message):
        return await find_source(call, tl.InputPeerSelf(), None)
    link = parse_message_link(message, _FIELD)
    try:
        peer = await peer_of(link.chat.chat)
    except RPCError as error:
        raise _as_unavailable(error) from error
    return await find_source(call, peer, link.message_id, single=link.single)


async def find_source(call: Call, peer: Any, message_id: int | None, *, single: bool = False) -> Source:
    """Return the message to forward, with the rest of its album unless it is meant alone (`single`). Without an id it
    is the newest message of the chat.

    Raises:
        SourceUnavailable: this account cannot see it; another may.
        InvalidInput: there is no such message.
        RPCError, CONNECTION_LOST: anything that is not about the message.
    """
    try:
        found = await call(_newest(peer) if message_id is None else _around(peer, message_id))
    except RPCError as error:
        raise _as_unavailable(error) from error
    known = {message.id: message for message in found.messages}
    if message_id is None:
        message_id = next((one.id for one in found.messages if isinstance(one, tl.Message)), None)
        if message_id is None:
            raise SourceUnavailable(_FIELD, "this account's Saved Messages are empty")
    wanted = known.get(message_id)
    if not isinstance(wanted, tl.Message):
        raise InvalidInput(_FIELD, "there is no such message (any more); name another one")
    if single or wanted.grouped_id is None:
        return Source(peer, (wanted.id,), (wanted,))
    together = [known[number] for number in sorted(known)]
    album = [one for one in together if getattr(one, "grouped_id", None) == wanted.grouped_id]
    return Source(peer, tuple(one.id for one in album), tuple(album))


def _as_unavailable(error: RPCError) -> RPCError | SourceUnavailable:
    """Return what to raise: a refusal that is about the chat means that the account cannot see the message."""
    return SourceUnavailable(_FIELD, _CANNOT_SEE) if reaction_to(error).scope is Scope.GROUP else error


def _newest(peer: Any) -> Any:
    return functions.messages.GetHistoryRequest(
        peer, offset_id=0, offset_date=None, add_offset=0, limit=20, max_id=0, min_id=0, hash=0
    )


def _around(peer: Any, message_id: int) -> Any:
    ids = range(max(1, message_id - _ALBUM_REACH), message_id + _ALBUM_REACH + 1)
    wanted = [tl.InputMessageID(number) for number in ids]
    if isinstance(peer, tl.InputPeerChannel):
        channel = tl.InputChannel(peer.channel_id, peer.access_hash)
        return functions.channels.GetMessagesRequest(channel, wanted)
    return functions.messages.GetMessagesRequest(wanted)
