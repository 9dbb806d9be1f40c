"""Posting a message of any kind into a chat, at once or scheduled."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

from telethon.tl import types

from sandbox.errors import RpcError
from sandbox.rpc import news, render, texts
from sandbox.rpc.call import Call
from sandbox.rpc.rights import enforce_slow_mode, require_write
from sandbox.state.boxes import Event, Message
from sandbox.state.peers import Chat, Scheduled

CAPTION_LENGTH, MESSAGE_LENGTH = 1024, 4096
PREMIUM_CAPTION_LENGTH = 4096
MAX_ENTITIES = 100
SCHEDULE_FROM = 10  # seconds ahead; messages due earlier are sent at once
GENERAL = 1


@dataclass
class PostRequest:
    """A message to send, before any check."""

    text: str = ""
    random_id: int = 0
    entities: list[Any] | None = None
    media: Any = None
    kind: str = "text"
    forwarded: Any = None
    extra: dict[str, Any] = field(default_factory=dict)


def clean_text(call: Call, draft: PostRequest) -> None:
    """Replace text and entities with what appears in the chat. Raises RpcError if they are not valid."""
    sent_units = _units(draft.text)
    for entity in draft.entities or ():
        if entity.offset < 0 or entity.length <= 0 or entity.offset + entity.length > sent_units:
            raise RpcError("ENTITY_BOUNDS_INVALID")
    draft.text = texts.clean(draft.text)
    if draft.kind != "text" and texts.is_empty(draft.text):
        draft.text = ""
    length = _units(draft.text)
    draft.entities = texts.clip_entities(draft.entities, length)
    if draft.kind == "text":
        if texts.is_empty(draft.text):
            raise RpcError("MESSAGE_EMPTY")
        if length > MESSAGE_LENGTH:
            raise RpcError("MESSAGE_TOO_LONG")
    elif length > (PREMIUM_CAPTION_LENGTH if call.me.premium else CAPTION_LENGTH):
        raise RpcError("MEDIA_CAPTION_TOO_LONG")
    if draft.entities and len(draft.entities) > MAX_ENTITIES:
        raise RpcError("ENTITIES_TOO_LONG")


def _units(text: str) -> int:
    """Return the length in UTF-16 units, in which Telegram counts."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le")) // 2


def reply(chat: Chat, request: Any, top: int | None = None) -> tuple[Any, int]:
    """Return the reply header and the topic that a request names. Raises RpcError."""
    wanted = getattr(request, "reply_to", None)
    target = getattr(wanted, "reply_to_msg_id", None) or top
    if chat.kind != "forum":
        if target is None:
            return None, 0
        return types.MessageReplyHeader(reply_to_msg_id=target), 0
    topic_id = getattr(wanted, "top_msg_id", None) or top or target or GENERAL
    if topic_id not in chat.topics:  # a reply to a message within a topic
        inside = chat.box.messages.get(topic_id)
        if inside is None:
            raise RpcError("TOPIC_DELETED" if topic_id < chat.box.next_id else "TOPIC_ID_INVALID")
        topic_id = inside.topic or GENERAL
    if topic_id == GENERAL and target in {None, GENERAL}:
        return None, GENERAL
    if target == topic_id:
        return types.MessageReplyHeader(forum_topic=True, reply_to_msg_id=topic_id), topic_id
    return types.MessageReplyHeader(forum_topic=True, reply_to_msg_id=target, reply_to_top_id=topic_id), topic_id


def _check_reply(call: Call, chat: Chat, header: Any, topic_id: int, *, admin: bool) -> None:
    topic = chat.topics.get(topic_id)
    if topic is not None and topic.closed and not admin:
        raise RpcError("TOPIC_CLOSED")
    target = header.reply_to_msg_id if header is not None else None
    if target is not None and target not in chat.topics and target not in chat.box_of(call.me).messages:
        raise RpcError("REPLY_MESSAGE_ID_INVALID")


def post(call: Call, chat: Chat, drafts: list[PostRequest], request: Any, top: int | None = None) -> render.Raw:
    """Send messages together (an album, or several forwards), each random_id once. Raises RpcError."""
    repeated = [find_repeated(call, draft.random_id) for draft in drafts]
    if drafts and all(repeated):
        return _repeated(call, chat, [entry for entry in repeated if entry is not None])
    member = require_write(chat, call.me, drafts[0].kind)
    for draft in drafts[1:]:
        require_write(chat, call.me, draft.kind)
    for draft in drafts:
        clean_text(call, draft)
    header, topic = reply(chat, request, top)
    if header is not None or topic:
        _check_reply(call, chat, header, topic, admin=member.admin)
    call.centre.limits.sending(call.me.name, chat.key, group=chat.kind in {"supergroup", "forum", "group"})
    enforce_slow_mode(call, chat, member)
    now = call.centre.now()
    entries = [
        Message(
            chat,
            call.me,
            now,
            text=draft.text,
            kind=draft.kind,
            random_id=draft.random_id,
            entities=draft.entities or None,
            media=draft.media,
            silent=bool(request.silent),
            no_webpage=bool(getattr(request, "no_webpage", False)),
            reply_to=header,
            topic=topic,
            forwarded=draft.forwarded,
            **draft.extra,
        )
        for draft, known in zip(drafts, repeated, strict=True)
        if known is None
    ]
    when = getattr(request, "schedule_date", None)
    if when is not None and when.timestamp() > now + SCHEDULE_FROM:
        return _schedule(call, chat, entries, when.timestamp())
    return sent(call, chat, [news.deliver(call.centre, entry, call.session) for entry in entries])


def sent(call: Call, chat: Chat, events: list[Event], *, repeated: bool = False) -> render.Raw:
    """Return the sender's updates: the id that each random_id was given, and the messages."""
    entries = [event.message for event in events if event.message is not None]
    place = chat if chat.own_box else None
    changes: list[Any] = [types.UpdateMessageID(entry.id_for(call.me), entry.random_id) for entry in entries]
    changes += [render.news(call.me, event, place, repeated=repeated) for event in events]
    return news.answer(call.centre, call.me, changes, entries, chat)


def find_repeated(call: Call, random_id: int) -> Message | None:
    """Return the message that already used a random_id. Raises RpcError if the world refuses repeats."""
    known = call.me.random_ids.get(random_id) if random_id else None
    if known is None:
        return None
    entry, sent_at = known
    forget_after = call.centre.world.forget_after
    if forget_after is not None and call.centre.monotonic() - sent_at > forget_after:
        del call.me.random_ids[random_id]
        return None
    message_id = entry.id_for(call.me)
    call.centre.ledger.repeat(call.centre.now(), call.me.name, entry.chat.key, random_id, message_id)
    if call.centre.world.repeats == "error":
        raise RpcError("RANDOM_ID_DUPLICATE")
    return entry


def _repeated(call: Call, chat: Chat, entries: list[Message]) -> render.Raw:
    """Return the first messages again without a change of pts, as the real server was seen to do."""
    if any(entry.chat is not chat or chat.box.messages.get(entry.id) is not entry for entry in entries):
        raise RpcError("RANDOM_ID_DUPLICATE")
    pts = chat.box_of(call.me).pts
    return sent(call, chat, [Event(pts, "new", entry) for entry in entries], repeated=True)


def _schedule(call: Call, chat: Chat, entries: list[Message], when: float) -> render.Raw:
    changes: list[Any] = []
    loop = asyncio.get_running_loop()
    for entry in entries:
        entry.id = chat.next_scheduled
        chat.next_scheduled += 1
        entry.date = when
        waiting = chat.scheduled[entry.id] = Scheduled(entry)
        waiting.handle = loop.call_later(when - call.centre.now(), send_scheduled, call, chat, entry.id)
        changes += [
            types.UpdateMessageID(entry.id, entry.random_id),
            types.UpdateNewScheduledMessage(render.message(call.me, entry)),
        ]
        if entry.random_id:
            call.me.random_ids[entry.random_id] = (entry, call.centre.monotonic())
    return news.answer(call.centre, call.me, changes, entries, chat)


def send_scheduled(call: Call, chat: Chat, number: int) -> Event | None:
    """Deliver a scheduled message now. Return None if it was sent or deleted already."""
    waiting = chat.scheduled.pop(number, None)
    if waiting is None:
        return None
    waiting.handle.cancel()
    entry = waiting.message
    entry.date = call.centre.now()
    entry.from_schedule = True
    return news.deliver(call.centre, entry)
