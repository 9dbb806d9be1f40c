"""A post, where it goes and what came of it: the values that every module of this folder shares."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any

from bot.compose.html import draft_from_html
from bot.compose.markdown import draft_from_markdown
from bot.compose.text import Formatted, TextDraft, checked_input, fill_in, finish, has_placeholders
from core.models import PostContent, PostType, TextFormat


@dataclass(frozen=True)
class RenderContext:
    """What the placeholders of a text stand for this time."""

    group: str
    """The group's title, or its name where the title is not known."""
    moment: datetime
    """When the cycle began, in the user's own time zone."""
    number: int
    """Which post of this bot it is, from 1."""

    def values(self) -> dict[str, str]:
        """Placeholder → text."""
        return {
            "group": self.group,
            "date": f"{self.moment:%Y-%m-%d}",
            "time": f"{self.moment:%H:%M}",
            "n": str(self.number),
        }


@dataclass(frozen=True)
class Post:
    """One post. Its markup is parsed once, however many groups get it."""

    type: PostType
    content: PostContent
    field: str = field(default="post_content", compare=False)
    """Where it stands in the config (`post_content.posts[2]`): errors name it."""

    @cached_property
    def _draft(self) -> TextDraft:
        text, name = checked_input(self.content.text, f"{self.field}.text"), f"{self.field}.text"
        match self.content.format:
            case TextFormat.HTML:
                return draft_from_html(text, name)
            case TextFormat.MARKDOWN:
                return draft_from_markdown(text, name)
            case TextFormat.PLAIN:
                return TextDraft(text)

    @cached_property
    def _as_written(self) -> Formatted:
        return finish(self._draft)

    def text(self, context: RenderContext | None) -> Formatted:
        """Return the text or caption with its placeholders filled in; without a context they stay as written.

        Raises:
            InvalidInput: the markup is broken.
        """
        if context is None or not has_placeholders(self._draft):
            return self._as_written
        return finish(fill_in(self._draft, context.values()))


@dataclass(frozen=True)
class Destination:
    """Where a post goes, as the sending account addresses it."""

    peer: Any
    """Telethon's InputPeer."""
    topic: int | None = None
    """A forum topic's id; None: the chat itself (in a forum: General)."""


@dataclass(frozen=True)
class Source:
    """The message to forward or copy, as the sending account addresses it; an album is several."""

    peer: Any
    message_ids: tuple[int, ...]
    messages: tuple[Any, ...] = field(default=(), compare=False, repr=False)
    """The originals, as they were when they were looked up."""


@dataclass(frozen=True)
class Sent:
    """What Telegram confirmed."""

    message_ids: tuple[int, ...]
    """Of the new messages, in the order of their parts; fewer, even none, where Telegram did not name them."""


@dataclass(frozen=True)
class Ready:
    """All that the request for one post is made from."""

    content: PostContent
    text: Formatted
    random_ids: Sequence[int]
    """One for each of its messages."""
    media: Sequence[Any] = ()
    """Telethon's InputMedia of its files."""
    source: Source | None = None


@dataclass(frozen=True)
class Part:
    """One of the messages a post consists of, as it was sent."""

    content: PostContent
    index: int
    """From 0."""
    said: str
    """Its text or caption."""
    original: Any | None = None
    """Telethon's message that it was forwarded or copied from."""
