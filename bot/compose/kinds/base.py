"""What every kind of post has to say of itself. `bot.compose.kinds.register` lists the kinds."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from enum import Enum
from typing import Any

from telethon.tl import functions
from telethon.tl import types as tl

from bot.compose.files import File
from bot.compose.post import Destination, Part, Ready, RenderContext
from bot.compose.text import MAX_CAPTION_UNITS, MAX_CAPTION_UNITS_PREMIUM, MAX_TEXT_UNITS
from core.models import MediaKind, PostContent


@dataclass(frozen=True)
class TextRule:
    """How long a post's text may be, in UTF-16 units."""

    most: int
    most_premium: int
    is_required: bool = False
    is_taken: bool = True
    """Whether the post has a text at all."""


MESSAGE = TextRule(MAX_TEXT_UNITS, MAX_TEXT_UNITS, is_required=True)
CAPTION = TextRule(MAX_CAPTION_UNITS, MAX_CAPTION_UNITS_PREMIUM)
NO_TEXT = TextRule(MAX_TEXT_UNITS, MAX_TEXT_UNITS, is_taken=False)


class Right(Enum):
    """What a group can forbid its members: Telegram's name of the right, and its refusal where the right is missing."""

    TEXT = ("send_plain", "CHAT_SEND_PLAIN_FORBIDDEN")
    PHOTO = ("send_photos", "CHAT_SEND_PHOTOS_FORBIDDEN")
    VIDEO = ("send_videos", "CHAT_SEND_VIDEOS_FORBIDDEN")
    AUDIO = ("send_audios", "CHAT_SEND_AUDIOS_FORBIDDEN")
    VOICE = ("send_voices", "CHAT_SEND_VOICES_FORBIDDEN")
    DOCUMENT = ("send_docs", "CHAT_SEND_DOCS_FORBIDDEN")
    STICKER = ("send_stickers", "CHAT_SEND_STICKERS_FORBIDDEN")
    POLL = ("send_polls", "CHAT_SEND_POLL_FORBIDDEN")
    ANY_MEDIA = ("send_media", "CHAT_SEND_MEDIA_FORBIDDEN")

    def __init__(self, right: str, code: str) -> None:
        self.right = right
        self.code = code


_RIGHT_OF = {kind: Right[kind.name] for kind in MediaKind}


class Kind(ABC):
    """One kind of post: everything that tells it from the others.

    Each member gets the `PostContent` of a post of this kind; a kind keeps nothing of a post. `files`, `rights`,
    `refused_in_channels` and `summary` take a content that `check` would refuse, too: a preview shows what is wrong.
    """

    @property
    @abstractmethod
    def text(self) -> TextRule:
        """Whether the post has a text or caption, and how long it may be."""

    @property
    @abstractmethod
    def own_fields(self) -> frozenset[str]:
        """The fields of `PostContent`, besides the text, that only some kinds take and this one does."""

    @abstractmethod
    def check(self, content: PostContent, field: str) -> None:
        """Refuse what Telegram would refuse, the text excepted. `field` is where the content stands in the config.

        Raises:
            InvalidInput: naming the field and how to mend it.
        """

    @abstractmethod
    def files(self, content: PostContent) -> tuple[File, ...]:
        """Return the files to upload, in the order of the post's messages."""

    @abstractmethod
    def filled_in(self, content: PostContent, context: RenderContext, field: str) -> PostContent:
        """Return the content with the placeholders in its own words, the text excepted, filled in.

        Raises:
            InvalidInput: Telegram would refuse it once it is filled in.
        """

    @abstractmethod
    def request(self, to: Destination, ready: Ready) -> Any:
        """Return Telethon's request that sends the post.

        Raises:
            ValueError: `ready` lacks what the post is made from.
        """

    @abstractmethod
    def matches(self, message: Any, part: Part) -> bool:
        """Return whether Telethon's message, as it stands in a chat, can be this part of the post."""

    @abstractmethod
    def rights(self, content: PostContent) -> tuple[Right, ...] | None:
        """Return the rights an account needs besides writing at all; None if what is in the post is unknown."""

    @abstractmethod
    def refused_in_channels(self, content: PostContent) -> str | None:
        """Return the code with which channels refuse the post, whoever sends it; None if they take it."""

    @abstractmethod
    def summary(self, content: PostContent) -> str:
        """Return what a preview says of the post besides its text, in one line."""


def rights_of_files(files: tuple[File, ...]) -> tuple[Right, ...]:
    """Return the rights an account needs to send these files."""
    return (*(_RIGHT_OF[file.kind] for file in files), Right.ANY_MEDIA)


def send_options(to: Destination, content: PostContent) -> dict[str, Any]:
    """Return the arguments of a request that say where the post goes and how quietly."""
    reply_to = None if to.topic is None else tl.InputReplyToMessage(to.topic, top_msg_id=to.topic)
    return {"silent": content.silent or None, "reply_to": reply_to}


def words(ready: Ready) -> dict[str, Any]:
    """Return the arguments of a request that hold the text or caption."""
    return {"message": ready.text.text, "entities": list(ready.text.entities) or None}


def send_media(to: Destination, ready: Ready, media: Any) -> Any:
    """Return the request for a post that is one message with one of Telethon's InputMedia."""
    (random_id,) = ready.random_ids
    return functions.messages.SendMediaRequest(
        to.peer, media, random_id=random_id, **words(ready), **send_options(to, ready.content)
    )
