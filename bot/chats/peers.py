"""From a group as its user wrote it to the peer that one account can address.

The journal remembers the peers of each account: Telegram limits look-ups hard, and an access hash is valid only for the
account that got it.
"""

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec
from telethon import utils
from telethon.errors import (
    ChannelPrivateError,
    ChatIdInvalidError,
    RPCError,
    UsernameNotOccupiedError,
    UserNotParticipantError,
)
from telethon.extensions import BinaryReader
from telethon.tl.functions.channels import GetChannelsRequest, GetFullChannelRequest
from telethon.tl.functions.contacts import ResolveUsernameRequest
from telethon.tl.functions.messages import CheckChatInviteRequest, GetChatsRequest, GetForumTopicsByIDRequest
from telethon.tl.types import (
    Channel,
    ChannelForbidden,
    ChatEmpty,
    ChatInviteAlready,
    ForumTopic,
    InputChannel,
    InputPeerChannel,
    InputPeerChat,
    UserEmpty,
)

from bot.chats.dialogs import pages_of_chats
from bot.chats.membership import REMOVED, is_exempt, not_there
from bot.chats.seen import Absent, Seen
from bot.chats.targets import Target, TargetKind, parse_target
from bot.reactions.classify import Scope, reaction_to
from bot.reactions.table import BY_CODE
from core.clock import Clock
from data.journal.journal import Journal
from sessions.connections.client import PostingClient

_KEPT_IN_MEMORY = 50_000
Place = tuple[int, int | None]
"""A chat's marked id, and a topic in it; None: the chat itself, in a forum General."""


@dataclass(frozen=True)
class KnownPeer:
    """A chat as one account addresses it."""

    peer: Any
    """Telethon's InputPeer."""
    title: str
    slow_mode_seconds: float = 0.0
    """Between two posts of this account there; 0 without slow mode and for administrators."""
    is_forum: bool | None = None
    """Whether it has topics; None if nobody has looked yet."""

    @property
    def id(self) -> int:
        """The chat's marked id: the same for every account and every spelling."""
        return int(utils.get_peer_id(self.peer))

    def place(self, target: Target) -> Place:
        """Return where a post to the target goes. Only in a forum is the target's number a topic. In other chats it is
        the number of a message, and the chat is meant."""
        return self.id, None if self.is_forum is False else target.topic


class Peers:
    """Resolves groups for accounts, asking Telegram once for each."""

    def __init__(self, journal: Journal, timeout: float, clock: Clock) -> None:
        self._journal = journal
        self._timeout = timeout
        self._known: OrderedDict[tuple[str, str], KnownPeer] = OrderedDict()
        self.seen = Seen(clock)

    async def resolve(self, client: PostingClient, session: str, chat: str) -> KnownPeer:
        """Return the chat (`Target.chat`) as this account addresses it.

        Raises:
            RPCError: Telegram's refusal; UserNotParticipantError or ChannelPrivateError when the account is not in it.
            TimeoutError, ConnectionError: Telegram did not say; ask again.
        """
        known = await self.recall(session, chat)
        if known is None:
            known = await self._learn(client, await self.look(client, session, chat))
            await self._journal.put_peer(session, chat, _encode(known))
        self._remember(session, chat, known)
        return known

    async def keep(self, session: str, chat: str, known: KnownPeer) -> None:
        """Remember what was learnt in another way, so that nobody has to ask again."""
        if self._known.get((session, chat)) != known:
            await self._journal.put_peer(session, chat, _encode(known))
            self._remember(session, chat, known)

    async def recall(self, session: str, chat: str) -> KnownPeer | None:
        """Return what is remembered of a chat that this account was in."""
        known = self._known.get((session, chat))
        if known is None and (kept := await self._journal.peer(session, chat)) is not None:
            known = _decode(kept)
        return known

    async def place(self, client: PostingClient, session: str, target: Target) -> Place:
        """Return where a post to the target goes. Telegram is asked once an hour whether a number is a topic.

        Raises:
            RPCError, TimeoutError, ConnectionError: as `resolve`.
        """
        known = await self.resolve(client, session, target.chat)
        is_seen = self.seen.chat(session, target.chat) is not None
        was_absent = self.seen.absence(session, target.chat) is not None
        if was_absent or (target.topic is not None and not is_seen):
            await self.look_again(client, session, target.chat)
            known = self._known.get((session, target.chat), known)
        if target.topic is not None and known.is_forum:
            await self._see_topic(client, known.peer, target.chat, target.topic)
        return known.place(target)

    async def _see_topic(self, client: PostingClient, peer: Any, chat: str, topic: int) -> None:
        if self.seen.topic(chat, topic) is None:
            await self.see_topics(client, peer, chat, [topic])

    async def see_topics(self, client: PostingClient, peer: Any, chat: str, topics: Sequence[int]) -> None:
        """Ask which of these topics (at most 100) a forum has, and which are closed; note both in `seen`.

        Raises:
            RPCError, TimeoutError, ConnectionError: as `resolve`.
        """
        answer = await client.call(GetForumTopicsByIDRequest(peer, list(topics)), self._timeout)
        shown = {topic.id: bool(topic.closed) for topic in answer.topics if isinstance(topic, ForumTopic)}
        for topic in topics:
            self.seen.put_topic(chat, topic, closed=shown.get(topic))

    async def places(self, sessions: Iterable[str], groups: Iterable[str]) -> dict[str, Place]:
        """Return where posts to these groups go, for each chat that one of the accounts has looked up before."""
        targets = {group: parse_target(group) for group in groups}
        known = await self._known_to(sessions, {target.chat for target in targets.values()})
        places: dict[str, Place] = {}
        for group, target in targets.items():
            if target.chat in known:
                places[group] = known[target.chat].place(target)
            elif target.marked_id is not None:
                places[group] = (target.marked_id, target.topic)
        return places

    async def _known_to(self, sessions: Iterable[str], chats: set[str]) -> dict[str, KnownPeer]:
        found: dict[str, KnownPeer] = {}
        for session in sessions:
            missing = chats - found.keys()
            found.update({chat: self._known[session, chat] for chat in missing if (session, chat) in self._known})
            for chat in missing - found.keys():
                if (seen := self.seen.chat(session, chat)) is not None:
                    found[chat] = as_known(seen, 0.0)
            if missing - found.keys():
                kept = await self._journal.peers(session)
                found.update({chat: _decode(kept[chat]) for chat in missing & kept.keys() - found.keys()})
        return found

    async def source(self, client: PostingClient, session: str, chat: str) -> Any:
        """Return the InputPeer of a chat to read from. Accounts outside a public chat can read it, too.

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
        """Return the chat's slow mode for this account in seconds; 0 if none is known."""
        known = self._known.get((session, chat))
        return known.slow_mode_seconds if known is not None else 0.0

    async def forget(self, session: str, chat: str) -> None:
        """Drop what is remembered: it turned out to be wrong. The next look-up asks Telegram."""
        self._known.pop((session, chat), None)
        self.seen.forget_chat(session, chat)
        await self._journal.forget_peer(session, chat)

    async def look(self, client: PostingClient, session: str, chat: str) -> Any:
        """Ask Telegram to describe the chat to this account; note the description in `seen` and return it.

        Raises:
            RPCError, TimeoutError, ConnectionError: also when the account does not see the chat.
        """
        try:
            found = await self._ask(client, chat)
        except RPCError as error:
            self._note_absence(session, chat, error)
            raise
        self.note(session, chat, found)
        return found

    async def look_again(self, client: PostingClient, session: str, chat: str) -> None:
        """Look again for a chat that was looked up before, by its id, which costs no search for a name. It is no error
        here if the account no longer sees the chat; `seen` notes it.

        Raises:
            RPCError, TimeoutError, ConnectionError: anything that is not about the chat.
        """
        known = await self.recall(session, chat)
        try:
            if known is None:
                await self.look(client, session, chat)
                return
            found = await self._ask_by_id(client, known.peer, chat)
        except RPCError as error:
            if not self._note_absence(session, chat, error):
                raise
            if isinstance(error, ChannelPrivateError) and _is_public(chat):
                await self.look(client, session, chat)  # only the search for its name tells the removed from others
            return
        self.note(session, chat, found)
        is_forum = bool(getattr(found, "forum", False))
        if known.is_forum is not is_forum:
            await self.keep(session, chat, replace(known, is_forum=is_forum))

    def note(self, session: str, chat: str, found: Any) -> None:
        """Note how Telegram describes the chat to this account now."""
        code = not_there(found)
        if isinstance(found, ChannelForbidden) and _is_public(chat):
            code = REMOVED  # everybody else is shown a public chat
        self.seen.put_chat(session, chat, found if code is None else Absent(code, BY_CODE[code][1], found))

    def _note_absence(self, session: str, chat: str, error: RPCError) -> bool:
        """Return whether the refusal is about the chat; note it then."""
        reaction = reaction_to(error)
        if reaction.scope is not Scope.GROUP:
            return False
        self.seen.put_chat(session, chat, Absent(reaction.code, reaction.explanation))
        return True

    async def look_at_slow_mode(self, client: PostingClient, session: str, chat: str) -> None:
        """Ask afresh what the slow mode of a chat that was looked up before is for this account, and remember it.

        Raises:
            RPCError, TimeoutError, ConnectionError: as `look_again`.
        """
        try:
            await self.look_again(client, session, chat)
            found, known = self.seen.chat(session, chat), await self.recall(session, chat)
            if found is not None and known is not None:
                seconds = await self._slow_mode_of(client, found, known.peer)
                await self.keep(session, chat, replace(known, slow_mode_seconds=seconds))
        except RPCError:
            self.seen.put_slow_mode(session, chat)  # asked once an hour, whatever Telegram said
            raise
        self.seen.put_slow_mode(session, chat)

    async def full(self, client: PostingClient, peer: Any) -> Any:
        """Return Telegram's ChannelFull of a channel or supergroup.

        Raises:
            RPCError, TimeoutError, ConnectionError: as `resolve`.
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
        return as_known(entity, await self._slow_mode_of(client, entity, peer))

    async def _slow_mode_of(self, client: PostingClient, entity: Any, peer: Any) -> float:
        if isinstance(entity, Channel) and entity.slowmode_enabled and not is_exempt(entity):
            return float((await self.full(client, peer)).slowmode_seconds or 0)
        return 0.0

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
        """Return a basic group, which needs no access hash, or the supergroup that it has become."""
        chat = _only((await client.call(GetChatsRequest([group_id]), self._timeout)).chats)
        moved = getattr(chat, "migrated_to", None)
        return chat if moved is None else await self._channel(client, moved)

    async def _channel(self, client: PostingClient, channel: InputChannel) -> Any:
        return _only((await client.call(GetChannelsRequest([channel]), self._timeout)).chats)

    async def _ask_by_id(self, client: PostingClient, peer: Any, chat: str) -> Any:
        if isinstance(peer, InputPeerChannel):
            return await self._channel(client, InputChannel(peer.channel_id, peer.access_hash))
        if isinstance(peer, InputPeerChat):
            return await self._basic_group(client, peer.chat_id)
        return await self._ask(client, chat)

    async def _among_dialogs(self, client: PostingClient, chat_id: int) -> Any:
        """Return a chat without a public name: it can only be found among the account's own chats."""

        async def call(request: Any) -> Any:
            return await client.call(request, self._timeout)

        async for chats in pages_of_chats(call):
            if chat_id in chats:
                return chats[chat_id]
        raise ChannelPrivateError(None)


def as_known(entity: Any, slow_mode_seconds: float) -> KnownPeer:
    """Return what to remember of a chat, from Telegram's description of it."""
    is_forum = bool(getattr(entity, "forum", False))
    return KnownPeer(utils.get_input_peer(entity), utils.get_display_name(entity), slow_mode_seconds, is_forum)


def _is_public(chat: str) -> bool:
    return parse_target(chat).kind is TargetKind.USERNAME


def _the_one(peer: Any, entities: Iterable[Any]) -> Any:
    wanted = utils.get_peer_id(peer)
    for entity in entities:
        if not isinstance(entity, UserEmpty) and utils.get_peer_id(entity) == wanted:
            return entity
    raise UsernameNotOccupiedError(None)


def _only(chats: Sequence[Any]) -> Any:
    """Return the one chat asked for. Telegram leaves a chat out, or empty, if the account does not know it."""
    if not chats or isinstance(chats[0], ChatEmpty):
        raise ChatIdInvalidError(None)
    return chats[0]


class _Kept(msgspec.Struct, frozen=True, array_like=True):
    """A peer as the journal keeps it. Fields that were added later have a default, because older rows lack them."""

    peer: bytes
    title: str
    slow_mode_seconds: float
    is_forum: bool | None = None


def _encode(known: KnownPeer) -> bytes:
    return msgspec.msgpack.encode(_Kept(bytes(known.peer), known.title, known.slow_mode_seconds, known.is_forum))


def _decode(row: bytes) -> KnownPeer:
    kept = msgspec.msgpack.decode(row, type=_Kept)
    with BinaryReader(kept.peer) as reader:
        return KnownPeer(reader.tgread_object(), kept.title, kept.slow_mode_seconds, kept.is_forum)
