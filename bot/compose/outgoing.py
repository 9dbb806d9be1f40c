"""Everything between a post and its request, in the order a worker needs it: prepare, send, look whether it arrived.

outgoing = await prepare(post, occasion, client=…, call=…, shelf=…, peer_of=…)    # nothing is posted yet
sent = await outgoing.send(call, to, key)                                         # safe to repeat
sent = await outgoing.find(call, to, sender_id=…, since=…)                        # did it arrive?
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from telethon import TelegramClient
from telethon.errors import RPCError
from telethon.tl import types as tl

from bot.chats.targets import parse_message_link
from bot.compose.content import SAVED, Post, RenderContext, word
from bot.compose.find_sent import Wanted, find_delivered
from bot.compose.media import Call, MediaShelf
from bot.compose.requests import CANNOT_SEE, Destination, Sent, Source, SourceUnavailable, find_source, send_post
from bot.compose.text import Formatted
from bot.reactions.classify import Scope, reaction_to
from core.models import PostType

_MESSAGE = "post_content.message"


@dataclass(frozen=True)
class Outgoing:
    """A post that is ready to be sent by one account to one group."""

    post: Post
    """Its poll, if it has one, is worded for this occasion."""
    text: Formatted
    media: tuple[Any, ...] = field(default=(), repr=False)
    source: Source | None = None
    remembered: bool = False
    """Some of its files were brought to Telegram for an earlier post, and Telegram may have forgotten them."""

    @property
    def parts(self) -> int:
        """How many messages it is."""
        files = len(self.post.content.media)
        return max(1, files, len(self.source.message_ids) if self.source is not None else 0)

    async def send(self, call: Call, to: Destination, key: Callable[[int], int]) -> Sent:
        """Send it; `key(part)` is the random_id of each message. Repeating it with the same keys delivers once.

        Raises:
            RPCError, CONNECTION_LOST: see `bot.reactions.classify`.
        """
        return await send_post(call, to, self.post, key, text=self.text, media=self.media, source=self.source)

    async def find(
        self,
        call: Call,
        to: Destination,
        *,
        sender_id: int,
        since: datetime,
        taken: frozenset[int] = frozenset(),
    ) -> Sent | None:
        """Where it stands in the chat, if it does. Any account that reads the chat can look; see `compose_found`.

        Raises:
            RPCError, CONNECTION_LOST: the history cannot be read.
        """
        wanted = Wanted(
            self.post,
            sender_id,
            since,
            text=self.text,
            source=self.source.messages if self.source is not None else (),
            topic=to.topic,
            taken=taken,
        )
        return await find_delivered(call, to, wanted)


async def prepare(
    post: Post,
    occasion: RenderContext,
    *,
    client: TelegramClient,
    call: Call,
    shelf: MediaShelf | None,
    peer_of: Callable[[str], Awaitable[Any]],
    premium: bool = False,
) -> Outgoing:
    """Fill in the text, bring the files to Telegram, look up the message to forward. Nothing is posted.

    Without a shelf the files stay where they are: enough to look whether the post arrived.
    `peer_of` gives the sending account's InputPeer of a chat in its one spelling (`Target.chat`).

    Raises:
        DoesNotFitHere: it is too long once it is filled in for this group.
        InvalidInput: the post cannot be sent as it is (a file that is gone …).
        SourceUnavailable: this account cannot see the message to forward.
        RPCError, CONNECTION_LOST: see `bot.reactions.classify`.
    """
    worded, text = word(post, occasion, premium=premium)
    if post.type in {PostType.FORWARD, PostType.COPY}:
        return Outgoing(post, text, source=await source_of(post.content.message or "", call, peer_of))
    if shelf is None:
        return Outgoing(worded, text)
    uploads = shelf.uploads
    media = tuple(await shelf.ready(client, call, post, premium=premium))
    return Outgoing(worded, text, media, remembered=shelf.uploads - uploads < len(media))


async def source_of(message: str, call: Call, peer_of: Callable[[str], Awaitable[Any]]) -> Source:
    """The message a forward or a copy is made from, as this account sees it. `peer_of`: see `prepare`.

    Raises:
        SourceUnavailable: this account cannot see it; another may.
        InvalidInput: there is no such message.
        RPCError, OSError: anything that is not about the message.
    """
    if message.strip().lower() == SAVED:
        return await find_source(call, tl.InputPeerSelf(), None)
    link = parse_message_link(message, _MESSAGE)
    try:
        peer = await peer_of(link.chat.chat)
    except RPCError as error:
        if reaction_to(error).scope is not Scope.GROUP:
            raise
        raise SourceUnavailable(_MESSAGE, CANNOT_SEE) from error
    return await find_source(call, peer, link.message_id, single=link.single)
