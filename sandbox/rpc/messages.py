"""messages.*: sending, forwarding, editing, deleting, scheduling."""

from typing import Any

from telethon.tl import functions, types

from sandbox.errors import RpcError
from sandbox.rpc import news, render
from sandbox.rpc.call import Call, handles
from sandbox.rpc.media import media_from
from sandbox.rpc.posting import PostRequest, clean_text, post, send_scheduled, sent
from sandbox.state.boxes import Message
from sandbox.state.peers import Chat

MAX_ALBUM = 10
MAX_FORWARDS = 100
EDIT_SECONDS = 172_800
ALBUM_KINDS = ({"photo", "video"}, {"document"}, {"audio"})


@handles(functions.messages.SendMessageRequest, writes=True)
def send_message(call: Call, request: Any) -> Any:
    """Send a text, each random_id once."""
    chat = call.centre.chat_from(call.me, request.peer)
    return post(call, chat, [PostRequest(request.message, request.random_id or 0, request.entities)], request)


@handles(functions.messages.SendMediaRequest, writes=True)
def send_media(call: Call, request: Any) -> Any:
    """Send a photo, file, poll or other media."""
    chat = call.centre.chat_from(call.me, request.peer)
    known = call.me.random_ids.get(request.random_id)
    kind, media = (known[0].kind, known[0].media) if known else media_from(call, request.media)
    return post(
        call, chat, [PostRequest(request.message, request.random_id or 0, request.entities, media, kind)], request
    )


@handles(functions.messages.SendMultiMediaRequest, writes=True)
def send_album(call: Call, request: Any) -> Any:
    """Send an album."""
    chat = call.centre.chat_from(call.me, request.peer)
    if not 1 <= len(request.multi_media) <= MAX_ALBUM:
        raise RpcError("MULTI_MEDIA_TOO_LONG" if request.multi_media else "MEDIA_EMPTY")
    drafts = []
    for single in request.multi_media:
        kind, media = media_from(call, single.media)
        drafts.append(PostRequest(single.message, single.random_id or 0, single.entities, media, kind))
    if not any({draft.kind for draft in drafts} <= together for together in ALBUM_KINDS):
        raise RpcError("MEDIA_GROUPED_INVALID")
    for draft in drafts:
        draft.extra["grouped_id"] = call.centre.seq + 1
    return post(call, chat, drafts, request)


@handles(functions.messages.ForwardMessagesRequest, writes=True)
def forward_messages(call: Call, request: Any) -> Any:
    """Forward messages to another chat, with or without their author."""
    source = call.centre.chat_from(call.me, request.from_peer)
    chat = call.centre.chat_from(call.me, request.to_peer)
    if not request.id or len(request.id) > MAX_FORWARDS or len(request.id) != len(request.random_id or ()):
        raise RpcError("MESSAGE_IDS_EMPTY" if not request.id else "RANDOM_ID_INVALID")
    if source.protected:
        raise RpcError("CHAT_FORWARDS_RESTRICTED")
    box = source.box_of(call.me)
    drafts = []
    for number, random_id in zip(request.id, request.random_id, strict=True):
        entry = box.messages.get(number)
        if entry is None or entry.chat is not source or entry.action is not None:
            raise RpcError("MESSAGE_ID_INVALID")
        header = None if request.drop_author else _header(entry)
        text = "" if request.drop_media_captions and entry.media is not None else entry.text
        entities = entry.entities if text else None
        drafts.append(
            PostRequest(text, random_id, entities, entry.media, entry.kind, header, {"grouped_id": entry.grouped_id})
        )
    albums = {entry.extra["grouped_id"] for entry in drafts} - {None}
    renamed = {old: call.centre.seq + 1 + place for place, old in enumerate(sorted(albums))}
    for draft in drafts:
        draft.extra["grouped_id"] = renamed.get(draft.extra["grouped_id"])
    return post(call, chat, drafts, request, top=request.top_msg_id)


def _header(entry: Message) -> Any:
    if entry.forwarded is not None:
        return entry.forwarded
    if entry.chat.kind == "channel":
        return types.MessageFwdHeader(
            date=int(entry.date), from_id=types.PeerChannel(entry.chat.id), channel_post=entry.id
        )
    return types.MessageFwdHeader(date=int(entry.date), from_id=types.PeerUser(entry.sender.id))


def own_message(call: Call, chat: Chat, number: int) -> Message:
    """Return a message that the caller wrote. Raises RpcError if there is none, or somebody else wrote it."""
    entry = chat.box_of(call.me).messages.get(number)
    if entry is None or entry.chat is not chat:
        raise RpcError("MESSAGE_ID_INVALID")
    if entry.sender is not call.me:
        raise RpcError("MESSAGE_AUTHOR_REQUIRED")
    return entry


@handles(functions.messages.EditMessageRequest, writes=True)
def edit_message(call: Call, request: Any) -> Any:
    """Change the text or media of the caller's own message."""
    chat = call.centre.chat_from(call.me, request.peer)
    entry = own_message(call, chat, request.id)
    if call.centre.now() - entry.date > EDIT_SECONDS and len(chat.members) > 1:
        raise RpcError("MESSAGE_EDIT_TIME_EXPIRED")
    kind, media = media_from(call, request.media) if request.media is not None else (entry.kind, entry.media)
    changed = PostRequest(entry.text, entities=entry.entities, kind=kind)
    if request.message is not None:
        changed = PostRequest(request.message, entities=request.entities, kind=kind)
    clean_text(call, changed)
    text, entities = changed.text, changed.entities
    if (text, entities or None, media) == (entry.text, entry.entities, entry.media):
        raise RpcError("MESSAGE_NOT_MODIFIED")
    entry.text, entry.entities, entry.kind, entry.media = text, entities or None, kind, media
    entry.edited = call.centre.now()
    event = news.edited(call.centre, entry, call.session)
    change = render.news(call.me, event, chat if chat.own_box else None)
    return news.answer(call.centre, call.me, [change], [entry], chat)


@handles(functions.messages.DeleteMessagesRequest, writes=True)
def delete_messages(call: Call, request: Any) -> Any:
    """Delete messages of basic groups and dialogs for the caller or, with `revoke`, for everybody."""
    box = call.me.box
    before = box.pts
    for chat in {entry.chat for number in request.id if (entry := box.messages.get(number))}:
        entries = [entry for number in request.id if (entry := box.messages.get(number)) and entry.chat is chat]
        if request.revoke:
            foreign = any(entry.sender is not call.me for entry in entries)
            if foreign and chat.kind == "group" and not chat.members[call.me.id].admin:
                raise RpcError("MESSAGE_DELETE_FORBIDDEN")
            news.removed(call.centre, entries, call.me.name, call.session)
        else:
            box.remove([entry.id_for(call.me) for entry in entries])
    return types.messages.AffectedMessages(pts=box.pts, pts_count=box.pts - before)


@handles(functions.channels.DeleteMessagesRequest, writes=True)
def delete_channel_messages(call: Call, request: Any) -> Any:
    """Delete messages of a channel: the caller's own or, for admins, any."""
    chat = call.centre.channel_from(call.me, request.channel)
    member = chat.members.get(call.me.id)
    entries = [chat.box.messages[number] for number in request.id if number in chat.box.messages]
    if member is None or (not member.admin and any(entry.sender is not call.me for entry in entries)):
        raise RpcError("MESSAGE_DELETE_FORBIDDEN")
    news.removed(call.centre, entries, call.me.name, call.session)
    return types.messages.AffectedMessages(pts=chat.box.pts, pts_count=len(entries))


@handles(functions.messages.GetScheduledHistoryRequest)
def scheduled_history(call: Call, request: Any) -> Any:
    """Return the caller's scheduled messages."""
    chat = call.centre.chat_from(call.me, request.peer)
    waiting = [entry.message for entry in chat.scheduled.values() if entry.message.sender is call.me]
    return types.messages.Messages(
        messages=[render.message(call.me, entry) for entry in reversed(waiting)],
        topics=[],
        **render.people(call.centre, call.me, waiting),
    )


@handles(functions.messages.SendScheduledMessagesRequest, writes=True)
def send_scheduled_now(call: Call, request: Any) -> Any:
    """Send scheduled messages now."""
    chat = call.centre.chat_from(call.me, request.peer)
    mine = _scheduled(call, chat, request.id)
    return sent(call, chat, [event for number in mine if (event := send_scheduled(call, chat, number))])


@handles(functions.messages.DeleteScheduledMessagesRequest, writes=True)
def delete_scheduled(call: Call, request: Any) -> Any:
    """Delete scheduled messages."""
    chat = call.centre.chat_from(call.me, request.peer)
    mine = _scheduled(call, chat, request.id)
    for number in mine:
        chat.scheduled.pop(number).handle.cancel()
    change = types.UpdateDeleteScheduledMessages(peer=render.peer(call.me, chat), messages=mine)
    return news.answer(call.centre, call.me, [change], [], chat)


def _scheduled(call: Call, chat: Chat, numbers: list[int]) -> list[int]:
    for number in numbers:
        if number not in chat.scheduled or chat.scheduled[number].message.sender is not call.me:
            raise RpcError("MESSAGE_ID_INVALID")
    return numbers


@handles(functions.messages.SendVoteRequest, writes=True)
def send_vote(call: Call, request: Any) -> Any:
    """Vote in a poll."""
    chat = call.centre.chat_from(call.me, request.peer)
    entry = chat.box_of(call.me).messages.get(request.msg_id)
    if entry is None or entry.kind != "poll":
        raise RpcError("MESSAGE_ID_INVALID")
    options = {answer.option for answer in entry.media.poll.answers}
    if not set(request.options) <= options or (len(request.options) > 1 and not entry.media.poll.multiple_choice):
        raise RpcError("OPTIONS_TOO_MUCH" if len(request.options) > 1 else "OPTION_INVALID")
    results = entry.media.results
    results.total_voters = (results.total_voters or 0) + 1
    change = types.UpdateMessagePoll(poll_id=entry.media.poll.id, results=results)
    return news.answer(call.centre, call.me, [change], [], chat)
