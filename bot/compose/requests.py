"""A post into the one request that sends it, each of its messages under a random_id of ours, and what came of it.

The requests are raw: Telethon's own `send_message` and `forward_messages` draw random ids themselves, and know no
`top_msg_id`. Nothing here waits, retries or judges an error; `bot.cycle.worker` does, with `bot.reactions.classify`.
"""

from collections.abc import Callable, Sequence
from typing import Any

from telethon.tl import functions
from telethon.tl import types as tl

from bot.compose.kinds.register import KINDS
from bot.compose.post import Destination, Post, Ready, Sent, Source
from bot.compose.text import Formatted
from sessions.connections.client import Call

_NO_TEXT = Formatted("")


async def send_post(
    call: Call,
    to: Destination,
    post: Post,
    key: Callable[[int], int],
    *,
    text: Formatted = _NO_TEXT,
    media: Sequence[Any] = (),
    source: Source | None = None,
) -> Sent:
    """Send one post. `key(part)` is the random_id of its message number `part`, counted from 0.

    Sending again with the same keys is safe: Telegram delivers each once. The caller prepares what is sent:
    `render_for_group` (the post and its text), `MediaShelf.ready` (media), `find_source` (forwards and copies).

    Raises:
        RPCError, CONNECTION_LOST: see `bot.reactions.classify`.
    """
    request, random_ids = request_for(to, post, key, text=text, media=media, source=source)
    return Sent(_new_ids(await call(request), random_ids))


async def pin(call: Call, to: Destination, message_id: int) -> None:
    """Pin a message without telling everybody.

    Raises:
        RPCError, CONNECTION_LOST: it is not pinned; the post stands all the same.
    """
    await call(functions.messages.UpdatePinnedMessageRequest(to.peer, message_id, silent=True))


def request_for(
    to: Destination,
    post: Post,
    key: Callable[[int], int],
    *,
    text: Formatted = _NO_TEXT,
    media: Sequence[Any] = (),
    source: Source | None = None,
) -> tuple[Any, list[int]]:
    """Return Telethon's request for a post, and the random ids of its messages."""
    parts = max(1, len(media), len(source.message_ids) if source is not None else 0)
    random_ids = [key(part) for part in range(parts)]
    return KINDS[post.type].request(to, Ready(post.content, text, random_ids, media, source)), random_ids


def _new_ids(said: Any, random_ids: Sequence[int]) -> tuple[int, ...]:
    """Return the ids of the new messages, which Telegram names beside their random ids."""
    if isinstance(said, tl.UpdateShortSentMessage):
        return (said.id,)
    named = {
        update.random_id: update.id for update in getattr(said, "updates", ()) if isinstance(update, tl.UpdateMessageID)
    }
    return tuple(named[one] for one in random_ids if one in named)
