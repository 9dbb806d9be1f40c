"""One delivery's request, and what Telegram's answer says about it."""

from typing import Any

from telethon import utils
from telethon.tl.functions.messages import GetHistoryRequest, SendMessageRequest
from telethon.tl.types import InputReplyToMessage, UpdateMessageID, UpdateShortSentMessage

from sessions.client import PostingClient

_LOOK_BACK = 30


def text_request(peer: Any, topic: int | None, text: str, random_id: int) -> Any:
    """The request that posts a text."""
    reply_to = InputReplyToMessage(reply_to_msg_id=topic, top_msg_id=topic) if topic is not None else None
    return SendMessageRequest(peer=peer, message=text, random_id=random_id, reply_to=reply_to)


def sent_message_id(answer: Any, random_id: int) -> int | None:
    """The id Telegram gave the message."""
    if isinstance(answer, UpdateShortSentMessage):
        return int(answer.id)
    for update in getattr(answer, "updates", ()):
        if isinstance(update, UpdateMessageID) and update.random_id == random_id:
            return int(update.id)
    return None


async def find_posted(client: PostingClient, peer: Any, sender_id: int, text: str, within: float) -> int | None:
    """The id of that account's newest message with this text among the chat's last ones, None when it is not there."""
    history = await client.call(
        GetHistoryRequest(
            peer=peer, offset_id=0, offset_date=None, add_offset=0, limit=_LOOK_BACK, max_id=0, min_id=0, hash=0
        ),
        within,
    )
    for message in history.messages:
        sender = getattr(message, "from_id", None)
        if sender is None or getattr(message, "message", None) != text:
            continue
        if utils.get_peer_id(sender) == sender_id:
            return int(message.id)
    return None
