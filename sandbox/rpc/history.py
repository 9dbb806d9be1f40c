"""messages.* and channels.*: history, search and dialogs."""

from collections.abc import Callable
from typing import Any

from telethon.tl import functions, types

from sandbox.errors import RpcError
from sandbox.rpc import render
from sandbox.rpc.call import Call, handles
from sandbox.state.boxes import Message
from sandbox.state.peers import Account, Chat

MAX_PAGE = 100
FILTERS = {
    types.InputMessagesFilterPhotos: {"photo"},
    types.InputMessagesFilterVideo: {"video"},
    types.InputMessagesFilterPhotoVideo: {"photo", "video"},
    types.InputMessagesFilterDocument: {"document"},
    types.InputMessagesFilterVoice: {"voice"},
    types.InputMessagesFilterMusic: {"audio"},
    types.InputMessagesFilterRoundVideo: {"round"},
    types.InputMessagesFilterRoundVoice: {"round", "voice"},
    types.InputMessagesFilterGif: {"gif"},
    types.InputMessagesFilterGeo: {"geo"},
    types.InputMessagesFilterContacts: {"contact"},
    types.InputMessagesFilterPoll: {"poll"},
}


def found(call: Call, chat: Chat, entries: list[Message], count: int) -> Any:
    """Return messages of one chat with their senders and the chat."""
    shown = [render.message(call.me, entry) for entry in entries]
    people = render.people(call.centre, call.me, entries, chat)
    if chat.own_box:
        return types.messages.ChannelMessages(pts=chat.box.pts, count=count, messages=shown, topics=[], **people)
    return types.messages.MessagesSlice(count=count, messages=shown, topics=[], **people)


def _page(call: Call, chat: Chat, request: Any, wanted: Callable[[Message], bool]) -> Any:
    """Return one page, newest first. https://core.telegram.org/api/offsets"""
    rows = [
        (number, entry)
        for number, entry in chat.messages_of(call.me)
        if (not request.max_id or number < request.max_id) and number > request.min_id and wanted(entry)
    ]
    start = 0
    until = request.offset_date.timestamp() if getattr(request, "offset_date", None) else 0
    if request.offset_id:
        start = sum(number >= request.offset_id for number, _ in rows)
    elif until:  # Telethon reads a missing date as 1970
        start = sum(entry.date >= until for _, entry in rows)
    start = max(0, start + request.add_offset)
    page = rows[start : start + max(0, min(request.limit, MAX_PAGE))]
    return found(call, chat, [entry for _, entry in page], len(rows))


@handles(functions.messages.GetHistoryRequest)
def get_history(call: Call, request: Any) -> Any:
    """Return a page of a chat's messages."""
    return _page(call, call.centre.chat_from(call.me, request.peer), request, lambda _: True)


@handles(functions.messages.GetRepliesRequest)
def get_replies(call: Call, request: Any) -> Any:
    """Return a page of a topic, or of the replies to a message."""
    chat = call.centre.chat_from(call.me, request.peer)

    def wanted(entry: Message) -> bool:
        if request.msg_id in chat.topics:
            return bool(entry.topic == request.msg_id)
        return bool(entry.reply_to is not None and entry.reply_to.reply_to_msg_id == request.msg_id)

    return _page(call, chat, request, wanted)


@handles(functions.messages.SearchRequest)
def search(call: Call, request: Any) -> Any:
    """Return a chat's messages with given words, of one kind or of one sender."""
    chat = call.centre.chat_from(call.me, request.peer)
    sender = call.centre.user_from(call.me, request.from_id) if request.from_id is not None else None
    words, kinds = request.q.lower(), FILTERS.get(type(request.filter))

    def wanted(entry: Message) -> bool:
        if kinds is not None and entry.kind not in kinds:
            return False
        if isinstance(request.filter, types.InputMessagesFilterPinned) and not entry.pinned:
            return False
        return words in entry.text.lower() and (sender is None or entry.sender is sender)

    return _page(call, chat, request, wanted)


@handles(functions.messages.SearchGlobalRequest)
def search_everywhere(call: Call, request: Any) -> Any:
    """Return the newest messages with given words in all chats of the caller."""
    words = request.q.lower()
    entries = [
        entry
        for chat, _ in my_chats(call)
        for _, entry in chat.messages_of(call.me)
        if entry.action is None and words in entry.text.lower()
    ]
    entries.sort(key=lambda entry: entry.seq, reverse=True)
    page = entries[: max(0, min(request.limit, MAX_PAGE))]
    return types.messages.Messages(
        messages=[render.message(call.me, entry) for entry in page],
        topics=[],
        **render.people(call.centre, call.me, page),
    )


def _by_ids(call: Call, numbers: list[int], find: Callable[[int], Message | None]) -> tuple[list[Any], list[Message]]:
    entries = {number: find(number) for number in numbers}
    shown = [
        render.message(call.me, entry) if (entry := entries[number]) else types.MessageEmpty(id=number, peer_id=None)
        for number in numbers
    ]
    return shown, [entry for entry in entries.values() if entry]


@handles(functions.channels.GetMessagesRequest)
def get_channel_messages(call: Call, request: Any) -> Any:
    """Return messages of a channel by id. Missing ones come as MessageEmpty."""
    chat = call.centre.channel_from(call.me, request.channel)
    numbers = [getattr(entry, "id", 0) for entry in request.id[:MAX_PAGE]]
    shown, entries = _by_ids(call, numbers, chat.box.messages.get)
    people = render.people(call.centre, call.me, entries, chat)
    return types.messages.ChannelMessages(pts=chat.box.pts, count=len(shown), messages=shown, topics=[], **people)


@handles(functions.messages.GetMessagesRequest)
def get_messages(call: Call, request: Any) -> Any:
    """Return messages of basic groups and dialogs by id. Missing ones come as MessageEmpty."""
    numbers = [getattr(entry, "id", 0) for entry in request.id[:MAX_PAGE]]
    shown, entries = _by_ids(call, numbers, call.me.box.messages.get)
    return types.messages.Messages(messages=shown, topics=[], **render.people(call.centre, call.me, entries))


def _top(viewer: Account, chat: Chat) -> Message | None:
    if chat.own_box:
        return chat.box.messages.get(chat.box.last)
    rows = chat.messages_of(viewer)
    return rows[0][1] if rows else None


def unread(viewer: Account, chat: Chat) -> int:
    """Return how many messages of others a viewer has not read."""
    count, last = 0, chat.read.get(viewer.id, 0)
    for number, entry in chat.messages_of(viewer):
        if number <= last or entry.sender is viewer:  # a sender counts as having read everything before
            break
        count += 1
    return count


def _dialog(call: Call, chat: Chat, top: Message | None) -> Any:
    return types.Dialog(
        peer=render.peer(call.me, chat),
        top_message=top.id_for(call.me) if top else 0,
        read_inbox_max_id=chat.read.get(call.me.id, 0),
        read_outbox_max_id=0,
        unread_count=unread(call.me, chat),
        unread_mentions_count=0,
        unread_reactions_count=0,
        unread_poll_votes_count=0,
        notify_settings=types.PeerNotifySettings(),
        pts=chat.box.pts if chat.own_box else None,
    )


def my_chats(call: Call) -> list[tuple[Chat, Message | None]]:
    """Return the caller's chats and their newest messages, most recently active first."""
    rows = []
    for chat in call.centre.directory.by_key.values():
        if call.me.id not in chat.members or chat.moved_to is not None:
            continue
        top = _top(call.me, chat)
        if top is not None or chat.kind != "private":
            rows.append((chat, top))
    rows.sort(key=lambda row: (-row[1].seq if row[1] else 1, row[0].key))
    return rows


@handles(functions.messages.GetDialogsRequest)
def get_dialogs(call: Call, request: Any) -> Any:
    """Return a page of the caller's dialogs."""
    rows = [] if request.folder_id else my_chats(call)  # no dialog is ever archived
    count = len(rows)
    if not isinstance(request.offset_peer, types.InputPeerEmpty):
        after = call.centre.chat_from(call.me, request.offset_peer)
        places = [place for place, (chat, _) in enumerate(rows, 1) if chat is after]
        rows = rows[places[0] :] if places else []
    page = rows[: max(1, min(request.limit, MAX_PAGE))]
    tops = [top for _, top in page if top]
    return types.messages.DialogsSlice(
        count=count,
        dialogs=[_dialog(call, chat, top) for chat, top in page],
        messages=[render.message(call.me, top) for top in tops],
        **render.people(call.centre, call.me, tops, *(chat for chat, _ in page)),
    )


@handles(functions.messages.GetPeerDialogsRequest)
def get_peer_dialogs(call: Call, request: Any) -> Any:
    """Return dialogs by peer."""
    chats = [
        call.centre.chat_from(call.me, wanted.peer)
        for wanted in request.peers
        if isinstance(wanted, types.InputDialogPeer)
    ]
    rows = [(chat, _top(call.me, chat)) for chat in chats]
    tops = [top for _, top in rows if top]
    return types.messages.PeerDialogs(
        dialogs=[_dialog(call, chat, top) for chat, top in rows],
        messages=[render.message(call.me, top) for top in tops],
        state=types.updates.State(call.me.box.pts, 0, int(call.centre.now()), 0, 0),
        **render.people(call.centre, call.me, tops, *chats),
    )


@handles(functions.messages.GetPinnedDialogsRequest)
def get_pinned_dialogs(call: Call, _request: Any) -> Any:
    """Return no dialogs: pinning is not supported."""
    state = types.updates.State(call.me.box.pts, 0, int(call.centre.now()), 0, 0)
    return types.messages.PeerDialogs(dialogs=[], messages=[], chats=[], users=[], state=state)


@handles(functions.messages.ReadHistoryRequest)
def read_history(call: Call, request: Any) -> Any:
    """Mark a basic group or dialog as read."""
    _read(call, call.centre.chat_from(call.me, request.peer), request.max_id)
    return types.messages.AffectedMessages(pts=call.me.box.pts, pts_count=0)


@handles(functions.channels.ReadHistoryRequest)
def read_channel(call: Call, request: Any) -> bool:
    """Mark a channel as read."""
    _read(call, call.centre.channel_from(call.me, request.channel), request.max_id)
    return True


def _read(call: Call, chat: Chat, number: int) -> None:
    newest = number or max((known for known, _ in chat.messages_of(call.me)), default=0)
    chat.read[call.me.id] = max(chat.read.get(call.me.id, 0), newest)


@handles(functions.messages.GetMessagesViewsRequest)
def get_views(call: Call, request: Any) -> Any:
    """Return one view for each message."""
    call.centre.chat_from(call.me, request.peer)
    if len(request.id) > MAX_PAGE:
        raise RpcError("MSG_ID_INVALID")
    return types.messages.MessageViews([types.MessageViews(views=1) for _ in request.id], chats=[], users=[])
