"""messages.*: sending and reading."""

from typing import Any

from telethon.tl import functions, types

from sandbox.errors import RpcError
from sandbox.rpc import render
from sandbox.rpc.call import Call, handles
from sandbox.rpc.help_ import MESSAGE_LENGTH
from sandbox.state.boxes import Message
from sandbox.state.peers import Account, Chat

MAX_PAGE = 100


@handles(functions.messages.SendMessageRequest, writes=True)
def send_message(call: Call, request: Any) -> Any:
    """Put a text into a chat, once for each random_id."""
    chat = call.centre.chat_from(call.me, request.peer)
    known = call.me.random_ids.get(request.random_id)
    if known is not None:
        return _again(call, request.random_id, *known)
    if call.me.id not in chat.members:
        raise RpcError("CHAT_WRITE_FORBIDDEN")
    if not request.message.strip():
        raise RpcError("MESSAGE_EMPTY")
    if utf16_length(request.message) > MESSAGE_LENGTH:
        raise RpcError("MESSAGE_TOO_LONG")
    entry = Message(
        id=0,
        sender=call.me,
        date=call.centre.now(),
        text=request.message,
        random_id=request.random_id or 0,
        entities=request.entities or None,
        silent=bool(request.silent),
    )
    call.centre.deliver(chat, call.me, entry)
    push(call, chat, entry)
    return sent(call, chat, entry)


def sent(call: Call, chat: Chat, entry: Message, pts_count: int = 1) -> render.Raw:
    """What a sender gets back: the id its random_id was given, and the message."""
    news = [
        types.UpdateMessageID(id=entry.id, random_id=entry.random_id),
        types.UpdateNewChannelMessage(
            render.message(call.me, chat, entry), entry.pts if pts_count else chat.box.pts, pts_count
        ),
    ]
    return render.Raw(render.updates(call.centre, call.me, news, [call.me], [chat]))


def _again(call: Call, random_id: int, chat: Chat, message_id: int) -> render.Raw:
    """The real server was seen to answer a repeated random_id with the first message and no change of pts."""
    call.centre.ledger.repeat(call.centre.now(), call.me.name, chat.key, random_id, message_id)
    entry = chat.box.messages.get(message_id)
    if entry is None:
        raise RpcError("RANDOM_ID_DUPLICATE")
    return sent(call, chat, entry, pts_count=0)


def push(call: Call, chat: Chat, entry: Message) -> None:
    """Tell the other members that are connected and want news."""
    for member in chat.members.values():
        if not member.sessions or member.state != "active":
            continue
        listeners = [session for session in member.sessions if session.updates and session is not call.session]
        if not listeners:
            continue
        update = types.UpdateNewChannelMessage(render.message(member, chat, entry), entry.pts, 1)
        data = render.updates(call.centre, member, [update], [entry.sender], [chat])
        for session in listeners:
            session.put(data, content=True, answer=False)


def utf16_length(text: str) -> int:
    """Telegram counts in UTF-16 units."""
    return len(text) + sum(character > "\uffff" for character in text)


@handles(functions.messages.GetDialogsRequest)
def get_dialogs(call: Call, request: Any) -> Any:
    """The chats one is in, latest message first."""
    mine = [chat for chat in call.centre.chats.values() if call.me.id in chat.members]
    mine.sort(key=lambda chat: chat.box.last.date if chat.box.last else 0.0, reverse=True)
    if request.offset_peer and getattr(request.offset_peer, "channel_id", 0):
        places = [place for place, chat in enumerate(mine, 1) if chat.id == request.offset_peer.channel_id]
        rest = mine[places[0] :] if places else []
    else:
        rest = mine
    page = rest[: max(1, min(request.limit, MAX_PAGE))]
    tops = [(chat, chat.box.last) for chat in page]
    dialogs = [
        types.Dialog(
            peer=types.PeerChannel(chat.id),
            top_message=top.id if top else 0,
            read_inbox_max_id=0,
            read_outbox_max_id=0,
            unread_count=0,
            unread_mentions_count=0,
            unread_reactions_count=0,
            unread_poll_votes_count=0,
            notify_settings=types.PeerNotifySettings(),
            pts=chat.box.pts,
        )
        for chat, top in tops
    ]
    senders: set[Account] = {top.sender for _, top in tops if top}
    return types.messages.DialogsSlice(
        count=len(mine),
        dialogs=dialogs,
        messages=[render.message(call.me, chat, top) for chat, top in tops if top],
        chats=[render.chat(call.centre, call.me, chat) for chat in page],
        users=[render.user(call.centre, call.me, sender) for sender in senders],
    )


@handles(functions.messages.GetHistoryRequest)
def get_history(call: Call, request: Any) -> Any:
    """A page of a chat's messages, newest first, as Telegram's offsets say."""
    chat = call.centre.chat_from(call.me, request.peer)
    newest_first = [
        entry
        for entry in reversed(chat.box.messages.values())
        if (not request.max_id or entry.id < request.max_id) and entry.id > request.min_id
    ]
    start = 0
    if request.offset_id:
        start = sum(entry.id >= request.offset_id for entry in newest_first)
    elif until := request.offset_date.timestamp():  # an absent date is read as 1970
        start = sum(entry.date >= until for entry in newest_first)
    start = max(0, start + request.add_offset)
    return found(call, chat, newest_first[start : start + max(0, min(request.limit, MAX_PAGE))], len(chat.box.messages))


def found(call: Call, chat: Chat, entries: list[Message], count: int) -> Any:
    """Messages of a channel with everybody they mention."""
    return types.messages.ChannelMessages(
        pts=chat.box.pts,
        count=count,
        messages=[render.message(call.me, chat, entry) for entry in entries],
        topics=[],
        chats=[render.chat(call.centre, call.me, chat)],
        users=[render.user(call.centre, call.me, sender) for sender in {entry.sender for entry in entries}],
    )


@handles(functions.messages.ReadHistoryRequest)
def read_history(call: Call, _request: Any) -> Any:
    """Nobody counts what is unread yet."""
    return types.messages.AffectedMessages(pts=call.me.box.pts, pts_count=0)
