"""The chats an account is in, as Telegram lists them: a hundred a call, each with what the account may do there."""

from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any

from telethon import utils
from telethon.tl.functions.messages import GetDialogsRequest
from telethon.tl.types import ChatEmpty, InputPeerEmpty, MessageEmpty, UserEmpty

from bot.chats.targets import Target, TargetKind
from sessions.connections.client import Call

AT_ONCE = 100
MOST = 2000
"""How many chats are looked through. Telegram lets an account be in about 1,000; with Premium, in twice as many."""


async def pages_of_chats(call: Call) -> AsyncIterator[dict[int, Any]]:
    """Yield page after page: marked id → Telethon's Channel, Chat or User.

    Raises:
        RPCError, OSError: Telegram refused, or the connection broke.
    """
    date, message_id, peer = None, 0, InputPeerEmpty()
    for _ in range(MOST // AT_ONCE):
        page = await call(
            GetDialogsRequest(offset_date=date, offset_id=message_id, offset_peer=peer, limit=AT_ONCE, hash=0)
        )
        shown = [chat for chat in [*page.chats, *page.users] if not isinstance(chat, ChatEmpty | UserEmpty)]
        chats = {utils.get_peer_id(chat): chat for chat in shown}
        yield chats
        last = _last_of(page, chats)
        if len(page.dialogs) < AT_ONCE or last is None:
            return
        date, message_id, peer = last.date, last.id, utils.get_input_peer(chats[utils.get_peer_id(last.peer_id)])


def _last_of(page: Any, chats: Mapping[int, Any]) -> Any | None:
    """Return the message after which the next page begins; None if the page holds no message of a known chat."""
    dated = [message for message in page.messages if not isinstance(message, MessageEmpty)]
    return next((message for message in reversed(dated) if utils.get_peer_id(message.peer_id) in chats), None)


class OwnChats:
    """An account's chats by every name they can be asked for."""

    def __init__(self) -> None:
        self._by_id: dict[int, Any] = {}
        self._by_name: dict[str, Any] = {}
        self.complete = True
        """Whether these are all its chats: the account is in no other."""

    @classmethod
    async def read(cls, call: Call, wanted: Iterable[Target]) -> "OwnChats":
        """Read pages until everything wanted is found, at most `MOST` chats.

        Raises:
            RPCError, OSError: Telegram refused, or the connection broke.
        """
        chats, missing, seen = cls(), {target.chat: target for target in wanted}, 0
        missing = {name: target for name, target in missing.items() if target.kind is not TargetKind.INVITE}
        if not missing:
            return chats
        async for page in pages_of_chats(call):
            seen += len(page)
            chats._take(page)
            missing = {name: target for name, target in missing.items() if chats.find(target) is None}
            if not missing:
                return chats
        chats.complete = seen < MOST
        return chats

    def find(self, target: Target) -> Any | None:
        """Return the chat, if the account is in it. No invite link is found here: Telegram tells each one by itself."""
        if target.marked_id is not None:
            return self._by_id.get(target.marked_id)
        return self._by_name.get(target.value) if target.kind is TargetKind.USERNAME else None

    def _take(self, page: dict[int, Any]) -> None:
        self._by_id.update(page)
        for chat in page.values():
            names = [getattr(chat, "username", None)]
            names += [more.username for more in getattr(chat, "usernames", None) or () if more.active]
            self._by_name.update((name.lower(), chat) for name in names if name)
