"""Whether a post arrived: looked up in the chat's history, by the account that sent it or by another one.

Telegram does not show random ids. A post is recognised by its sender, its time, its topic and what is in it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from telethon.tl import functions
from telethon.tl import types as tl

from bot.compose.kinds.register import KINDS
from bot.compose.post import Destination, Part, Post, Sent
from bot.compose.text import Formatted
from sessions.connections.client import Call

PAGE = 100
MOST_MESSAGES = 500
"""How far back a busy chat is searched."""
_CLOCKS_DIFFER = timedelta(seconds=30)
_GENERAL = 1


@dataclass(frozen=True)
class Wanted:
    """What to look for."""

    post: Post
    sender_id: int
    """The Telegram id of the account that sent it."""
    since: datetime
    """When it was first sent. What is older is another post."""
    text: Formatted | None = None
    """The text or caption that was sent; None for forwards and copies."""
    source: Sequence[Any] = ()
    """For forwards and copies: the original messages (`Source.messages`)."""
    topic: int | None = None
    taken: frozenset[int] = frozenset()
    """The ids of messages that are known to be other deliveries."""


async def find_delivered(call: Call, to: Destination, wanted: Wanted) -> Sent | None:
    """Return the messages of a post as they stand in the chat; None if it is not there, too far back, or deleted.

    Raises:
        RPCError, CONNECTION_LOST: the history cannot be read.
    """
    mine: list[Any] = []
    offset, seen = 0, 0
    while seen < MOST_MESSAGES:
        page = (await call(_history(to.peer, offset))).messages
        seen += len(page)
        young = [message for message in page if not _is_older(message, wanted.since)]
        mine += [message for message in young if _is_candidate(message, wanted)]
        if len(young) < len(page) or len(page) < PAGE:
            break
        offset = page[-1].id
    mine.sort(key=lambda message: message.id)
    return _first_match(mine, wanted)


def _history(peer: Any, offset: int) -> Any:
    return functions.messages.GetHistoryRequest(
        peer, offset_id=offset, offset_date=None, add_offset=0, limit=PAGE, max_id=0, min_id=0, hash=0
    )


def _is_older(message: Any, since: datetime) -> bool:
    date = getattr(message, "date", None)
    return date is not None and date < since - _CLOCKS_DIFFER


def _is_candidate(message: Any, wanted: Wanted) -> bool:
    if not isinstance(message, tl.Message) or message.id in wanted.taken:
        return False
    return _is_from(message, wanted.sender_id) and _topic_of(message) == (wanted.topic or _GENERAL)


def _is_from(message: Any, sender_id: int) -> bool:
    """Return whether the account sent the message. Channels and anonymous administrators show no sender; only the
    account itself is told (`out`)."""
    if isinstance(message.from_id, tl.PeerUser):
        return bool(message.from_id.user_id == sender_id)
    return bool(message.out or message.post)


def _topic_of(message: Any) -> int:
    header = message.reply_to
    if not getattr(header, "forum_topic", False):
        return _GENERAL
    return int(header.reply_to_top_id or header.reply_to_msg_id)


def _first_match(mine: Sequence[Any], wanted: Wanted) -> Sent | None:
    """Return the oldest run of messages that is this post. An album has several messages."""
    parts = max(1, len(wanted.source) or len(wanted.post.content.media))
    for start in range(len(mine) - parts + 1):
        run = mine[start : start + parts]
        albums = {message.grouped_id for message in run}
        if len(albums) > 1 or (parts == 1 and albums != {None} and not wanted.source):
            continue  # a picture of another post's album is no post of its own
        if all(_is_part(message, wanted, index) for index, message in enumerate(run)):
            return Sent(tuple(message.id for message in run))
    return None


def _is_part(message: Any, wanted: Wanted, index: int) -> bool:
    if message.fwd_from is not None and not wanted.source:
        return False
    said = wanted.text.text if wanted.text is not None and index == 0 else ""
    part = Part(wanted.post.content, index, said, wanted.source[index] if wanted.source else None)
    return KINDS[wanted.post.type].matches(message, part)
