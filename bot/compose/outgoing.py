"""Everything between a post and its request, in the order a worker needs it: prepare, send, look whether it arrived.

outgoing = await prepare(post, context, client=…, call=…, shelf=…, peer_of=…)     # nothing is posted yet
sent = await outgoing.send(call, to, key)                                         # safe to repeat
sent = await outgoing.find(call, to, sender_id=…, since=…)                        # did it arrive?
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from telethon import TelegramClient

from bot.compose.content import render_for_group
from bot.compose.find_sent import Wanted, find_delivered
from bot.compose.media import MediaShelf
from bot.compose.post import Destination, Post, RenderContext, Sent, Source
from bot.compose.requests import send_post
from bot.compose.source import source_of
from bot.compose.text import Formatted
from sessions.connections.client import Call


@dataclass(frozen=True)
class Outgoing:
    """A post that is ready to be sent by one account to one group."""

    post: Post
    """With its own words filled in for the group."""
    text: Formatted
    media: tuple[Any, ...] = field(default=(), repr=False)
    source: Source | None = None
    remembered: bool = False
    """Whether some of its files were uploaded for an earlier post: Telegram may have forgotten them."""

    @property
    def parts(self) -> int:
        """How many messages the post has."""
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
        """Return where the post stands in the chat, if it does. Any account that reads the chat can look.

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
    context: RenderContext,
    *,
    client: TelegramClient,
    call: Call,
    shelf: MediaShelf | None,
    peer_of: Callable[[str], Awaitable[Any]],
    premium: bool = False,
) -> Outgoing:
    """Fill in the text, upload the files, look up the message to forward. Nothing is posted.

    Without a shelf nothing is uploaded, which is enough to look whether the post arrived. `peer_of` returns the sending
    account's InputPeer of a chat in its one spelling (`Target.chat`).

    Raises:
        DoesNotFitHere: the post is too long once it is filled in for this group.
        InvalidInput: the post cannot be sent as it is; a file may be gone.
        SourceUnavailable: this account cannot see the message to forward.
        RPCError, CONNECTION_LOST: see `bot.reactions.classify`.
    """
    rendered = render_for_group(post, context, premium=premium)
    if post.content.message is not None:
        source = await source_of(post.content.message, call, peer_of)
        return Outgoing(rendered.post, rendered.text, source=source)
    if shelf is None:
        return Outgoing(rendered.post, rendered.text)
    uploads = shelf.uploads
    media = tuple(await shelf.ready(client, call, post, premium=premium))
    return Outgoing(rendered.post, rendered.text, media, remembered=shelf.uploads - uploads < len(media))
