"""Creating and managing chats, and changing one's own profile."""

import re
import secrets
from typing import Any

from telethon.tl import functions, types

from sandbox.errors import RpcError
from sandbox.rpc import news, render
from sandbox.rpc.call import Call, handles
from sandbox.rpc.rights import require_admin, require_member, require_write
from sandbox.state.peers import Account, Chat, Member
from sandbox.world import FIRST_CHANNEL_ID, FIRST_GROUP_ID, ChatSpec

USERNAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{4,31}")
TITLE_LENGTH = 128
MAX_CHATS = 10_000


def _new_chat(call: Call, kind: str, title: str, about: str, others: list[Account]) -> Chat:
    if not 1 <= len(title) <= TITLE_LENGTH:
        raise RpcError("CHAT_TITLE_EMPTY")
    directory = call.centre.directory
    if len(directory.chats) >= MAX_CHATS:
        raise RpcError("CHANNELS_TOO_MUCH")
    chat_id = max([*directory.chats, FIRST_GROUP_ID if kind == "group" else FIRST_CHANNEL_ID]) + 1
    key = f"{kind}{chat_id}"
    members = [Member(call.me, role="creator"), *(Member(account) for account in others)]
    chat = Chat(ChatSpec(key=key, id=chat_id, title=title, about=about, kind=kind), members)
    directory.add_chat(chat)
    return chat


@handles(functions.channels.CreateChannelRequest, writes=True)
def create_channel(call: Call, request: Any) -> Any:
    """Create a supergroup, forum or channel."""
    kind = "forum" if request.forum else "supergroup" if request.megagroup else "channel"
    chat = _new_chat(call, kind, request.title, request.about, [])
    return news.answer(call.centre, call.me, [], [], chat)


@handles(functions.messages.CreateChatRequest, writes=True)
def create_group(call: Call, request: Any) -> Any:
    """Create a basic group."""
    others = [call.centre.user_from(call.me, user) for user in request.users]
    chat = _new_chat(call, "group", request.title, "", [account for account in others if account is not call.me])
    return types.messages.InvitedUsers(news.answer(call.centre, call.me, [], [], chat), missing_invitees=[])


@handles(functions.channels.EditTitleRequest, writes=True)
def edit_title(call: Call, request: Any) -> Any:
    """Rename a channel."""
    chat = call.centre.channel_from(call.me, request.channel)
    require_admin(chat, call.me)
    if not 1 <= len(request.title) <= TITLE_LENGTH:
        raise RpcError("CHAT_TITLE_EMPTY")
    if request.title == chat.title:
        raise RpcError("CHAT_NOT_MODIFIED")
    chat.title = request.title
    chat.changed()
    return news.answer(call.centre, call.me, [], [], chat)


@handles(functions.messages.EditChatAboutRequest, writes=True)
def edit_about(call: Call, request: Any) -> bool:
    """Change the description of a chat."""
    chat = call.centre.chat_from(call.me, request.peer)
    require_admin(chat, call.me)
    chat.about = request.about
    return True


@handles(functions.channels.EditAdminRequest, writes=True)
def edit_admin(call: Call, request: Any) -> Any:
    """Promote or demote a member."""
    chat = call.centre.channel_from(call.me, request.channel)
    require_admin(chat, call.me)
    member = require_member(chat, call.centre.user_from(call.me, request.user_id))
    if member.role == "creator":
        raise RpcError("USER_CREATOR")
    member.role = (
        "admin" if any(request.admin_rights.to_dict().get(right) for right in render.ADMIN_RIGHTS) else "member"
    )
    chat.changed()
    return news.answer(call.centre, call.me, [], [], chat)


def _add(chat: Chat, account: Account) -> None:
    if account.id in chat.kicked:
        raise RpcError("USER_KICKED")
    if account.id in chat.members:
        raise RpcError("USER_ALREADY_PARTICIPANT")
    chat.members[account.id] = Member(account)
    chat.changed()


def _may_invite(chat: Chat, account: Account) -> None:
    member = require_member(chat, account)
    if not member.admin and (chat.kind == "channel" or "invite_users" in chat.default_banned | member.banned):
        raise RpcError("CHAT_ADMIN_REQUIRED")


@handles(functions.channels.InviteToChannelRequest, writes=True)
def invite(call: Call, request: Any) -> Any:
    """Add people to a channel."""
    chat = call.centre.channel_from(call.me, request.channel)
    _may_invite(chat, call.me)
    for user in request.users:
        account = call.centre.user_from(call.me, user)
        if account.id not in chat.members:
            _add(chat, account)
    return types.messages.InvitedUsers(news.answer(call.centre, call.me, [], [], chat), missing_invitees=[])


@handles(functions.messages.AddChatUserRequest, writes=True)
def add_to_group(call: Call, request: Any) -> Any:
    """Add somebody to a basic group."""
    chat = call.centre.group_from(call.me, request.chat_id)
    _may_invite(chat, call.me)
    _add(chat, call.centre.user_from(call.me, request.user_id))
    return types.messages.InvitedUsers(news.answer(call.centre, call.me, [], [], chat), missing_invitees=[])


@handles(functions.messages.MigrateChatRequest, writes=True)
def migrate(call: Call, request: Any) -> Any:
    """Turn a basic group into a supergroup. The old group only points to the new one."""
    old = call.centre.group_from(call.me, request.chat_id)
    if require_member(old, call.me).role != "creator":
        raise RpcError("CHAT_ADMIN_REQUIRED")
    if old.moved_to is not None:
        raise RpcError("CHAT_ID_INVALID")
    new = _new_chat(call, "supergroup", old.title, old.about, [])
    new.members = dict(old.members)
    old.moved_to = new
    old.changed()
    return news.answer(call.centre, call.me, [], [], new)


@handles(functions.messages.DeleteChatUserRequest, writes=True)
def remove_from_group(call: Call, request: Any) -> Any:
    """Leave a basic group or, as an admin, remove a member."""
    chat = call.centre.group_from(call.me, request.chat_id)
    account = call.centre.user_from(call.me, request.user_id)
    if account is not call.me:
        require_admin(chat, call.me)
    if chat.members.pop(account.id, None) is None:
        raise RpcError("USER_NOT_PARTICIPANT")
    chat.changed()
    return news.answer(call.centre, call.me, [], [], chat)


@handles(functions.messages.ExportChatInviteRequest, writes=True)
def export_invite(call: Call, request: Any) -> Any:
    """Create an invite link. It replaces the old one."""
    chat = call.centre.chat_from(call.me, request.peer)
    require_admin(chat, call.me)
    if chat.invite:
        call.centre.directory.by_invite.pop(chat.invite, None)
    chat.invite = secrets.token_urlsafe(12)
    call.centre.directory.by_invite[chat.invite] = chat
    chat.join_request = bool(request.request_needed)
    return types.ChatInviteExported(
        link=f"https://t.me/+{chat.invite}",
        admin_id=call.me.id,
        date=int(call.centre.now()),
        permanent=True,
        request_needed=chat.join_request,
    )


def _free(call: Call, username: str) -> bool:
    if not USERNAME.fullmatch(username):
        raise RpcError("USERNAME_INVALID")
    return username.lower() not in call.centre.directory.usernames


@handles(functions.channels.CheckUsernameRequest, functions.account.CheckUsernameRequest)
def check_username(call: Call, request: Any) -> bool:
    """Return whether a username is free."""
    return _free(call, request.username)


@handles(functions.channels.UpdateUsernameRequest, writes=True)
def update_channel_username(call: Call, request: Any) -> bool:
    """Set a channel's username. An empty one makes it private."""
    chat = call.centre.channel_from(call.me, request.channel)
    require_admin(chat, call.me)
    if request.username and not _free(call, request.username):
        raise RpcError("USERNAME_OCCUPIED")
    call.centre.directory.rename(chat, request.username or None)
    return True


@handles(functions.account.UpdateUsernameRequest, writes=True)
def update_username(call: Call, request: Any) -> Any:
    """Change or remove the caller's username."""
    if request.username and not _free(call, request.username):
        raise RpcError("USERNAME_OCCUPIED")
    call.centre.directory.rename(call.me, request.username or None)
    return render.user(call.centre, call.me, call.me)


@handles(functions.account.UpdateProfileRequest, writes=True)
def update_profile(call: Call, request: Any) -> Any:
    """Change the caller's first name."""
    if request.first_name is not None:
        if not request.first_name:
            raise RpcError("FIRSTNAME_INVALID")
        call.me.first_name = request.first_name
        call.me.rendered.clear()
    return render.user(call.centre, call.me, call.me)


@handles(functions.messages.UpdatePinnedMessageRequest, writes=True)
def pin(call: Call, request: Any) -> Any:
    """Pin or unpin a message."""
    chat = call.centre.chat_from(call.me, request.peer)
    member = require_write(chat, call.me, "text")
    if chat.kind != "private" and not member.admin:
        raise RpcError("CHAT_ADMIN_REQUIRED")
    entry = chat.box_of(call.me).messages.get(request.id)
    if entry is None or entry.chat is not chat:
        raise RpcError("MESSAGE_ID_INVALID")
    entry.pinned = not request.unpin
    event = news.edited(call.centre, entry, call.session)  # members are told as if it were an edit
    change = render.news(call.me, event, chat if chat.own_box else None)
    return news.answer(call.centre, call.me, [change], [entry], chat)


@handles(functions.messages.UnpinAllMessagesRequest, writes=True)
def unpin_all(call: Call, request: Any) -> Any:
    """Unpin every message of a chat."""
    chat = call.centre.chat_from(call.me, request.peer)
    if chat.kind != "private":
        require_admin(chat, call.me)
    for _, entry in chat.messages_of(call.me):
        entry.pinned = False
    return types.messages.AffectedHistory(pts=chat.box_of(call.me).pts, pts_count=0, offset=0)


@handles(functions.messages.GetAllDraftsRequest)
def no_drafts(call: Call, _request: Any) -> Any:
    """Return no drafts: they are not stored."""
    return types.Updates(updates=[], users=[], chats=[], date=int(call.centre.now()), seq=0)


@handles(functions.messages.GetDialogFiltersRequest)
def no_folders(_call: Call, _request: Any) -> Any:
    """Return no folders: there are none."""
    return types.messages.DialogFilters([])


@handles(functions.photos.GetUserPhotosRequest)
def no_photos(_call: Call, _request: Any) -> Any:
    """Return no photos: profile photos are not supported."""
    return types.photos.Photos(photos=[], users=[])


@handles(functions.messages.SetTypingRequest, functions.messages.SaveDraftRequest)
def ignore_typing(call: Call, request: Any) -> bool:
    """Accept typing and drafts without storing them."""
    call.centre.chat_from(call.me, request.peer)
    return True


@handles(functions.messages.GetWebPagePreviewRequest)
def no_preview(_call: Call, _request: Any) -> Any:
    """Return no preview: pages are not fetched."""
    return types.messages.WebPagePreview(media=types.MessageMediaEmpty(), chats=[], users=[])
