"""A message that exists already, forwarded with its author's name or copied without it."""

from typing import Any

from telethon.tl import functions

from bot.chats.targets import parse_message_link
from bot.compose.files import File
from bot.compose.kinds.base import NO_TEXT, Kind
from bot.compose.post import Destination, Part, Ready, RenderContext
from core.errors import InvalidInput
from core.models import PostContent

SAVED = "saved"
"""In `PostContent.message`: the newest message in the account's own Saved Messages."""


def is_saved(message: str) -> bool:
    """Return whether `PostContent.message` names the newest of the Saved Messages."""
    return message.strip().lower() == SAVED


class MessageKind(Kind):
    """A forward or a copy."""

    text = NO_TEXT
    own_fields = frozenset({"message"})

    def __init__(self, *, with_author: bool) -> None:
        self._with_author = with_author

    def check(self, content: PostContent, field: str) -> None:
        if not content.message:
            raise InvalidInput(f"{field}.message", f'name the message by its link, or write "{SAVED}"')
        if not is_saved(content.message):
            parse_message_link(content.message, f"{field}.message")

    def files(self, content: PostContent) -> tuple[File, ...]:
        return ()

    def filled_in(self, content: PostContent, context: RenderContext, field: str) -> PostContent:
        return content

    def request(self, to: Destination, ready: Ready) -> Any:
        if ready.source is None:
            raise ValueError("a forward or a copy needs the message it is made from")
        return functions.messages.ForwardMessagesRequest(
            ready.source.peer,
            list(ready.source.message_ids),
            to.peer,
            random_id=list(ready.random_ids),
            drop_author=not self._with_author or None,
            top_msg_id=to.topic,
            silent=ready.content.silent or None,
        )

    def matches(self, message: Any, part: Part) -> bool:
        return part.original is not None and bool(
            message.message == part.original.message
            and type(message.media) is type(part.original.media)
            and (message.fwd_from is not None) == self._with_author
        )

    def rights(self, content: PostContent) -> None:
        return None

    def refused_in_channels(self, content: PostContent) -> None:
        return None

    def summary(self, content: PostContent) -> str:
        message = content.message or "no message"
        what = "your newest saved message" if is_saved(message) else message
        return f"a forward of {what}" if self._with_author else f"a copy of {what}"
