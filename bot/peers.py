"""From a group as its user wrote it to the peer one account can address. Remembered per account in the journal:
Telegram limits look-ups hard, and an access hash is valid only for the account that got it."""

from collections.abc import Iterable
from typing import Any

from telethon import utils
from telethon.errors import ChannelPrivateError
from telethon.extensions import BinaryReader
from telethon.tl.functions.contacts import ResolveUsernameRequest
from telethon.tl.functions.messages import CheckChatInviteRequest, GetDialogsRequest
from telethon.tl.types import ChatInviteAlready, InputPeerEmpty

from data.journal import Journal
from sessions.client import PostingClient

_INVITE = "https://t.me/+"
_DIALOGS_AT_ONCE = 100
_MOST_DIALOGS = 2000


class Peers:
    """Resolves groups for accounts, asking Telegram once for each."""

    def __init__(self, journal: Journal, timeout: float) -> None:
        self._journal = journal
        self._timeout = timeout

    async def resolve(self, client: PostingClient, session: str, group: str) -> tuple[Any, int | None]:
        """The InputPeer of the group for this account, and the topic if the group names one.

        Raises:
            RPCError: Telegram's refusal; ChannelPrivateError when the account is not in a chat named by its id.
            TimeoutError, ConnectionError: ask again.
        """
        chat, topic = split_topic(group)
        known = await self._journal.peer(session, chat)
        if known is not None:
            with BinaryReader(known) as reader:
                return reader.tgread_object(), topic
        peer = await self._ask(client, chat)
        await self._journal.put_peer(session, chat, bytes(peer))
        return peer, topic

    async def forget(self, session: str, group: str) -> None:
        """What was remembered turned out wrong; ask afresh next time."""
        await self._journal.forget_peer(session, split_topic(group)[0])

    async def _ask(self, client: PostingClient, chat: str) -> Any:
        if chat.startswith("@"):
            found = await client.call(ResolveUsernameRequest(chat[1:]), self._timeout)
            return _input_peer(_the_one(found.peer, [*found.chats, *found.users]))
        if chat.startswith(_INVITE):
            invite = await client.call(CheckChatInviteRequest(chat.removeprefix(_INVITE)), self._timeout)
            if not isinstance(invite, ChatInviteAlready):
                raise ChannelPrivateError(None)  # the link is good, but this account is not in the chat
            return _input_peer(invite.chat)
        return await self._among_dialogs(client, int(chat))

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
                return _input_peer(chats[chat_id])
            if len(page.dialogs) < _DIALOGS_AT_ONCE or not page.messages:
                break
            last = page.messages[-1]
            offset = (last.date, last.id, _input_peer(chats[utils.get_peer_id(last.peer_id)]))
        raise ChannelPrivateError(None)


def split_topic(group: str) -> tuple[str, int | None]:
    """`@forum/12` is topic 12 of `@forum`; an invite link has no topic."""
    if group.startswith(_INVITE):
        return group, None
    chat, slash, topic = group.partition("/")
    return chat, int(topic) if slash else None


def _the_one(peer: Any, entities: Iterable[Any]) -> Any:
    wanted = utils.get_peer_id(peer)
    return next(entity for entity in entities if utils.get_peer_id(entity) == wanted)


def _input_peer(entity: Any) -> Any:
    return utils.get_input_peer(entity)
