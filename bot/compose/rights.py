"""Whether an account may post something in a chat, read from what Telegram says about the chat. Nothing is sent.

Telegram tells each account its own rights in every chat it lists (core.telegram.org/api/rights). The codes are those
Telegram would refuse with, so that a foreseen refusal and a real one read the same.
"""

from dataclasses import dataclass
from typing import Any

from bot.chats.membership import is_exempt, not_there
from bot.compose.kinds.base import Right
from bot.compose.kinds.poll import PUBLIC_VOTES
from bot.compose.kinds.register import KINDS
from bot.compose.post import Post
from bot.reactions.table import BY_CODE

_ABOUT_ONE_KIND = frozenset({*(right.code for right in Right), PUBLIC_VOTES})


@dataclass(frozen=True)
class Obstacle:
    """Why an account cannot post something in a chat."""

    code: str
    """What Telegram would refuse with."""
    reason: str
    """For the bot's owner."""
    personal: bool = False
    """The group's people took the right from this very account: posting through another one would get round that."""


def obstacle(chat: Any, post: Post) -> Obstacle | None:
    """Return what keeps the account that was given `chat` (Telethon's Channel or Chat) from posting, if anything.

    The content of a forward or a copy is not known here, so only the right to write at all is looked at. Slow mode is
    no obstacle but a wait, see `bot.pacing.decide`. Only sending tells whether a topic is closed.
    """
    code = not_there(chat) or _not_allowed(chat, post)
    return None if code is None else Obstacle(code, BY_CODE[code][1], personal=_is_personal(chat, code, post))


def concerns(code: str, post: Post) -> bool:
    """Return whether a group's refusal says anything about this post: a refusal of photos says nothing about texts.

    The content of a forward or a copy is not known here, so every refusal concerns it.
    """
    kind = KINDS[post.type]
    rights = kind.rights(post.content)
    if code not in _ABOUT_ONE_KIND or rights is None:
        return True
    return code in {*(right.code for right in rights), kind.refused_in_channels(post.content)}


def rights_needed(post: Post) -> tuple[str, ...]:
    """Return the rights an account needs to send this post, by Telegram's names."""
    return tuple(dict.fromkeys(("send_messages", *(right.right for right in _rights(post)))))


def _rights(post: Post) -> tuple[Right, ...]:
    return KINDS[post.type].rights(post.content) or ()


def _not_allowed(chat: Any, post: Post) -> str | None:
    if getattr(chat, "broadcast", False):
        return _not_in_a_channel(chat, post)
    if is_exempt(chat):
        return None
    if _has(getattr(chat, "banned_rights", None), "send_messages"):
        return "USER_BANNED_IN_CHANNEL"
    if _has(getattr(chat, "default_banned_rights", None), "send_messages"):
        return "CHAT_WRITE_FORBIDDEN"
    return next((right.code for right in _rights(post) if _is_taken(chat, right.right)), None)


def _not_in_a_channel(chat: Any, post: Post) -> str | None:
    if not getattr(chat, "creator", False) and not _has(getattr(chat, "admin_rights", None), "post_messages"):
        return "CHAT_ADMIN_REQUIRED"
    return KINDS[post.type].refused_in_channels(post.content)


def _is_personal(chat: Any, code: str, post: Post) -> bool:
    own = getattr(chat, "banned_rights", None)
    taken = [right.right for right in _rights(post) if right.code == code]
    return code == "USER_BANNED_IN_CHANNEL" or any(_has(own, right) for right in taken)


def _is_taken(chat: Any, right: str) -> bool:
    return any(_has(getattr(chat, whose, None), right) for whose in ("banned_rights", "default_banned_rights"))


def _has(rights: Any, right: str) -> bool:
    return bool(getattr(rights, right, False))
