"""Who may write what where, and the error that says no."""

import math

from sandbox.errors import RpcError
from sandbox.rpc.call import Call
from sandbox.state.peers import Account, Chat, Member

# kind of message -> the right it needs, the error when that right was taken
NEEDS = {
    "text": ("send_plain", "CHAT_SEND_PLAIN_FORBIDDEN"),
    "photo": ("send_photos", "CHAT_SEND_PHOTOS_FORBIDDEN"),
    "video": ("send_videos", "CHAT_SEND_VIDEOS_FORBIDDEN"),
    "round": ("send_roundvideos", "CHAT_SEND_ROUNDVIDEOS_FORBIDDEN"),
    "audio": ("send_audios", "CHAT_SEND_AUDIOS_FORBIDDEN"),
    "voice": ("send_voices", "CHAT_SEND_VOICES_FORBIDDEN"),
    "document": ("send_docs", "CHAT_SEND_DOCS_FORBIDDEN"),
    "gif": ("send_gifs", "CHAT_SEND_GIFS_FORBIDDEN"),
    "sticker": ("send_stickers", "CHAT_SEND_STICKERS_FORBIDDEN"),
    "poll": ("send_polls", "CHAT_SEND_POLL_FORBIDDEN"),
    "dice": ("send_stickers", "CHAT_SEND_STICKERS_FORBIDDEN"),
    "contact": ("send_plain", "CHAT_SEND_PLAIN_FORBIDDEN"),
    "geo": ("send_plain", "CHAT_SEND_PLAIN_FORBIDDEN"),
}
NO_MEDIA = frozenset({"text", "poll", "contact", "geo"})
"""What a group without media still takes: to Telegram contacts and places are words."""


def member_of(chat: Chat, account: Account) -> Member:
    """The membership. Raises RpcError when there is none."""
    member = chat.members.get(account.id)
    if member is None:
        raise RpcError("CHANNEL_PRIVATE" if chat.own_box and not chat.username else "CHAT_WRITE_FORBIDDEN")
    return member


def _not_blocked(chat: Chat, account: Account) -> None:
    for other in chat.members.values():
        if other.account.id in account.blocked:
            raise RpcError("YOU_BLOCKED_USER")
        if account.id in other.account.blocked:
            raise RpcError("USER_IS_BLOCKED")


def may_write(chat: Chat, account: Account, kind: str) -> Member:
    """The membership of somebody who may send this kind of message. Raises RpcError."""
    member = member_of(chat, account)
    if chat.kind == "private":
        _not_blocked(chat, account)
    if member.admin:
        return member
    if chat.kind == "channel":
        raise RpcError("CHAT_ADMIN_REQUIRED")
    if "send_messages" in member.banned:
        raise RpcError("USER_BANNED_IN_CHANNEL" if chat.own_box else "CHAT_WRITE_FORBIDDEN")
    taken = member.banned | chat.default_banned
    if "send_messages" in taken:
        raise RpcError("CHAT_WRITE_FORBIDDEN")
    right, error = NEEDS.get(kind, ("", ""))
    if right in taken:
        raise RpcError(error)
    if kind not in NO_MEDIA and "send_media" in taken:
        raise RpcError("CHAT_SEND_MEDIA_FORBIDDEN")
    return member


def keep_slow_mode(call: Call, chat: Chat, member: Member) -> None:
    """Note a message in a slow chat. Raises RpcError when it comes too early."""
    if not chat.slow_mode or member.admin:
        return
    now = call.centre.monotonic()
    left = member.last_sent + chat.slow_mode - now
    if left > 0:
        raise RpcError(f"SLOWMODE_WAIT_{math.ceil(left)}")
    member.last_sent = now


def must_manage(chat: Chat, account: Account) -> Member:
    """The membership of an admin. Raises RpcError."""
    member = member_of(chat, account)
    if not member.admin:
        raise RpcError("CHAT_ADMIN_REQUIRED")
    return member
