"""From a group as its user wrote it to the peer one account can address. Remembered per account in the journal:
Telegram limits look-ups hard, and an access hash is valid only for the account that got it."""

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import msgspec
from telethon import utils
from telethon.errors import ChannelPrivateError, UserNotParticipantError
from telethon.extensions import BinaryReader
from telethon.tl.functions.channels import GetChannelsRequest, GetFullChannelRequest
from telethon.tl.functions.contacts import ResolveUsernameRequest
from telethon.tl.functions.messages import CheckChatInviteRequest, GetChatsRequest
from telethon.tl.types import Channel, ChatInviteAlready

from bot.compose_rights import is_exempt
from bot.dialogs import pages_of_chats
from bot.targets import TargetKind, parse_target
from core.clock import Clock
from data.journal import Journal
from sessions.client import PostingClient

_KEPT_IN_MEMORY = 50_000
_DESCRIPTIONS_IN_MEMORY = 10_000
"""Telethon's object of a chat takes about 3 KiB."""
GOOD_FOR = timedelta(hours=1)
"""So long what Telegram said of an account's rights in a chat is believed; then sending there tells."""


@dataclass(frozen=True)
class KnownPeer:
    """A chat as one account addresses it."""

    peer: Any
    """Telethon's InputPeer."""
    title: str
    slow_mode_seconds: float = 0.0
    """Between two posts of this account there; 0 without slow mode and for administrators."""

    @property
    def id(self) -> int:
        """The chat's marked id: the same for every account and every spelling."""
        return int(utils.get_peer_id(self.peer))


class Peers:
    """Resolves groups for accounts, asking Telegram once for each."""

    def __init__(self, journal: Journal, timeout: float, clock: Clock) -> None:
        self._journal = journal
        self._timeout = timeout
        self._clock = clock
        self._known: OrderedDict[tuple[str, str], KnownPeer] = OrderedDict()
        self._described: OrderedDict[tuple[str, str], tuple[Any, datetime]] = OrderedDict()

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
            entity = await self._ask(client, chat)
            self.describe(session, chat, entity)
            known = await self._learn(client, entity)
            await self._journal.put_peer(session, chat, _encode(known))
        self._remember(session, chat, known)
        return known

    async def keep(self, session: str, chat: str, known: KnownPeer) -> None:
        """What was learnt another way, so that nobody has to ask again."""
        if self._known.get((session, chat)) != known:
            await self._journal.put_peer(session, chat, _encode(known))
            self._remember(session, chat, known)

    def describe(self, session: str, chat: str, entity: Any) -> None:
        """Remember how Telegram describes the chat to this account just now."""
        self._described[session, chat] = (entity, self._clock.now())
        self._described.move_to_end((session, chat))
        if len(self._described) > _DESCRIPTIONS_IN_MEMORY:
            self._described.popitem(last=False)

    def description(self, session: str, chat: str) -> Any | None:
        """The chat as Telegram described it to this account within the last hour; None: not known."""
        entity, at = self._described.get((session, chat), (None, None))
        return entity if at is not None and abs(self._clock.now() - at) < GOOD_FOR else None

    async def ids(self, sessions: Iterable[str], chats: Iterable[str]) -> dict[str, int]:
        """The marked ids of the chats that any of these accounts has looked up before."""
        wanted = set(chats)
        found: dict[str, int] = {}
        for session in sessions:
            missing = wanted - found.keys()
            for chat in missing:
                if (known := self._known.get((session, chat))) is not None:
                    found[chat] = known.id
            if missing - found.keys():
                kept = await self._journal.peers(session)
                found.update({chat: _decode(kept[chat]).id for chat in missing & kept.keys()})
        return found

    async def source(self, client: PostingClient, session: str, chat: str) -> Any:
        """The InputPeer of a chat to read from: a public one can be read by accounts that are not in it.

        Raises:
            RPCError, TimeoutError, ConnectionError.
        """
        key = f"{chat} to read"
        known = self._known.get((session, key)) or self._known.get((session, chat))
        if known is None and (kept := await self._journal.peer(session, key)) is not None:
            known = _decode(kept)
            self._remember(session, key, known)
        if known is None:
            entity = await self._ask(client, chat)
            known = KnownPeer(utils.get_input_peer(entity), utils.get_display_name(entity))
            await self.keep(session, key, known)
        return known.peer

    def slow_mode(self, session: str, chat: str) -> float:
        """The chat's slow mode for this account in seconds, as far as it is known."""
        known = self._known.get((session, chat))
        return known.slow_mode_seconds if known is not None else 0.0

    async def forget(self, session: str, chat: str) -> None:
        """What was remembered turned out wrong; ask afresh next time."""
        self._known.pop((session, chat), None)
        self._described.pop((session, chat), None)
        await self._journal.forget_peer(session, chat)

    async def chat(self, client: PostingClient, chat: str) -> Any:
        """Telegram's own description of the chat for this account, asked for now.

        Raises:
            RPCError, TimeoutError, ConnectionError.
        """
        return await self._ask(client, chat)

    async def full(self, client: PostingClient, peer: Any) -> Any:
        """Telegram's ChannelFull of a channel or supergroup.

        Raises:
            RPCError, TimeoutError, ConnectionError.
        """
        return (await client.call(GetFullChannelRequest(peer), self._timeout)).full_chat

    def _remember(self, session: str, chat: str, known: KnownPeer) -> None:
        self._known[session, chat] = known
        if len(self._known) > _KEPT_IN_MEMORY:
            self._known.popitem(last=False)

    async def _learn(self, client: PostingClient, entity: Any) -> KnownPeer:
        if getattr(entity, "left", False):
            raise UserNotParticipantError(None)  # a public name resolves for everybody
        peer = utils.get_input_peer(entity)
        slow_mode = 0.0
        if isinstance(entity, Channel) and entity.slowmode_enabled and not is_exempt(entity):
            slow_mode = float((await self.full(client, peer)).slowmode_seconds or 0)
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
        if target.basic_group_id is not None:
            return await self._basic_group(client, target.basic_group_id)
        return await self._among_dialogs(client, int(target.value))

    async def _basic_group(self, client: PostingClient, group_id: int) -> Any:
        """Basic groups need no access hash. One that became a supergroup has another id since, and is that."""
        [chat] = (await client.call(GetChatsRequest([group_id]), self._timeout)).chats
        moved = getattr(chat, "migrated_to", None)
        if moved is None:
            return chat
        return (await client.call(GetChannelsRequest([moved]), self._timeout)).chats[0]

    async def _among_dialogs(self, client: PostingClient, chat_id: int) -> Any:
        """A chat without a public name can only be found among those the account is in."""

        async def call(request: Any) -> Any:
            return await client.call(request, self._timeout)

        async for chats in pages_of_chats(call):
            if chat_id in chats:
                return chats[chat_id]
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
