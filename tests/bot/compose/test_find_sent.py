"""A post that may have arrived is found in the chat by what it is, and nothing else is taken for it."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from bot.compose.content import render
from bot.compose.find_sent import Wanted, find_delivered
from bot.compose.media import MediaShelf
from bot.compose.post import Destination, Sent
from bot.compose.source import find_source
from core.models import Media, PostType
from sandbox.server import Sandbox
from tests.bot.compose.examples import MADE_HERE
from tests.bot.compose.support import a_message, deliver, post, topic_named

POSTS = {
    **{str(kind): made for kind, made in MADE_HERE.items()},
    "picture without words": post(PostType.PHOTO, media=(Media(file="dog.png"),)),
    "picture as a document": post(PostType.DOCUMENT, text="see it", media=(Media(file="cat.png"),)),
}


def since(seconds: float = 60) -> datetime:
    return datetime.now(UTC) - timedelta(seconds=seconds)


async def my_id(client: Any) -> int:
    return int((await client.get_me()).id)


@pytest.mark.parametrize("name", POSTS)
async def test_each_kind_of_post_is_found_among_all_the_others_by_both_accounts(
    sandbox: Sandbox, ann: Any, bob: Any, folder: Path, name: str
) -> None:
    peer = await ann.get_input_entity("plaza")
    shelf = MediaShelf(folder)
    sent: dict[str, Sent] = {}
    for number, (one, made) in enumerate(POSTS.items()):

        def key(part: int, number: int = number) -> int:
            return 100 * (number + 1) + part

        sent[one] = await deliver(ann, Destination(peer), made, key, shelf=shelf)
    made = POSTS[name]
    wanted = Wanted(made, await my_id(ann), since(), render(made, None))
    for client in (ann, bob):
        to = Destination(await client.get_input_entity("plaza"))
        assert await find_delivered(client, to, wanted) == sent[name]


async def test_what_never_arrived_is_not_found(sandbox: Sandbox, ann: Any, bob: Any) -> None:
    made = POSTS["text"]
    await bob.send_message("plaza", made.content.text)  # the same words of somebody else
    await ann.send_message("plaza", "other words")
    to = Destination(await ann.get_input_entity("plaza"))
    assert await find_delivered(ann, to, Wanted(made, await my_id(ann), since(), render(made, None))) is None


async def test_the_post_of_an_earlier_cycle_is_not_taken_for_this_one(sandbox: Sandbox, ann: Any) -> None:
    made = POSTS["text"]
    to = Destination(await ann.get_input_entity("plaza"))
    first = await deliver(ann, to, made, lambda _: 1)
    me, text = await my_id(ann), render(made, None)
    assert await find_delivered(ann, to, Wanted(made, me, since(-120), text)) is None
    known = frozenset(first.message_ids)
    assert await find_delivered(ann, to, Wanted(made, me, since(), text, taken=known)) is None
    second = await deliver(ann, to, made, lambda _: 2)
    assert await find_delivered(ann, to, Wanted(made, me, since(), text, taken=known)) == second


async def test_a_post_in_another_topic_is_not_taken_for_this_one(sandbox: Sandbox, ann: Any) -> None:
    made = POSTS["text"]
    peer = await ann.get_input_entity("forum")
    chess, news = await topic_named(ann, peer, "Chess"), await topic_named(ann, peer, "News")
    to, text, me = Destination(peer, chess), render(made, None), await my_id(ann)
    sent = await deliver(ann, to, made, lambda _: 1)
    assert await find_delivered(ann, to, Wanted(made, me, since(), text, topic=chess)) == sent
    assert await find_delivered(ann, to, Wanted(made, me, since(), text, topic=news)) is None
    assert await find_delivered(ann, to, Wanted(made, me, since(), text)) is None


@pytest.mark.parametrize(("kind", "other"), [(PostType.FORWARD, PostType.COPY), (PostType.COPY, PostType.FORWARD)])
async def test_forwards_and_copies_are_found_by_their_original(
    sandbox: Sandbox, ann: Any, kind: PostType, other: PostType
) -> None:
    source = await find_source(ann, *await a_message(ann, "annex", "the original"))
    made, not_made = post(kind, message="@annex/1"), post(other, message="@annex/1")
    to, me = Destination(await ann.get_input_entity("plaza")), await my_id(ann)
    sent = await deliver(ann, to, made, lambda _: 1, source=source)
    assert await find_delivered(ann, to, Wanted(made, me, since(), source=source.messages)) == sent
    assert await find_delivered(ann, to, Wanted(not_made, me, since(), source=source.messages)) is None


async def test_a_post_is_found_behind_pages_of_talk(sandbox: Sandbox, ann: Any, bob: Any) -> None:
    made = POSTS["text"]
    to, text, me = Destination(await ann.get_input_entity("plaza")), render(POSTS["text"], None), await my_id(ann)
    sent = await deliver(ann, to, made, lambda _: 1)
    for number in range(120):
        await bob.send_message("plaza", f"talk {number}")
    assert await find_delivered(ann, to, Wanted(made, me, since(), text)) == sent


async def test_the_search_ends_at_the_time_the_post_was_first_sent(sandbox: Sandbox, ann: Any, bob: Any) -> None:
    for number in range(120):
        await bob.send_message("plaza", f"talk {number}")
    made, before = POSTS["text"], sandbox.report()["rpc"].get("messages.getHistory", {}).get("ann", 0)
    to = Destination(await ann.get_input_entity("plaza"))
    await find_delivered(ann, to, Wanted(made, await my_id(ann), since(-3600), render(made, None)))
    assert sandbox.report()["rpc"]["messages.getHistory"]["ann"] - before == 1
