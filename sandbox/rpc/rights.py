"""Who may post what in a chat, and the error for those who may not."""

import math

from sandbox.errors import RpcError
from sandbox.rpc.call import Call
from sandbox.state.peers import Account, Chat, Member

# kind of message -> the right it needs, and the error if that right was taken
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
# Allowed without the right to send media: Telegram treats contacts and places as text.
NO_MEDIA = frozenset({"text", "poll", "contact", "geo"})


def require_member(chat: Chat, account: Account) -> Member:
    """Return the membership of an account. Raises RpcError if it is not a member."""
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


def require_write(chat: Chat, account: Account, kind: str) -> Member:
    """Return the membership of an account that may send this kind of message. Raises RpcError if it may not."""
    member = require_member(chat, account)
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


def enforce_slow_mode(call: Call, chat: Chat, member: Member) -> None:
    """Record a message in a chat with slow mode. Raises RpcError if it comes too early."""
    if not chat.slow_mode or member.admin:
        return
    now = call.centre.monotonic()
    left = member.last_sent + chat.slow_mode - now
    if left > 0:
        raise RpcError(f"SLOWMODE_WAIT_{math.ceil(left)}")
    member.last_sent = now


def require_admin(chat: Chat, account: Account) -> Member:
    """Return the membership of an admin. Raises RpcError if the account is not one."""
    member = require_member(chat, account)
    if not member.admin:
        raise RpcError("CHAT_ADMIN_REQUIRED")
    return member
