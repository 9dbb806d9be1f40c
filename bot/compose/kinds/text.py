"""A text alone."""

from typing import Any

from telethon.tl import functions

from bot.compose.files import File, shown_as
from bot.compose.kinds.base import MESSAGE, Kind, Right, send_options, words
from bot.compose.post import Destination, Part, Ready, RenderContext
from core.models import PostContent


class TextKind(Kind):
    """A message of words."""

    text = MESSAGE
    own_fields: frozenset[str] = frozenset()

    def check(self, content: PostContent, field: str) -> None:
        """Accept everything: there is only the text."""

    def files(self, content: PostContent) -> tuple[File, ...]:
        return ()

    def filled_in(self, content: PostContent, context: RenderContext, field: str) -> PostContent:
        return content

    def request(self, to: Destination, ready: Ready) -> Any:
        (random_id,) = ready.random_ids
        return functions.messages.SendMessageRequest(
            to.peer,
            random_id=random_id,
            no_webpage=not ready.content.link_preview or None,
            **words(ready),
            **send_options(to, ready.content),
        )

    def matches(self, message: Any, part: Part) -> bool:
        return bool(message.message == part.said) and shown_as(message) is None

    def rights(self, content: PostContent) -> tuple[Right, ...]:
        return (Right.TEXT,)

    def refused_in_channels(self, content: PostContent) -> None:
        return None

    def summary(self, content: PostContent) -> str:
        return "a text"
