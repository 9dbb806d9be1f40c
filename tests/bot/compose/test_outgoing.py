"""From a post as it was written to its messages in a chat, for every type, as a worker does it."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from telethon import errors
from telethon.tl import types as tl

from bot.compose.content import DoesNotFitHere
from bot.compose.media import MediaShelf
from bot.compose.outgoing import Outgoing, prepare
from bot.compose.post import Destination, Post, RenderContext
from bot.compose.source import SourceUnavailable
from bot.reactions.classify import Action, reaction_to
from core.errors import InvalidInput
from core.models import Media, Poll, PostContent, PostType, TextFormat
from sandbox.server import Sandbox
from tests.bot.compose.examples import POSTS as EXAMPLES
from tests.bot.compose.support import delivery_key, post, standing

CONTEXT = RenderContext("Plaza & <co>", datetime(2026, 3, 2, 9, 5, tzinfo=UTC), 7)
POSTS = [
    post(PostType.TEXT, text="<b>{group}</b> #{n}", format=TextFormat.HTML),
    post(PostType.PHOTO, text="{date}", media=(Media(file="cat.png"),)),
    post(PostType.VIDEO, media=(Media(file="film.mp4"),)),
    post(PostType.DOCUMENT, media=(Media(file="paper.pdf"),)),
    post(PostType.VOICE, media=(Media(file="talk.ogg"),)),
    post(PostType.ALBUM, text="{time}", media=(Media(file="cat.png"), Media(file="dog.png"))),
    post(PostType.POLL, poll=Poll(question="Chess on {date}?", answers=("yes", "no"))),
    post(PostType.FORWARD, message="https://t.me/annex/1"),
    post(PostType.COPY, message="@annex/1"),
    post(PostType.COPY, message="saved"),
]


async def prepared(client: Any, made: Post, folder: Path) -> Outgoing:
    return await prepare(
        made, CONTEXT, client=client, call=client, shelf=MediaShelf(folder), peer_of=client.get_input_entity
    )


@pytest.mark.parametrize(
    "made", [*POSTS, *EXAMPLES.values()], ids=lambda made: f"{made.type}-{made.content.message or ''}"
)
async def test_each_type_is_prepared_sent_repeated_and_found(
    sandbox: Sandbox, ann: Any, folder: Path, made: Post
) -> None:
    await ann.send_message("annex", "original")
    await ann.send_message("me", "saved words")
    to = Destination(await ann.get_input_entity("plaza"))
    outgoing = await prepared(ann, made, folder)
    assert standing(sandbox) == []
    sent = await outgoing.send(ann, to, delivery_key)
    again = await (await prepared(ann, made, folder)).send(ann, to, delivery_key)
    assert sent == again
    assert len(sent.message_ids) == outgoing.parts
    assert [entry["random_id"] for entry in standing(sandbox)] == [delivery_key(part) for part in range(outgoing.parts)]
    me = (await ann.get_me()).id
    since = datetime.now(UTC) - timedelta(seconds=60)
    assert await outgoing.find(ann, to, sender_id=me, since=since) == sent
    assert await outgoing.find(ann, to, sender_id=me, since=since, taken=frozenset(sent.message_ids)) is None


async def test_placeholders_are_filled_in(sandbox: Sandbox, ann: Any, bob: Any, folder: Path) -> None:
    to = Destination(await ann.get_input_entity("plaza"))
    for number in (0, 5, 6):

        def key(part: int, number: int = number) -> int:
            return 10 * number + part + 1

        await (await prepared(ann, POSTS[number], folder)).send(ann, to, key)
    seen = await bob.get_messages("plaza", limit=None, reverse=True)
    assert [message.raw_text for message in seen] == ["Plaza & <co> #7", "09:05", "", ""]
    assert seen[0].entities == [tl.MessageEntityBold(0, 12)]
    assert seen[3].poll.poll.question.text == "Chess on 2026-03-02?"


async def test_a_text_that_only_here_is_too_long_is_told_apart_from_one_that_is_always(ann: Any, folder: Path) -> None:
    with pytest.raises(DoesNotFitHere):
        await prepared(ann, post(PostType.TEXT, text="{group}" * 400), folder)
    with pytest.raises(DoesNotFitHere, match="poll"):
        await prepared(ann, post(PostType.POLL, poll=Poll(question="{group}" * 30, answers=("a", "b"))), folder)
    with pytest.raises(InvalidInput) as refused:
        await prepared(ann, Post(PostType.TEXT, PostContent(text="x" * 5000)), folder)
    assert not isinstance(refused.value, DoesNotFitHere)
    assert reaction_to(refused.value).action is Action.GIVE_UP


async def test_an_account_that_cannot_see_the_source_is_told_apart(sandbox: Sandbox, bob: Any, folder: Path) -> None:
    sandbox.add_fault({"error": "CHANNEL_PRIVATE", "account": "bob", "method": "channels.getMessages"})
    with pytest.raises(SourceUnavailable):
        await prepared(bob, POSTS[7], folder)


async def test_a_repeat_that_is_answered_with_an_error_is_found_in_the_chat(
    sandbox: Sandbox, ann: Any, folder: Path
) -> None:
    to = Destination(await ann.get_input_entity("plaza"))
    outgoing = await prepared(ann, POSTS[5], folder)
    sent = await outgoing.send(ann, to, delivery_key)
    sandbox.add_fault({"error": "RANDOM_ID_DUPLICATE", "method": "messages.sendMultiMedia"})
    quick = ann._sender.send  # below the client's own repeats
    with pytest.raises(errors.RandomIdDuplicateError) as duplicate:
        await outgoing.send(quick, to, delivery_key)
    assert reaction_to(duplicate.value).action is Action.ALREADY_THERE
    since = datetime.now(UTC) - timedelta(seconds=60)
    assert await outgoing.find(ann, to, sender_id=(await ann.get_me()).id, since=since) == sent


@pytest.mark.parametrize(("link", "parts"), [("https://t.me/annex/{}", 2), ("https://t.me/annex/{}?single", 1)])
async def test_a_link_to_one_picture_of_an_album_brings_it_alone_when_it_says_so(
    sandbox: Sandbox, ann: Any, folder: Path, link: str, parts: int
) -> None:
    album = post(PostType.ALBUM, media=(Media(file="cat.png"), Media(file="dog.png")))
    made = await (await prepared(ann, album, folder)).send(
        ann, Destination(await ann.get_input_entity("annex")), delivery_key
    )
    second = made.message_ids[1]
    outgoing = await prepared(ann, post(PostType.FORWARD, message=link.format(second)), folder)
    assert outgoing.source is not None
    assert outgoing.parts == parts
    assert second in outgoing.source.message_ids
