"""channels.*: supergroups."""

from typing import Any

from telethon.tl import functions, types

from sandbox.errors import RpcError
from sandbox.rpc import render
from sandbox.rpc.call import Call, handles
from sandbox.rpc.messages import found


@handles(functions.channels.GetChannelsRequest)
def get_channels(call: Call, request: Any) -> Any:
    """Channels by id."""
    chats = [call.centre.chat_from(call.me, wanted) for wanted in request.id]
    return types.messages.Chats([render.chat(call.centre, call.me, chat) for chat in chats])


@handles(functions.channels.GetFullChannelRequest)
def get_full_channel(call: Call, request: Any) -> Any:
    """Everything about a channel."""
    chat = call.centre.chat_from(call.me, request.channel)
    full = types.ChannelFull(
        id=chat.id,
        about="",
        read_inbox_max_id=0,
        read_outbox_max_id=0,
        unread_count=0,
        chat_photo=types.PhotoEmpty(0),
        notify_settings=types.PeerNotifySettings(),
        bot_info=[],
        pts=chat.box.pts,
        participants_count=len(chat.members),
    )
    return types.messages.ChatFull(full, chats=[render.chat(call.centre, call.me, chat)], users=[])


@handles(functions.channels.GetMessagesRequest)
def get_messages(call: Call, request: Any) -> Any:
    """Messages by id; missing ones come as empty messages."""
    chat = call.centre.chat_from(call.me, request.channel)
    wanted = [getattr(entry, "id", 0) for entry in request.id]
    there = [chat.box.messages[number] for number in wanted if number in chat.box.messages]
    answer = found(call, chat, there, len(wanted))
    by_id = {entry.id: entry for entry in answer.messages}
    answer.messages = [by_id.get(number) or types.MessageEmpty(number) for number in wanted]
    return answer


@handles(functions.channels.GetParticipantRequest)
def get_participant(call: Call, request: Any) -> Any:
    """One member."""
    chat = call.centre.chat_from(call.me, request.channel)
    member = call.centre.user_from(call.me, request.participant)
    if member.id not in chat.members:
        raise RpcError("USER_NOT_PARTICIPANT")
    kind = types.ChannelParticipantSelf if member is call.me else types.ChannelParticipant
    values: dict[str, Any] = {"user_id": member.id, "date": 0}
    if member is call.me:
        values["inviter_id"] = member.id
    return types.channels.ChannelParticipant(
        kind(**values),
        chats=[render.chat(call.centre, call.me, chat)],
        users=[render.user(call.centre, call.me, member)],
    )
