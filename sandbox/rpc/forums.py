"""The topics of forums."""

from typing import Any

from telethon.tl import functions, types

from sandbox.errors import RpcError
from sandbox.rpc import news, render
from sandbox.rpc.call import Call, handles
from sandbox.rpc.posting import GENERAL, sent
from sandbox.rpc.rights import require_admin
from sandbox.state.boxes import Message
from sandbox.state.peers import Chat, Topic

MAX_PAGE = 100
TITLE_LENGTH = 128
ICON_COLOR = 0x6FB9F0


def _forum(call: Call, peer: Any) -> Chat:
    chat = call.centre.chat_from(call.me, peer)
    if chat.kind != "forum":
        raise RpcError("CHANNEL_FORUM_MISSING")
    return chat


def _topic(call: Call, chat: Chat, topic: Topic) -> Any:
    creator = topic.creator or call.me
    return types.ForumTopic(
        id=topic.id,
        date=int(topic.date),
        peer=types.PeerChannel(chat.id),
        title=topic.title,
        icon_color=ICON_COLOR,
        top_message=topic.top_message or topic.id,
        read_inbox_max_id=0,
        read_outbox_max_id=0,
        unread_count=0,
        unread_mentions_count=0,
        unread_reactions_count=0,
        unread_poll_votes_count=0,
        from_id=types.PeerUser(creator.id),
        notify_settings=types.PeerNotifySettings(),
        my=topic.creator is call.me,
        closed=topic.closed,
        hidden=topic.hidden,
    )


def _topics(call: Call, chat: Chat, shown: list[Any], count: int) -> Any:
    return types.messages.ForumTopics(
        count=count,
        topics=shown,
        messages=[],
        pts=chat.box.pts,
        chats=[render.chat(call.centre, call.me, chat)],
        users=[render.user(call.centre, call.me, member.account) for member in chat.members.values() if member.admin],
    )


@handles(functions.messages.GetForumTopicsRequest)
def get_topics(call: Call, request: Any) -> Any:
    """Return a page of topics, most recently active first."""
    chat = _forum(call, request.peer)
    topics = [topic for topic in chat.topics.values() if (request.q or "").lower() in topic.title.lower()]
    topics.sort(key=lambda topic: topic.top_message or topic.id, reverse=True)
    places = [place for place, topic in enumerate(topics, 1) if topic.id == request.offset_topic]
    page = topics[places[0] if places else 0 :][: max(0, min(request.limit, MAX_PAGE))]
    return _topics(call, chat, [_topic(call, chat, topic) for topic in page], len(topics))


@handles(functions.messages.GetForumTopicsByIDRequest)
def get_topics_by_id(call: Call, request: Any) -> Any:
    """Return topics by id. Missing ones come as ForumTopicDeleted."""
    chat = _forum(call, request.peer)
    shown = [
        _topic(call, chat, chat.topics[number]) if number in chat.topics else types.ForumTopicDeleted(number)
        for number in request.topics[:MAX_PAGE]
    ]
    return _topics(call, chat, shown, len(shown))


@handles(functions.messages.CreateForumTopicRequest, writes=True)
def create_topic(call: Call, request: Any) -> Any:
    """Create a topic."""
    chat = _forum(call, request.peer)
    member = chat.members.get(call.me.id)
    if member is None or (not member.admin and "manage_topics" in chat.default_banned | member.banned):
        raise RpcError("CHAT_ADMIN_REQUIRED")
    if not 1 <= len(request.title) <= TITLE_LENGTH:
        raise RpcError("TOPIC_TITLE_EMPTY")
    now = call.centre.now()
    action = types.MessageActionTopicCreate(title=request.title, icon_color=request.icon_color or ICON_COLOR)
    entry = Message(chat, call.me, now, kind="service", action=action, random_id=request.random_id or 0)
    event = news.deliver(call.centre, entry, call.session)
    chat.topics[entry.id] = Topic(entry.id, request.title, call.me, now)
    return sent(call, chat, [event])


@handles(functions.messages.EditForumTopicRequest, writes=True)
def edit_topic(call: Call, request: Any) -> Any:
    """Rename, close, reopen or hide a topic."""
    chat = _forum(call, request.peer)
    topic = chat.topics.get(request.topic_id)
    if topic is None:
        raise RpcError("TOPIC_ID_INVALID")
    if topic.creator is not call.me:
        require_admin(chat, call.me)
    if request.hidden is not None and topic.id != GENERAL:
        raise RpcError("TOPIC_HIDE_SEPARATELY")
    topic.title = topic.title if request.title is None else request.title
    topic.closed = topic.closed if request.closed is None else request.closed
    topic.hidden = topic.hidden if request.hidden is None else request.hidden
    action = types.MessageActionTopicEdit(title=request.title, closed=request.closed, hidden=request.hidden)
    entry = Message(chat, call.me, call.centre.now(), kind="service", action=action, topic=topic.id)
    return sent(call, chat, [news.deliver(call.centre, entry, call.session)])


@handles(functions.messages.DeleteTopicHistoryRequest, writes=True)
def delete_topic(call: Call, request: Any) -> Any:
    """Delete a topic and its messages."""
    chat = _forum(call, request.peer)
    require_admin(chat, call.me)
    if request.top_msg_id == GENERAL or chat.topics.pop(request.top_msg_id, None) is None:
        raise RpcError("TOPIC_ID_INVALID")
    entries = [entry for entry in chat.box.messages.values() if request.top_msg_id in {entry.topic, entry.id}]
    news.removed(call.centre, entries, call.me.name, call.session)
    return types.messages.AffectedHistory(pts=chat.box.pts, pts_count=len(entries), offset=0)
