"""May an account post this in that chat? Read from what Telegram says about the chat, without sending anything.

Telegram tells each account its own rights in every chat it lists (core.telegram.org/api/rights). The codes are those
Telegram would refuse with, so that a foreseen refusal and a real one read the same.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from msgspec.structs import replace
from telethon.tl import types as tl

from bot.compose.content import Post, kind_of
from bot.compose.text import Formatted
from bot.reactions.table import BY_CODE
from core.models import MediaKind, PostType, User

_RIGHT_OF_KIND = {
    MediaKind.PHOTO: ("send_photos", "CHAT_SEND_PHOTOS_FORBIDDEN"),
    MediaKind.VIDEO: ("send_videos", "CHAT_SEND_VIDEOS_FORBIDDEN"),
    MediaKind.AUDIO: ("send_audios", "CHAT_SEND_AUDIOS_FORBIDDEN"),
    MediaKind.VOICE: ("send_voices", "CHAT_SEND_VOICES_FORBIDDEN"),
    MediaKind.DOCUMENT: ("send_docs", "CHAT_SEND_DOCS_FORBIDDEN"),
}
_TEXT = ("send_plain", "CHAT_SEND_PLAIN_FORBIDDEN")
_POLL = ("send_polls", "CHAT_SEND_POLL_FORBIDDEN")
_ANY_MEDIA = ("send_media", "CHAT_SEND_MEDIA_FORBIDDEN")
_PUBLIC_VOTES = "BROADCAST_PUBLIC_VOTERS_FORBIDDEN"
_ABOUT_ONE_KIND = frozenset(
    {code for _, code in (*_RIGHT_OF_KIND.values(), _TEXT, _POLL, _ANY_MEDIA)} | {_PUBLIC_VOTES}
)


@dataclass(frozen=True)
class Obstacle:
    """Why an account cannot post something in a chat."""

    code: str
    """What Telegram would refuse with."""
    reason: str
    """For the bot's owner."""
    personal: bool = False
    """The group's people took it from this very account: posting through another one would get round that."""


def obstacle(chat: Any, post: Post) -> Obstacle | None:
    """What keeps the account that was given `chat` (Telethon's Channel or Chat) from posting; None: nothing known.

    Of a forward or a copy only the right to write at all is looked at: what is in it is not known here. Slow mode is
    no obstacle but a wait, see `bot.pacing.decide`; whether a topic is closed only sending tells.
    """
    code = not_there(chat) or _not_allowed(chat, post)
    return None if code is None else Obstacle(code, BY_CODE[code][1], personal=_is_personal(chat, code, post))


def concerns(code: str, post: Post) -> bool:
    """Whether this refusal of a group says anything about this post: one of photos says nothing about texts.

    What is in a forward or a copy is not known here, so every refusal concerns it.
    """
    if code not in _ABOUT_ONE_KIND or post.type in {PostType.FORWARD, PostType.COPY}:
        return True
    return code in {needed for _, needed in _needed(post)} or (post.type is PostType.POLL and code == _PUBLIC_VOTES)


def holds_about(user: User, post: Post) -> User:
    """The user with those holds alone that keep this post from a group."""
    holds = {
        group: {session: hold for session, hold in held.items() if concerns(hold.code, post)}
        for group, held in user.group_holds.items()
    }
    return replace(user, group_holds=holds)


def rights_needed(post: Post) -> tuple[str, ...]:
    """What an account has to be allowed to send, by Telegram's names of the rights."""
    return tuple(dict.fromkeys(("send_messages", *(right for right, _ in _needed(post)))))


def is_exempt(chat: Any) -> bool:
    """Administrators post whenever they like: neither slow mode nor the group's restrictions bind them."""
    return bool(getattr(chat, "creator", False) or getattr(chat, "admin_rights", None))


def may_pin(chat: Any) -> bool:
    """Whether the account may pin its post."""
    if getattr(chat, "creator", False):
        return True
    given = getattr(chat, "admin_rights", None)
    if given is not None:
        return bool(given.edit_messages if getattr(chat, "broadcast", False) else given.pin_messages)
    return not getattr(chat, "broadcast", False) and not _is_taken(chat, "pin_messages")


def uses_custom_emoji(text: Formatted) -> bool:
    """Telegram shows custom emoji only from Premium accounts; others' arrive as the plain ones they stand for."""
    return any(isinstance(entity, tl.MessageEntityCustomEmoji) for entity in text.entities)


def not_there(chat: Any) -> str | None:
    """What keeps the account that was given `chat` out of it; None: it is in it."""
    if isinstance(chat, tl.ChannelForbidden):
        return "CHANNEL_PRIVATE"
    if isinstance(chat, tl.ChatForbidden):
        return "CHAT_FORBIDDEN"
    if isinstance(chat, tl.ChatEmpty) or getattr(chat, "deactivated", False) or getattr(chat, "migrated_to", None):
        return "CHAT_ID_INVALID"
    return "USER_NOT_PARTICIPANT" if getattr(chat, "left", False) else None


def _not_allowed(chat: Any, post: Post) -> str | None:
    if getattr(chat, "broadcast", False):
        return _not_in_a_channel(chat, post)
    if is_exempt(chat):
        return None
    if _has(getattr(chat, "banned_rights", None), "send_messages"):
        return "USER_BANNED_IN_CHANNEL"
    if _has(getattr(chat, "default_banned_rights", None), "send_messages"):
        return "CHAT_WRITE_FORBIDDEN"
    return next((code for right, code in _needed(post) if _is_taken(chat, right)), None)


def _not_in_a_channel(chat: Any, post: Post) -> str | None:
    if not getattr(chat, "creator", False) and not _has(getattr(chat, "admin_rights", None), "post_messages"):
        return "CHAT_ADMIN_REQUIRED"
    if post.content.poll is not None and not post.content.poll.anonymous:
        return _PUBLIC_VOTES
    return None


def _needed(post: Post) -> Iterable[tuple[str, str]]:
    """The rights a post needs, and the code of the refusal where one is missing."""
    if post.type is PostType.TEXT:
        yield _TEXT
    elif post.type is PostType.POLL:
        yield _POLL
    for media in post.content.media:
        yield _RIGHT_OF_KIND[kind_of(post.type, media)]
    if post.content.media:
        yield _ANY_MEDIA


def _is_personal(chat: Any, code: str, post: Post) -> bool:
    own = getattr(chat, "banned_rights", None)
    taken = [right for right, needed in _needed(post) if needed == code]
    return code == "USER_BANNED_IN_CHANNEL" or any(_has(own, right) for right in taken)


def _is_taken(chat: Any, right: str) -> bool:
    return any(_has(getattr(chat, whose, None), right) for whose in ("banned_rights", "default_banned_rights"))


def _has(rights: Any, right: str) -> bool:
    return bool(getattr(rights, right, False))
