"""What the tests of sending share."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from telethon.tl import functions

from bot.compose.content import check_content, render
from bot.compose.media import MediaShelf
from bot.compose.post import Destination, Post, Sent, Source
from bot.compose.random_id import random_id_of
from bot.compose.requests import send_post
from core.models import Delivery, PostContent, PostType
from sandbox.server import Sandbox


def post(kind: PostType, **fields: Any) -> Post:
    made = Post(kind, PostContent(**fields))
    check_content(made.type, made.content)
    return made


def standing(sandbox: Sandbox, chat: str = "plaza") -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = sandbox.report()["chats"][chat]["messages"]
    return messages


def delivery_key(part: int) -> int:
    planned = Delivery(
        user="alice", cycle=1772442000000, group="@plaza", session="ann", random_id=77, planned_at=datetime.now(UTC)
    )
    return random_id_of(planned, part)


async def a_message(client: Any, chat: str, text: str = "original") -> tuple[Any, int]:
    """Somebody's message: the peer and the id to forward it by."""
    sent = await client.send_message(chat, text)
    return await client.get_input_entity(chat), sent.id


async def topic_named(client: Any, peer: Any, title: str) -> int:
    found = await client(
        functions.messages.GetForumTopicsRequest(peer, offset_date=None, offset_id=0, offset_topic=0, limit=100)
    )
    return next(int(topic.id) for topic in found.topics if topic.title == title)


async def deliver(
    client: Any,
    to: Destination,
    made: Post,
    key: Callable[[int], int],
    *,
    shelf: MediaShelf | None = None,
    source: Source | None = None,
) -> Sent:
    """Prepare and send a post, as a worker does."""
    media = await shelf.ready(client, client, made) if shelf is not None else []
    return await send_post(client, to, made, key, text=render(made, None), media=media, source=source)
