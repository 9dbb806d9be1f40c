"""Channels and basic groups: information, members, invite links and rights."""

from typing import Any

from telethon.tl import functions, types

from sandbox.errors import RpcError
from sandbox.rpc import news, render
from sandbox.rpc.call import Call, handles
from sandbox.rpc.rights import require_admin
from sandbox.state.peers import Account, Chat, Member
from sandbox.world import RIGHTS

MAX_PAGE = 200
SLOW_MODES = (0, 5, 10, 30, 60, 300, 900, 3_600)


@handles(functions.channels.GetChannelsRequest)
def get_channels(call: Call, request: Any) -> Any:
    """Return channels by id."""
    chats = [call.centre.channel_from(call.me, wanted) for wanted in request.id]
    return types.messages.Chats([render.chat(call.centre, call.me, chat) for chat in chats])


@handles(functions.messages.GetChatsRequest)
def get_chats(call: Call, request: Any) -> Any:
    """Return basic groups by id. Unknown ones are left out; those without the caller come as ChatEmpty."""
    chats: list[Any] = []
    for number in request.id:
        chat = call.centre.directory.chats.get(number)
        if chat is None or chat.kind != "group":
            continue
        is_member = call.me.id in chat.members
        chats.append(render.chat(call.centre, call.me, chat) if is_member else types.ChatEmpty(number))
    return types.messages.Chats(chats)


@handles(functions.channels.GetFullChannelRequest)
def get_full_channel(call: Call, request: Any) -> Any:
    """Return the full information about a channel."""
    chat = call.centre.channel_from(call.me, request.channel)
    member = chat.members.get(call.me.id)
    next_send = None
    if chat.slow_mode and member is not None and not member.admin:
        left = member.last_sent + chat.slow_mode - call.centre.monotonic()
        next_send = int(call.centre.now() + left) if left > 0 else None
    full = types.ChannelFull(
        id=chat.id,
        about=chat.about,
        read_inbox_max_id=0,
        read_outbox_max_id=0,
        unread_count=0,
        chat_photo=types.PhotoEmpty(0),
        notify_settings=types.PeerNotifySettings(),
        bot_info=[],
        pts=chat.box.pts,
        can_view_participants=chat.kind != "channel",
        participants_count=len(chat.members),
        admins_count=sum(entry.admin for entry in chat.members.values()),
        kicked_count=len(chat.kicked),
        banned_count=sum(bool(entry.banned) for entry in chat.members.values()),
        slowmode_seconds=chat.slow_mode or None,
        slowmode_next_send_date=next_send,
        exported_invite=_invite(chat) if member is not None and member.admin else None,
    )
    return types.messages.ChatFull(full, chats=[render.chat(call.centre, call.me, chat)], users=[])


@handles(functions.messages.GetFullChatRequest)
def get_full_chat(call: Call, request: Any) -> Any:
    """Return the full information about a basic group."""
    chat = call.centre.group_from(call.me, request.chat_id)
    accounts = [member.account for member in chat.members.values()]
    members = [types.ChatParticipant(account.id, inviter_id=accounts[0].id, date=0) for account in accounts]
    full = types.ChatFull(
        id=chat.id,
        about=chat.about,
        participants=types.ChatParticipants(chat.id, members, version=1),
        notify_settings=types.PeerNotifySettings(),
    )
    return types.messages.ChatFull(
        full,
        chats=[render.chat(call.centre, call.me, chat)],
        users=[render.user(call.centre, call.me, account) for account in accounts],
    )


def _invite(chat: Chat) -> Any:
    if not chat.invite:
        return None
    return types.ChatInviteExported(
        link=f"https://t.me/+{chat.invite}", admin_id=0, date=0, permanent=True, request_needed=chat.join_request
    )


def _participant(call: Call, member: Member) -> Any:
    account = member.account
    if member.role == "creator":
        return types.ChannelParticipantCreator(account.id, admin_rights=render.admin_rights())
    if member.role == "admin":
        return types.ChannelParticipantAdmin(account.id, promoted_by=0, date=0, admin_rights=render.admin_rights())
    if member.banned:
        rights = render.banned_rights(member.banned, render.FOREVER)
        return types.ChannelParticipantBanned(types.PeerUser(account.id), kicked_by=0, date=0, banned_rights=rights)
    if account is call.me:
        return types.ChannelParticipantSelf(account.id, inviter_id=account.id, date=0)
    return types.ChannelParticipant(account.id, date=0)


@handles(functions.channels.GetParticipantRequest)
def get_participant(call: Call, request: Any) -> Any:
    """Return one member of a channel."""
    chat = call.centre.channel_from(call.me, request.channel)
    account = call.centre.user_from(call.me, request.participant)
    member = chat.members.get(account.id)
    if member is None:
        raise RpcError("USER_NOT_PARTICIPANT")
    return types.channels.ChannelParticipant(
        _participant(call, member),
        chats=[render.chat(call.centre, call.me, chat)],
        users=[render.user(call.centre, call.me, account)],
    )


@handles(functions.channels.GetParticipantsRequest)
def get_participants(call: Call, request: Any) -> Any:
    """Return a page of a channel's members."""
    chat = call.centre.channel_from(call.me, request.channel)
    if chat.kind == "channel":
        require_admin(chat, call.me)
    members = list(chat.members.values())
    if isinstance(request.filter, types.ChannelParticipantsAdmins):
        members = [member for member in members if member.admin]
    elif isinstance(request.filter, types.ChannelParticipantsSearch) and request.filter.q:
        members = [member for member in members if request.filter.q.lower() in member.account.first_name.lower()]
    start = max(0, request.offset)
    page = members[start : start + max(0, min(request.limit, MAX_PAGE))]
    return types.channels.ChannelParticipants(
        count=len(members),
        participants=[_participant(call, member) for member in page],
        chats=[render.chat(call.centre, call.me, chat)],
        users=[render.user(call.centre, call.me, member.account) for member in page],
    )


def join(chat: Chat, account: Account) -> None:
    """Add a member, or a join request if the chat wants one. Raises RpcError."""
    if account.id in chat.kicked:
        raise RpcError("CHANNEL_PRIVATE")
    if account.id in chat.members:
        raise RpcError("USER_ALREADY_PARTICIPANT")
    if chat.join_request:
        if account not in chat.requests:
            chat.requests.append(account)
        raise RpcError("INVITE_REQUEST_SENT")
    chat.members[account.id] = Member(account)
    chat.changed()


@handles(functions.channels.JoinChannelRequest, writes=True)
def join_channel(call: Call, request: Any) -> Any:
    """Join a public channel. Joining again is not an error."""
    chat = call.centre.channel_from(call.me, request.channel)
    if call.me.id not in chat.members:
        join(chat, call.me)
    return news.answer(call.centre, call.me, [], [], chat)


@handles(functions.channels.LeaveChannelRequest, writes=True)
def leave_channel(call: Call, request: Any) -> Any:
    """Leave a channel."""
    chat = call.centre.channel_from(call.me, request.channel)
    if chat.members.pop(call.me.id, None) is None:
        raise RpcError("USER_NOT_PARTICIPANT")
    chat.changed()
    return news.answer(call.centre, call.me, [], [], chat)


def _by_invite(call: Call, invite: str) -> Chat:
    if not invite or not all(character.isalnum() or character in "-_" for character in invite):
        raise RpcError("INVITE_HASH_INVALID")
    chat = call.centre.directory.by_invite.get(invite)
    if chat is None:
        raise RpcError("INVITE_HASH_EXPIRED")
    return chat


@handles(functions.messages.CheckChatInviteRequest)
def check_invite(call: Call, request: Any) -> Any:
    """Return the chat behind an invite link."""
    chat = _by_invite(call, request.hash)
    if call.me.id in chat.members:
        return types.ChatInviteAlready(render.chat(call.centre, call.me, chat))
    return types.ChatInvite(
        title=chat.title,
        photo=types.PhotoEmpty(0),
        participants_count=len(chat.members),
        color=0,
        channel=chat.own_box,
        broadcast=chat.kind == "channel",
        megagroup=chat.own_box and chat.kind != "channel",
        public=chat.username is not None,
        request_needed=chat.join_request,
        about=chat.about,
    )


@handles(functions.messages.ImportChatInviteRequest, writes=True)
def import_invite(call: Call, request: Any) -> Any:
    """Join by an invite link."""
    chat = _by_invite(call, request.hash)
    join(chat, call.me)
    return types.messages.ChatInviteJoinResultOk(news.answer(call.centre, call.me, [], [], chat))


@handles(functions.messages.HideChatJoinRequestRequest, writes=True)
def decide_join_request(call: Call, request: Any) -> Any:
    """Approve or decline a join request."""
    chat = call.centre.chat_from(call.me, request.peer)
    require_admin(chat, call.me)
    account = call.centre.user_from(call.me, request.user_id)
    if account not in chat.requests:
        raise RpcError("HIDE_REQUESTER_MISSING")
    chat.requests.remove(account)
    if request.approved:
        chat.members[account.id] = Member(account)
        chat.changed()
    return news.answer(call.centre, call.me, [], [], chat)


@handles(functions.channels.EditBannedRequest, writes=True)
def edit_banned(call: Call, request: Any) -> Any:
    """Restrict, kick or unban a member."""
    chat = call.centre.channel_from(call.me, request.channel)
    require_admin(chat, call.me)
    account = call.centre.user_from(call.me, request.participant)
    member = chat.members.get(account.id)
    if member is not None and member.admin:
        raise RpcError("USER_ADMIN_INVALID")
    banned = frozenset(right for right in RIGHTS if getattr(request.banned_rights, right, None))
    if "view_messages" in banned:
        chat.members.pop(account.id, None)
        chat.kicked.add(account.id)
    else:
        chat.kicked.discard(account.id)
        if member is not None:
            member.banned = banned
    chat.changed()
    return news.answer(call.centre, call.me, [], [], chat)


@handles(functions.messages.EditChatDefaultBannedRightsRequest, writes=True)
def edit_default_rights(call: Call, request: Any) -> Any:
    """Set the rights that are taken from all members."""
    chat = call.centre.chat_from(call.me, request.peer)
    require_admin(chat, call.me)
    chat.default_banned = frozenset(right for right in RIGHTS if getattr(request.banned_rights, right, None))
    chat.changed()
    return news.answer(call.centre, call.me, [], [], chat)


@handles(functions.channels.ToggleSlowModeRequest, writes=True)
def toggle_slow_mode(call: Call, request: Any) -> Any:
    """Set the seconds of slow mode."""
    chat = call.centre.channel_from(call.me, request.channel)
    require_admin(chat, call.me)
    if request.seconds not in SLOW_MODES:
        raise RpcError("SECONDS_INVALID")
    chat.slow_mode = request.seconds
    chat.changed()
    return news.answer(call.centre, call.me, [], [], chat)


@handles(functions.messages.ToggleNoForwardsRequest, writes=True)
def toggle_no_forwards(call: Call, request: Any) -> Any:
    """Turn protection from forwarding on or off."""
    chat = call.centre.chat_from(call.me, request.peer)
    require_admin(chat, call.me)
    chat.protected = request.enabled
    chat.changed()
    return news.answer(call.centre, call.me, [], [], chat)


@handles(functions.channels.GetSendAsRequest)
def get_send_as(call: Call, request: Any) -> Any:
    """Return whom the caller may send as: only themselves."""
    call.centre.chat_from(call.me, request.peer)
    me = render.user(call.centre, call.me, call.me)
    return types.channels.SendAsPeers([types.SendAsPeer(types.PeerUser(call.me.id))], chats=[], users=[me])
