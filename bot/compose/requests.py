"""A post into the one request that sends it, each of its messages under a random_id of ours, and what came of it.

Raw requests: Telethon's own `send_message` and `forward_messages` draw random ids themselves, and know no
`top_msg_id`. Nothing here waits, retries or judges an error; that is `bot.cycle.worker` with `bot.reactions.classify`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from telethon import errors
from telethon.tl import functions
from telethon.tl import types as tl

from bot.compose.content import Post
from bot.compose.media import Call
from bot.compose.text import Formatted
from bot.reactions.classify import Scope, reaction_to
from core.errors import InvalidInput
from core.models import Poll, PostType

_ALBUM_REACH = 9
"""An album has at most 10 messages with consecutive ids: the others of one lie at most this far away."""
_NO_TEXT = Formatted("")
CANNOT_SEE = "this account cannot see the message; let it join that chat first"


@dataclass(frozen=True)
class Destination:
    """Where a post goes, as the sending account addresses it."""

    peer: Any
    """Telethon's InputPeer."""
    topic: int | None = None
    """A forum topic's id; None: the chat itself (in a forum: General)."""


@dataclass(frozen=True)
class Source:
    """The message to forward or copy, as the sending account addresses it; an album is several."""

    peer: Any
    message_ids: tuple[int, ...]
    messages: tuple[Any, ...] = field(default=(), compare=False, repr=False)
    """The originals, as they were when they were looked up."""


@dataclass(frozen=True)
class Sent:
    """What Telegram confirmed."""

    message_ids: tuple[int, ...]
    """Of the new messages, in the order of their parts; fewer, even none, where Telegram did not name them."""


class SourceUnavailable(InvalidInput):
    """This account cannot see the message to forward or copy."""

    code = "source_unavailable"


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

    Sending again with the same keys is safe: Telegram delivers each once. What is sent is prepared before:
    `compose_content.render` (text and captions) and `render_poll`, `MediaShelf.ready` (media), `find_source`
    (forwards and copies).

    Raises:
        RPCError, CONNECTION_LOST: see `bot.reactions.classify`.
    """
    request, random_ids = request_for(to, post, key, text=text, media=media, source=source)
    return Sent(_new_ids(await call(request), random_ids))


async def pin(call: Call, to: Destination, message_id: int) -> None:
    """Pin a message without telling everybody. Raises RPCError, CONNECTION_LOST: the post stands all the same."""
    await call(functions.messages.UpdatePinnedMessageRequest(to.peer, message_id, silent=True))


async def find_source(
    call: Call, peer: Any, message_id: int | None, field_name: str = "post_content.message", *, single: bool = False
) -> Source:
    """The message to forward, with the rest of its album unless it is meant alone (`single`). Without an id: the
    newest one of the chat.

    Raises:
        SourceUnavailable: this account cannot see it; another may.
        InvalidInput: there is no such message.
        RPCError, CONNECTION_LOST: anything that is not about the message.
    """
    try:
        if message_id is None:
            found = await call(_newest(peer))
            known = {message.id: message for message in found.messages}
            message_id = next((one.id for one in found.messages if isinstance(one, tl.Message)), None)
            if message_id is None:
                raise SourceUnavailable(field_name, "this account's Saved Messages are empty")
        else:
            around = range(max(1, message_id - _ALBUM_REACH), message_id + _ALBUM_REACH + 1)
            found = await call(_by_id(peer, around))
            known = {message.id: message for message in found.messages}
    except errors.RPCError as error:
        if reaction_to(error).scope is not Scope.GROUP:
            raise
        raise SourceUnavailable(field_name, CANNOT_SEE) from error
    wanted = known.get(message_id)
    if not isinstance(wanted, tl.Message):
        raise InvalidInput(field_name, "there is no such message (any more); name another one")
    if single or wanted.grouped_id is None:
        return Source(peer, (wanted.id,), (wanted,))
    together = [known[number] for number in sorted(known)]
    album = [one for one in together if getattr(one, "grouped_id", None) == wanted.grouped_id]
    return Source(peer, tuple(one.id for one in album), tuple(album))


def request_for(
    to: Destination,
    post: Post,
    key: Callable[[int], int],
    *,
    text: Formatted = _NO_TEXT,
    media: Sequence[Any] = (),
    source: Source | None = None,
) -> tuple[Any, list[int]]:
    """Telethon's request for a post, and the random ids of its messages."""
    content = post.content
    common: dict[str, Any] = {"silent": content.silent or None}
    if post.type in {PostType.FORWARD, PostType.COPY}:
        if source is None:
            raise ValueError("a forward or a copy needs the message it is made from")
        ids = [key(part) for part in range(len(source.message_ids))]
        drop_author = post.type is PostType.COPY or None
        forward = functions.messages.ForwardMessagesRequest(
            source.peer,
            list(source.message_ids),
            to.peer,
            random_id=ids,
            drop_author=drop_author,
            top_msg_id=to.topic,
            **common,
        )
        return forward, ids
    common["reply_to"] = None if to.topic is None else tl.InputReplyToMessage(to.topic, top_msg_id=to.topic)
    ids = [key(part) for part in range(max(1, len(media)))]
    said = {"message": text.text, "entities": list(text.entities) or None}
    if post.type is PostType.TEXT:
        no_webpage = not content.link_preview or None
        return functions.messages.SendMessageRequest(
            to.peer, random_id=ids[0], no_webpage=no_webpage, **said, **common
        ), ids
    if post.type is PostType.ALBUM:
        parts = [
            tl.InputSingleMedia(item, random_id=ids[part], **(said if part == 0 else {"message": ""}))
            for part, item in enumerate(media)
        ]
        return functions.messages.SendMultiMediaRequest(to.peer, parts, **common), ids
    one = _poll(content.poll) if content.poll is not None else media[0]
    return functions.messages.SendMediaRequest(to.peer, one, random_id=ids[0], **said, **common), ids


def _poll(poll: Poll) -> Any:
    is_quiz = poll.correct is not None
    return tl.InputMediaPoll(
        tl.Poll(
            id=0,
            question=tl.TextWithEntities(poll.question.strip(), []),
            answers=[tl.InputPollAnswer(tl.TextWithEntities(answer.strip(), [])) for answer in poll.answers],
            hash=0,
            public_voters=not poll.anonymous or None,
            multiple_choice=poll.multiple or None,
            quiz=is_quiz or None,
            close_period=poll.open_seconds,
        ),
        correct_answers=[poll.correct] if is_quiz else None,
        solution=poll.explanation.strip() if poll.explanation else None,
        solution_entities=[] if poll.explanation else None,
    )


def _newest(peer: Any) -> Any:
    return functions.messages.GetHistoryRequest(
        peer, offset_id=0, offset_date=None, add_offset=0, limit=20, max_id=0, min_id=0, hash=0
    )


def _by_id(peer: Any, ids: range) -> Any:
    wanted = [tl.InputMessageID(number) for number in ids]
    if isinstance(peer, tl.InputPeerChannel):
        channel = tl.InputChannel(peer.channel_id, peer.access_hash)
        return functions.channels.GetMessagesRequest(channel, wanted)
    return functions.messages.GetMessagesRequest(wanted)


def _new_ids(answer: Any, random_ids: Sequence[int]) -> tuple[int, ...]:
    """The ids of the new messages: Telegram names them beside the random ids, whatever else its answer holds."""
    if isinstance(answer, tl.UpdateShortSentMessage):
        return (answer.id,)
    named = {
        update.random_id: update.id
        for update in getattr(answer, "updates", ())
        if isinstance(update, tl.UpdateMessageID)
    }
    return tuple(named[one] for one in random_ids if one in named)
