"""Each type of post lands in the sandbox's chats as it was written: entity by entity and byte by byte."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from telethon import TelegramClient, errors
from telethon.tl import types as tl

from bot.compose.content import render
from bot.compose.media import MediaShelf, check_files
from bot.compose.post import Destination, Sent, Source
from bot.compose.requests import pin
from bot.compose.source import SourceUnavailable, find_source
from bot.reactions.classify import Action, reaction_to
from core.errors import InvalidInput
from core.models import Media, Poll, PostType, TextFormat
from sandbox.server import Sandbox
from tests.bot.compose.support import a_message, deliver, delivery_key, post, standing, topic_named
from tests.support.pictures import png


async def test_a_formatted_text_stands_in_the_chat_entity_by_entity(sandbox: Sandbox, ann: Any, bob: Any) -> None:
    made = post(
        PostType.TEXT,
        text='😀 <b>bold <i>both</i></b> <a href="https://x.y/">link</a> <tg-spoiler>s</tg-spoiler> '
        '<pre><code class="language-py">x = 1</code></pre><blockquote expandable>q</blockquote>'
        '<tg-emoji emoji-id="5368324170671202286">👍</tg-emoji>',
        format=TextFormat.HTML,
    )
    formatted = render(made, None)
    peer = await ann.get_input_entity("plaza")
    sent = await deliver(ann, Destination(peer), made, delivery_key)
    seen = await bob.get_messages("plaza", ids=sent.message_ids[0])
    assert seen.raw_text == formatted.text
    assert seen.entities == list(formatted.entities)


async def test_formatting_stands_on_its_words_where_telegram_drops_signs(sandbox: Sandbox, ann: Any, bob: Any) -> None:
    made = post(
        PostType.TEXT,
        text="\u202e&#9; &#13;&#10;A\u2028\u202d<b>b</b>&#8238;\x07<i>c\u0333</i>\u200e\u200e <u>😀</u>\u2029",
        format=TextFormat.HTML,
    )
    formatted = render(made, None)
    sent = await deliver(ann, Destination(await ann.get_input_entity("plaza")), made, delivery_key)
    seen = await bob.get_messages("plaza", ids=sent.message_ids[0])
    assert (seen.raw_text, seen.entities) == (formatted.text, list(formatted.entities))
    assert [words for _, words in seen.get_entities_text()] == ["b", "c", "😀"]


async def test_a_post_sent_twice_with_its_key_stands_once_and_is_named_both_times(sandbox: Sandbox, ann: Any) -> None:
    to = Destination(await ann.get_input_entity("plaza"))
    made = post(PostType.TEXT, text="once")
    first = await deliver(ann, to, made, delivery_key)
    again = await deliver(ann, to, made, delivery_key)
    assert first == again == Sent((1,))
    assert [(message["text"], message["random_id"]) for message in standing(sandbox)] == [("once", delivery_key(0))]


async def test_what_telegram_refuses_reaches_the_caller_as_it_is(sandbox: Sandbox, ann: Any) -> None:
    sandbox.add_fault({"error": "SLOWMODE_WAIT_30", "method": "messages.sendMessage"})
    made = post(PostType.TEXT, text="hi")
    with pytest.raises(errors.SlowModeWaitError) as refused:
        await deliver(ann, Destination(await ann.get_input_entity("plaza")), made, delivery_key)
    assert refused.value.seconds == 30


async def test_the_message_to_forward_is_found_by_its_number_and_by_being_the_newest(
    sandbox: Sandbox, ann: Any
) -> None:
    for number in range(3):
        await ann.send_message("annex", f"number {number}")
    peer = await ann.get_input_entity("annex")
    assert await find_source(ann, peer, 2) == Source(peer, (2,))
    assert await find_source(ann, peer, None) == Source(peer, (3,))


async def test_a_message_that_is_not_there_cannot_be_forwarded(sandbox: Sandbox, ann: Any) -> None:
    with pytest.raises(InvalidInput, match="there is no such message"):
        await find_source(ann, await ann.get_input_entity("annex"), 5)
    with pytest.raises(SourceUnavailable, match="Saved Messages are empty"):
        await find_source(ann, await ann.get_input_entity("me"), None)


async def test_a_source_one_account_cannot_see_is_not_blamed_on_the_post(sandbox: Sandbox, ann: Any) -> None:
    sandbox.add_fault({"error": "CHANNEL_PRIVATE", "method": "channels.getMessages"})
    with pytest.raises(SourceUnavailable, match="let it join"):
        await find_source(ann, await ann.get_input_entity("annex"), 1)


async def test_a_flood_wait_while_looking_for_the_source_stays_a_flood_wait(sandbox: Sandbox, ann: Any) -> None:
    sandbox.add_fault({"error": "FLOOD_WAIT_9", "method": "channels.getMessages"})
    with pytest.raises(errors.FloodWaitError):
        await find_source(ann, await ann.get_input_entity("annex"), 1)


# --- media


@pytest.mark.parametrize(
    ("kind", "name", "lands_as", "mime_type"),
    [
        (PostType.PHOTO, "cat.png", "photo", "image/jpeg"),
        (PostType.VIDEO, "film.mp4", "video", "video/mp4"),
        (PostType.VOICE, "talk.ogg", "voice", "audio/ogg"),
        (PostType.DOCUMENT, "paper.pdf", "document", "application/pdf"),
        (PostType.DOCUMENT, "cat.png", "document", "image/png"),
        (PostType.DOCUMENT, "plain", "document", "application/octet-stream"),
    ],
)
async def test_a_file_arrives_byte_by_byte_as_what_it_is(
    sandbox: Sandbox, ann: Any, bob: Any, folder: Path, kind: PostType, name: str, lands_as: str, mime_type: str
) -> None:
    made = post(kind, text="<i>see</i>", format=TextFormat.HTML, media=(Media(file=name, duration=3),))
    to = Destination(await ann.get_input_entity("plaza"))
    sent = await deliver(ann, to, made, delivery_key, shelf=MediaShelf(folder))
    (entry,) = standing(sandbox)
    assert (entry["kind"], entry["text"], entry["random_id"]) == (lands_as, "see", delivery_key(0))
    seen = await bob.get_messages("plaza", ids=sent.message_ids[0])
    assert seen.entities == [tl.MessageEntityItalic(0, 3)]
    assert await bob.download_media(seen, bytes) == (folder / name).read_bytes()
    assert seen.file.mime_type == mime_type
    if kind is PostType.DOCUMENT:
        assert seen.file.name == name


@pytest.mark.parametrize(
    ("names", "kinds"),
    [
        (("cat.png", "film.mp4", "dog.png"), ["photo", "video", "photo"]),
        (("paper.pdf", "paper.pdf"), ["document", "document"]),
        (("song.mp3", "song.mp3"), ["audio", "audio"]),
    ],
)
async def test_an_album_lands_as_one_with_its_caption(
    sandbox: Sandbox, ann: Any, folder: Path, names: tuple[str, ...], kinds: list[str]
) -> None:
    made = post(PostType.ALBUM, text="all of it", silent=True, media=tuple(Media(file=name) for name in names))
    to = Destination(await ann.get_input_entity("plaza"))
    shelf = MediaShelf(folder)
    sent = await deliver(ann, to, made, delivery_key, shelf=shelf)
    entries = standing(sandbox)
    assert [entry["kind"] for entry in entries] == kinds
    assert [entry["text"] for entry in entries] == ["all of it", *[""] * (len(names) - 1)]
    assert [entry["random_id"] for entry in entries] == [delivery_key(part) for part in range(len(names))]
    assert len({entry["grouped_id"] for entry in entries}) == 1
    assert all(entry["silent"] for entry in entries)
    assert list(sent.message_ids) == [entry["id"] for entry in entries]
    again = await deliver(ann, to, made, delivery_key, shelf=shelf)
    assert again == sent
    assert len(standing(sandbox)) == len(names)


async def test_a_file_is_uploaded_once_an_account_and_again_when_it_changed(
    sandbox: Sandbox, ann: Any, folder: Path
) -> None:
    shelf = MediaShelf(folder)
    made = post(PostType.PHOTO, media=(Media(file="cat.png"),))
    to = Destination(await ann.get_input_entity("plaza"))

    def uploads() -> int:
        return int(sandbox.report()["rpc"]["upload.saveFilePart"]["ann"])

    await deliver(ann, to, made, lambda _: 1, shelf=shelf)
    await deliver(ann, to, made, lambda _: 2, shelf=shelf)
    assert uploads() == 1
    (folder / "cat.png").write_bytes(png(width=50))
    await deliver(ann, to, made, lambda _: 3, shelf=shelf)
    assert uploads() == 2
    shelf.forget(made)
    await deliver(ann, to, made, lambda _: 4, shelf=shelf)
    assert uploads() == 3


async def test_an_upload_that_hangs_is_given_up_in_bounded_time(sandbox: Sandbox, ann: Any, folder: Path) -> None:
    sandbox.add_fault({"do": "silent", "method": "upload.saveFilePart", "after": 2})
    before = asyncio.all_tasks()
    with pytest.raises(TimeoutError, match=r"no progress for 0\.5 seconds"):
        await MediaShelf(folder, within=0.5).ready(ann, ann, post(PostType.DOCUMENT, media=(Media(file="paper.pdf"),)))
    assert asyncio.all_tasks() == before


async def test_a_cancelled_upload_leaves_nothing_behind(sandbox: Sandbox, ann: Any, folder: Path) -> None:
    sandbox.add_fault({"do": "silent", "method": "upload.saveFilePart"})
    before = asyncio.all_tasks()
    made = post(PostType.DOCUMENT, media=(Media(file="paper.pdf"),))
    uploading = asyncio.ensure_future(MediaShelf(folder).ready(ann, ann, made))
    async with asyncio.timeout(10):
        while not sandbox.report()["rpc"].get("upload.saveFilePart"):
            await asyncio.wait({uploading}, timeout=0.01)
    uploading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await uploading
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == before


async def test_a_connection_that_closes_during_an_upload_is_trouble_of_the_network(
    sandbox: Sandbox, tmp_path: Path, folder: Path
) -> None:
    path = sandbox.write_session("bob", tmp_path / "once")
    client = TelegramClient(str(path), 1, "hash", auto_reconnect=False, request_retries=1, retry_delay=0)
    await client.connect()
    sandbox.add_fault({"do": "drop_before", "method": "upload.saveFilePart", "after": 1})
    try:
        with pytest.raises(OSError) as broken:  # noqa: PT011  which of them is Telethon's choice
            await MediaShelf(folder).ready(client, client, post(PostType.DOCUMENT, media=(Media(file="paper.pdf"),)))
        assert reaction_to(broken.value).action is Action.RETRY
    finally:
        await client.disconnect()


async def test_a_picture_can_hide_behind_a_spoiler(sandbox: Sandbox, ann: Any, bob: Any, folder: Path) -> None:
    made = post(PostType.PHOTO, media=(Media(file="cat.png", spoiler=True),))
    to = Destination(await ann.get_input_entity("plaza"))
    sent = await deliver(ann, to, made, delivery_key, shelf=MediaShelf(folder))
    assert (await bob.get_messages("plaza", ids=sent.message_ids[0])).media.spoiler


@pytest.mark.parametrize(
    ("kind", "name", "fix"),
    [
        (PostType.PHOTO, "gone.png", "there is no uploaded file 'gone.png'"),
        (PostType.DOCUMENT, "link", "there is no uploaded file 'link'"),
        (PostType.DOCUMENT, "empty", "'empty' is empty"),
        (PostType.PHOTO, "huge.png", "a photo can have 10"),
    ],
)
async def test_a_file_that_cannot_be_sent_is_told_before_anything_is_uploaded(
    sandbox: Sandbox, ann: Any, folder: Path, kind: PostType, name: str, fix: str
) -> None:
    (folder.parent / "secret").write_text("not the user's")
    (folder / "link").symlink_to(folder.parent / "secret")
    (folder / "empty").touch()
    with (folder / "huge.png").open("wb") as huge:
        huge.truncate(10 * 2**20 + 1)
    made = post(kind, media=(Media(file=name),))
    to = Destination(await ann.get_input_entity("plaza"))
    with pytest.raises(InvalidInput) as foreseen:
        check_files(folder, made)
    with pytest.raises(InvalidInput) as refused:
        await deliver(ann, to, made, delivery_key, shelf=MediaShelf(folder))
    assert (foreseen.value.field, foreseen.value.fix) == (refused.value.field, refused.value.fix)
    assert refused.value.field == "post_content.media[0].file"
    assert fix in refused.value.fix
    assert "upload.saveFilePart" not in sandbox.report()["rpc"]


def test_the_size_of_a_post_is_known_beforehand(folder: Path) -> None:
    made = post(PostType.ALBUM, media=(Media(file="cat.png"), Media(file="film.mp4")))
    assert check_files(folder, made) == len(png()) + (folder / "film.mp4").stat().st_size


# --- polls, topics, forwards, pins


async def test_a_poll_stands_with_its_question_and_answers(sandbox: Sandbox, ann: Any, bob: Any) -> None:
    made = post(PostType.POLL, poll=Poll(question="Tea?", answers=("yes", "no 😀"), anonymous=False))
    sent = await deliver(ann, Destination(await ann.get_input_entity("plaza")), made, delivery_key)
    poll = (await bob.get_messages("plaza", ids=sent.message_ids[0])).poll.poll
    assert (poll.question.text, [answer.text.text for answer in poll.answers]) == ("Tea?", ["yes", "no 😀"])
    assert poll.public_voters


async def test_a_quiz_knows_its_right_answer(sandbox: Sandbox, ann: Any) -> None:
    quiz = Poll(question="2 +\t2?", answers=("3", "4"), correct=1, explanation="count\u2028on")
    await deliver(ann, Destination(await ann.get_input_entity("plaza")), post(PostType.POLL, poll=quiz), delivery_key)
    (entry,) = standing(sandbox)
    assert entry["kind"] == "poll"


async def test_posts_land_in_the_topic_they_were_meant_for(sandbox: Sandbox, ann: Any, folder: Path) -> None:
    peer = await ann.get_input_entity("forum")
    chess = await topic_named(ann, peer, "Chess")
    text = post(PostType.TEXT, text="in chess")
    album = post(PostType.ALBUM, media=(Media(file="cat.png"), Media(file="dog.png")))
    source = await find_source(ann, *await a_message(ann, "annex"))
    copy = post(PostType.COPY, message="@annex/1")
    to = Destination(peer, chess)
    await deliver(ann, to, text, lambda part: 10 + part)
    await deliver(ann, to, album, lambda part: 20 + part, shelf=MediaShelf(folder))
    await deliver(ann, to, copy, lambda part: 30 + part, source=source)
    await deliver(ann, Destination(peer), text, lambda part: 40 + part)
    assert {entry["random_id"]: entry["topic"] for entry in standing(sandbox, "forum")} == {
        10: chess,
        20: chess,
        21: chess,
        30: chess,
        40: 1,
    }


@pytest.mark.parametrize(("kind", "shows_author"), [(PostType.FORWARD, True), (PostType.COPY, False)])
async def test_a_message_is_forwarded_with_its_author_and_copied_without(
    sandbox: Sandbox, ann: Any, bob: Any, kind: PostType, shows_author: bool
) -> None:
    source = await find_source(ann, *await a_message(ann, "annex", "**the** original"))
    made = post(kind, message="@annex/1")
    sent = await deliver(ann, Destination(await ann.get_input_entity("plaza")), made, delivery_key, source=source)
    seen = await bob.get_messages("plaza", ids=sent.message_ids[0])
    assert (seen.raw_text, seen.entities) == ("the original", [tl.MessageEntityBold(0, 3)])
    assert (seen.fwd_from is not None) == shows_author
    assert standing(sandbox)[0]["random_id"] == delivery_key(0)


async def test_an_album_is_forwarded_whole_from_a_link_to_one_of_its_pictures(
    sandbox: Sandbox, ann: Any, folder: Path
) -> None:
    album = post(PostType.ALBUM, text="three", media=tuple(Media(file=n) for n in ("cat.png", "dog.png", "film.mp4")))
    annex = await ann.get_input_entity("annex")
    await ann.send_message(annex, "before")
    first = await deliver(ann, Destination(annex), album, lambda part: 1 + part, shelf=MediaShelf(folder))
    await ann.send_message(annex, "after")
    source = await find_source(ann, annex, first.message_ids[1])
    assert source.message_ids == first.message_ids
    made = post(PostType.FORWARD, message=f"@annex/{first.message_ids[1]}")
    to = Destination(await ann.get_input_entity("plaza"))
    sent = await deliver(ann, to, made, delivery_key, source=source)
    assert await deliver(ann, to, made, delivery_key, source=source) == sent
    entries = standing(sandbox)
    assert [entry["kind"] for entry in entries] == ["photo", "photo", "video"]
    assert [entry["random_id"] for entry in entries] == [delivery_key(part) for part in range(3)]


async def test_the_newest_saved_message_can_be_posted(sandbox: Sandbox, ann: Any) -> None:
    await ann.send_message("me", "old")
    await ann.send_message("me", "new")
    source = await find_source(ann, tl.InputPeerSelf(), None)
    made = post(PostType.COPY, message="saved")
    await deliver(ann, Destination(await ann.get_input_entity("plaza")), made, delivery_key, source=source)
    assert [entry["text"] for entry in standing(sandbox)] == ["new"]


async def test_a_message_of_a_protected_chat_is_refused_by_telegram(sandbox: Sandbox, ann: Any) -> None:
    source = await find_source(ann, *await a_message(ann, "vault"))
    made = post(PostType.FORWARD, message="@vault/1")
    with pytest.raises(errors.ChatForwardsRestrictedError):
        await deliver(ann, Destination(await ann.get_input_entity("plaza")), made, delivery_key, source=source)


async def test_a_pin_that_is_refused_leaves_the_post_where_it_is(sandbox: Sandbox, ann: Any) -> None:
    sandbox.add_fault({"error": "CHAT_ADMIN_REQUIRED", "method": "messages.updatePinnedMessage"})
    made = post(PostType.TEXT, text="read me", pin=True)
    to = Destination(await ann.get_input_entity("plaza"))
    sent = await deliver(ann, to, made, delivery_key)
    with pytest.raises(errors.ChatAdminRequiredError):
        await pin(ann, to, sent.message_ids[0])
    assert [entry["text"] for entry in standing(sandbox)] == ["read me"]
