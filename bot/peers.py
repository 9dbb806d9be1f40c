"""From a group as its user wrote it to the peer one account can address. Remembered per account in the journal:
Telegram limits look-ups hard, and an access hash is valid only for the account that got it."""

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import msgspec
from telethon import utils
from telethon.errors import ChannelPrivateError, UserNotParticipantError
from telethon.extensions import BinaryReader
from telethon.tl.functions.channels import GetFullChannelRequest
from telethon.tl.functions.contacts import ResolveUsernameRequest
from telethon.tl.functions.messages import CheckChatInviteRequest, GetDialogsRequest
from telethon.tl.types import Channel, ChatInviteAlready, InputPeerEmpty

from bot.compose_rights import is_exempt
from bot.targets import TargetKind, parse_target
from data.journal import Journal
from sessions.client import PostingClient

_DIALOGS_AT_ONCE = 100
_MOST_DIALOGS = 2000
_KEPT_IN_MEMORY = 50_000


@dataclass(frozen=True)
class KnownPeer:
    """A chat as one account addresses it."""

    peer: Any
    """Telethon's InputPeer."""
    title: str
    slow_mode_seconds: float = 0.0
    """Between two posts of this account there; 0 without slow mode and for administrators."""


class Peers:
    """Resolves groups for accounts, asking Telegram once for each."""

    def __init__(self, journal: Journal, timeout: float) -> None:
        self._journal = journal
        self._timeout = timeout
        self._known: OrderedDict[tuple[str, str], KnownPeer] = OrderedDict()

    async def resolve(self, client: PostingClient, session: str, chat: str) -> KnownPeer:
        """The chat (`Target.chat`) for this account.

        Raises:
            RPCError: Telegram's refusal; UserNotParticipantError or ChannelPrivateError when the account is not in it.
            TimeoutError, ConnectionError: ask again.
        """
        known = self._known.get((session, chat))
        if known is None:
            kept = await self._journal.peer(session, chat)
            known = _decode(kept) if kept is not None else None
        if known is None:
            known = await self._learn(client, await self._ask(client, chat))
            await self._journal.put_peer(session, chat, _encode(known))
        self._known[session, chat] = known
        if len(self._known) > _KEPT_IN_MEMORY:
            self._known.popitem(last=False)
        return known

    def slow_mode(self, session: str, chat: str) -> float:
        """The chat's slow mode for this account in seconds, as far as it is known."""
        known = self._known.get((session, chat))
        return known.slow_mode_seconds if known is not None else 0.0

    async def forget(self, session: str, chat: str) -> None:
        """What was remembered turned out wrong; ask afresh next time."""
        self._known.pop((session, chat), None)
        await self._journal.forget_peer(session, chat)

    async def chat(self, client: PostingClient, chat: str) -> Any:
        """Telegram's own description of the chat for this account, asked for now.

        Raises:
            RPCError, TimeoutError, ConnectionError.
        """
        return await self._ask(client, chat)

    async def _learn(self, client: PostingClient, entity: Any) -> KnownPeer:
        if getattr(entity, "left", False):
            raise UserNotParticipantError(None)  # a public name resolves for everybody
        peer = utils.get_input_peer(entity)
        slow_mode = 0.0
        if isinstance(entity, Channel) and entity.slowmode_enabled and not is_exempt(entity):
            full = await client.call(GetFullChannelRequest(peer), self._timeout)
            slow_mode = float(full.full_chat.slowmode_seconds or 0)
        return KnownPeer(peer, utils.get_display_name(entity), slow_mode)

    async def _ask(self, client: PostingClient, chat: str) -> Any:
        target = parse_target(chat)
        if target.kind is TargetKind.USERNAME:
            found = await client.call(ResolveUsernameRequest(target.value), self._timeout)
            return _the_one(found.peer, [*found.chats, *found.users])
        if target.kind is TargetKind.INVITE:
            invite = await client.call(CheckChatInviteRequest(target.value), self._timeout)
            if not isinstance(invite, ChatInviteAlready):
                raise ChannelPrivateError(None)  # the link is good, but this account is not in the chat
            return invite.chat
        return await self._among_dialogs(client, int(target.value))

    async def _among_dialogs(self, client: PostingClient, chat_id: int) -> Any:
        """A chat without a public name can only be found among those the account is in."""
        offset: tuple[Any, int, Any] = (None, 0, InputPeerEmpty())
        for _ in range(_MOST_DIALOGS // _DIALOGS_AT_ONCE):
            date, message_id, peer = offset
            page = await client.call(
                GetDialogsRequest(
                    offset_date=date, offset_id=message_id, offset_peer=peer, limit=_DIALOGS_AT_ONCE, hash=0
                ),
                self._timeout,
            )
            chats = {utils.get_peer_id(chat): chat for chat in [*page.chats, *page.users]}
            if chat_id in chats:
                return chats[chat_id]
            if len(page.dialogs) < _DIALOGS_AT_ONCE or not page.messages:
                break
            last = page.messages[-1]
            offset = (last.date, last.id, utils.get_input_peer(chats[utils.get_peer_id(last.peer_id)]))
        raise ChannelPrivateError(None)


def _the_one(peer: Any, entities: Iterable[Any]) -> Any:
    wanted = utils.get_peer_id(peer)
    return next(entity for entity in entities if utils.get_peer_id(entity) == wanted)


def _encode(known: KnownPeer) -> bytes:
    return msgspec.msgpack.encode([bytes(known.peer), known.title, known.slow_mode_seconds])


def _decode(kept: bytes) -> KnownPeer:
    peer, title, slow_mode = msgspec.msgpack.decode(kept, type=tuple[bytes, str, float])
    with BinaryReader(peer) as reader:
        return KnownPeer(reader.tgread_object(), title, slow_mode)
