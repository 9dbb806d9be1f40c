"""Whether an account is in a group, by what Telegram says to it."""

from typing import Any

from telethon.tl import types as tl

NOT_A_MEMBER = frozenset(
    {
        "CHANNEL_PARICIPANT_MISSING",
        "CHANNEL_ID_INVALID",
        "CHANNEL_INVALID",
        "CHANNEL_PRIVATE",
        "CHAT_GUEST_SEND_FORBIDDEN",
        "CHAT_ID_EMPTY",
        "CHAT_ID_INVALID",
        "CHAT_INVALID",
        "MSG_ID_INVALID",
        "PEER_ID_INVALID",
        "USER_NOT_PARTICIPANT",
    }
)
"""Refusals that say: this account is not in that group. Another account of the user may be in it. Any other refusal is
about the account or the group, and a post through another account would get round it."""

REMOVED = "USER_KICKED"
"""The group's people removed this account: no other account takes its place there."""

AMBIGUOUS = frozenset(
    {
        "CHANNEL_PRIVATE",
        "CHAT_ADMIN_REQUIRED",
        "CHAT_FORBIDDEN",
        "CHAT_SEND_MEDIA_FORBIDDEN",
        "CHAT_SEND_PLAIN_FORBIDDEN",
        "CHAT_WRITE_FORBIDDEN",
        "NOT_ALLOWED",
        "RIGHT_FORBIDDEN",
    }
)
"""Refusals that do not tell whether the account left the group, was removed, or may not write there. Telegram is asked
which of them it is before the refusal is believed."""


def is_exempt(chat: Any) -> bool:
    """Return whether the account is an administrator: neither slow mode nor the group's restrictions bind it."""
    return bool(getattr(chat, "creator", False) or getattr(chat, "admin_rights", None))


def not_there(chat: Any) -> str | None:
    """Return the refusal that keeps the account that was given `chat` out of it; None if the account is in it."""
    if isinstance(chat, tl.ChannelForbidden):
        return "CHANNEL_PRIVATE"
    if isinstance(chat, tl.ChatForbidden):
        return "CHAT_FORBIDDEN"
    if isinstance(chat, tl.ChatEmpty) or getattr(chat, "deactivated", False) or getattr(chat, "migrated_to", None):
        return "CHAT_ID_INVALID"
    return "USER_NOT_PARTICIPANT" if getattr(chat, "left", False) else None
