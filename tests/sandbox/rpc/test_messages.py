"""Every kind of message, and when it is refused."""

import asyncio
import hashlib
import io
import struct
import zlib
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from telethon import errors, events, functions, types

from sandbox.rpc import posting
from sandbox.server import Sandbox
from sandbox.world import AccountSpec, ChatSpec, World
from tests.sandbox.conftest import Clients, Starter, texts


def png(width: int = 3, height: int = 2, shade: int = 0) -> io.BytesIO:
    """Return a small valid picture. It has colours, because Telethon turns others into JPEGs."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    rows = zlib.compress((b"\0" + bytes([shade]) * 3 * width) * height)
    file = io.BytesIO(b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", rows) + chunk(b"IEND", b""))
    file.name = "picture.png"
    return file


@pytest.fixture
async def sandbox(start: Starter) -> Sandbox:
    return await start(
        World(
            accounts=[AccountSpec("ann"), AccountSpec("bob"), AccountSpec("rich", premium=True)],
            chats=[
                ChatSpec("plaza"),
                ChatSpec("square"),
                ChatSpec("news", kind="channel", admins=["ann"]),
                ChatSpec("forum", kind="forum", topics=["Sell"]),
                ChatSpec("nopics", default_banned=["send_photos", "send_polls", "send_docs"]),
            ],
        )
    )


@pytest.fixture
async def ann(sandbox: Sandbox, clients: Clients) -> Any:
    return await clients(sandbox, "ann")


def posts(sandbox: Sandbox, chat: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = sandbox.report()["chats"][chat]["messages"]
    return found


async def test_entities_are_counted_in_utf_16_and_come_back_as_sent(sandbox: Sandbox, ann: Any) -> None:
    sent = await ann.send_message(
        "plaza", "😀😀 <b>bold</b> <a href='https://example.com/'>link</a>", parse_mode="html"
    )
    back = await ann.get_messages("plaza", ids=sent.id)
    assert back.raw_text == "😀😀 bold link"
    assert [(type(entity).__name__, entity.offset, entity.length) for entity in back.entities] == [
        ("MessageEntityBold", 5, 4),
        ("MessageEntityTextUrl", 10, 4),
    ]


@pytest.mark.parametrize(
    ("text", "entities", "error"),
    [
        (" \n ", None, errors.MessageEmptyError),
        ("x" * 4097, None, errors.MessageTooLongError),
        ("😀" * 2049, None, errors.MessageTooLongError),
        ("short", [types.MessageEntityBold(3, 9)], errors.EntityBoundsInvalidError),
        ("short", [types.MessageEntityBold(0, 1)] * 101, errors.EntitiesTooLongError),
    ],
)
async def test_an_invalid_text_is_refused(
    sandbox: Sandbox, ann: Any, text: str, entities: Any, error: type[Exception]
) -> None:
    peer = await ann.get_input_entity("plaza")
    with pytest.raises(error):
        await ann(functions.messages.SendMessageRequest(peer, text, entities=entities))
    assert texts(sandbox, "plaza") == []


async def test_the_longest_text_is_4096_units(sandbox: Sandbox, ann: Any) -> None:
    await ann.send_message("plaza", "😀" * 2048)
    assert len(texts(sandbox, "plaza")[0]) == 2048


async def test_silent_and_no_link_preview_are_kept(sandbox: Sandbox, ann: Any) -> None:
    await ann.send_message("plaza", "https://example.com", silent=True, link_preview=False)
    (post,) = posts(sandbox, "plaza")
    assert (post["silent"], post["no_webpage"]) == (True, True)


async def test_a_photo_with_a_caption_is_stored_and_downloaded(sandbox: Sandbox, ann: Any, clients: Clients) -> None:
    picture = png()
    sent = await ann.send_file("plaza", picture, caption="look")
    assert (sent.photo.sizes[0].w, sent.photo.sizes[0].h) == (3, 2)
    bob = await clients(sandbox, "bob")
    seen = await bob.get_messages("plaza", ids=sent.id)
    assert await bob.download_media(seen, bytes) == picture.getvalue()
    assert [(post["kind"], post["text"]) for post in posts(sandbox, "plaza")] == [("photo", "look")]


async def test_a_document_of_several_parts_comes_back_whole(sandbox: Sandbox, ann: Any) -> None:
    data = hashlib.shake_256(b"small").digest(1_500_000)
    file = io.BytesIO(data)
    file.name = "data.bin"
    sent = await ann.send_file("plaza", file, force_document=True)
    assert (sent.document.size, sent.file.name) == (1_500_000, "data.bin")
    assert await ann.download_media(sent, bytes) == data


async def test_a_big_file_is_uploaded_in_big_parts(sandbox: Sandbox, ann: Any) -> None:
    data = bytes(11 * 1024 * 1024)
    file = io.BytesIO(data)
    file.name = "big.bin"
    sent = await ann.send_file("plaza", await ann.upload_file(file, part_size_kb=512), force_document=True)
    assert sent.document.size == len(data)
    assert sandbox.report()["rpc"]["upload.saveBigFilePart"]["ann"] == 22


@pytest.mark.parametrize(
    ("attributes", "kind"),
    [
        ([types.DocumentAttributeVideo(1.0, 10, 10)], "video"),
        ([types.DocumentAttributeVideo(1.0, 10, 10, round_message=True)], "round"),
        ([types.DocumentAttributeAudio(1, voice=True)], "voice"),
        ([types.DocumentAttributeAudio(1)], "audio"),
        ([types.DocumentAttributeAnimated()], "gif"),
    ],
)
async def test_attributes_tell_kinds_of_documents_apart(sandbox: Sandbox, ann: Any, attributes: Any, kind: str) -> None:
    await ann.send_file("plaza", b"\0\0\0\x18ftypisom", attributes=attributes, force_document=False)
    assert posts(sandbox, "plaza")[0]["kind"] == kind


async def test_an_album_is_one_group_of_messages(sandbox: Sandbox, ann: Any) -> None:
    sent = await ann.send_file("plaza", [png(shade=1), png(shade=2), png(shade=3)], caption=["one", "two", "three"])
    assert len({message.grouped_id for message in sent}) == 1
    shown = posts(sandbox, "plaza")
    assert [post["text"] for post in shown] == ["one", "two", "three"]
    assert len({post["grouped_id"] for post in shown}) == 1


async def test_invalid_pictures_and_long_captions_are_refused(sandbox: Sandbox, ann: Any) -> None:
    file = io.BytesIO(b"no picture at all")
    file.name = "fake.jpg"
    with pytest.raises(errors.ImageProcessFailedError):
        await ann.send_file("plaza", file)
    with pytest.raises(errors.PhotoInvalidDimensionsError):
        await ann.send_file("plaza", png(width=100, height=2))
    with pytest.raises(errors.MediaCaptionTooLongError):
        await ann.send_file("plaza", png(), caption="x" * 1025)
    assert posts(sandbox, "plaza") == []


async def test_media_that_a_group_forbids_is_refused_by_kind(sandbox: Sandbox, ann: Any) -> None:
    with pytest.raises(errors.ChatSendPhotosForbiddenError):
        await ann.send_file("nopics", png())
    with pytest.raises(errors.RPCError, match="CHAT_SEND_DOCS_FORBIDDEN"):
        await ann.send_file("nopics", b"text", force_document=True)
    await ann.send_message("nopics", "words are fine")


async def test_a_used_photo_is_sent_again_without_upload(sandbox: Sandbox, ann: Any) -> None:
    sent = await ann.send_file("plaza", png())
    before = sandbox.report()["rpc"]["upload.saveFilePart"]["ann"]
    await ann.send_file("square", sent.photo)
    assert sandbox.report()["rpc"]["upload.saveFilePart"]["ann"] == before
    sent.photo.file_reference = b"old"
    with pytest.raises(errors.FileReferenceExpiredError):
        await ann.send_file("square", sent.photo)


async def test_a_poll_is_sent_and_gets_a_vote(sandbox: Sandbox, ann: Any, clients: Clients) -> None:
    words = types.TextWithEntities
    answers = [types.InputPollAnswer(words(text, [])) for text in ("yes", "no")]
    poll = types.Poll(0, words("Well?", []), answers, hash=0)
    sent = await ann.send_message("plaza", file=types.InputMediaPoll(poll))
    assert posts(sandbox, "plaza")[0]["kind"] == "poll"
    bob = await clients(sandbox, "bob")
    seen = await bob.get_messages("plaza", ids=sent.id)
    option = seen.poll.poll.answers[0].option
    await bob(functions.messages.SendVoteRequest("plaza", sent.id, [option]))
    assert (await ann.get_messages("plaza", ids=sent.id)).poll.results.total_voters == 1
    with pytest.raises(errors.ChatSendPollForbiddenError):
        await ann.send_message("nopics", file=types.InputMediaPoll(poll))


async def test_a_reply_names_its_message_and_must_have_one(sandbox: Sandbox, ann: Any) -> None:
    first = await ann.send_message("plaza", "question")
    await ann.send_message("plaza", "answer", reply_to=first)
    assert posts(sandbox, "plaza")[1]["reply_to"] == first.id
    with pytest.raises(errors.RPCError, match="REPLY_MESSAGE_ID_INVALID"):
        await ann.send_message("plaza", "to nobody", reply_to=77)


async def test_only_its_author_may_edit_a_message(sandbox: Sandbox, ann: Any, clients: Clients) -> None:
    sent = await ann.send_message("plaza", "frist")
    await ann.edit_message("plaza", sent, "first")
    assert [(post["text"], "edited" in post) for post in posts(sandbox, "plaza")] == [("first", True)]
    with pytest.raises(errors.MessageNotModifiedError):
        await ann.edit_message("plaza", sent, "first")
    with pytest.raises(errors.MessageAuthorRequiredError):
        await (await clients(sandbox, "bob")).edit_message("plaza", sent.id, "mine")
    with pytest.raises(errors.MessageIdInvalidError):
        await ann.edit_message("plaza", 55, "nothing there")


async def test_a_message_is_deleted_for_everybody(sandbox: Sandbox, ann: Any, clients: Clients) -> None:
    bob = await clients(sandbox, "bob")
    gone: asyncio.Future[list[int]] = asyncio.get_running_loop().create_future()

    async def see(event: Any) -> None:
        gone.set_result(event.deleted_ids)

    await bob.get_input_entity("plaza")
    bob.add_event_handler(see, events.MessageDeleted())
    sent = await ann.send_message("plaza", "oops")
    await ann.delete_messages("plaza", [sent.id])
    assert await asyncio.wait_for(gone, 5) == [sent.id]
    assert posts(sandbox, "plaza") == []
    mine = await ann.send_message("plaza", "mine")
    with pytest.raises(errors.MessageDeleteForbiddenError):
        await bob.delete_messages("plaza", [mine.id])


async def test_a_forward_names_its_author_unless_told_to_drop_it(sandbox: Sandbox, ann: Any) -> None:
    sent = await ann.send_message("news", "**extra**")
    forwarded = await ann.forward_messages("plaza", sent)
    assert (forwarded.fwd_from.from_id.channel_id, forwarded.fwd_from.channel_post) == (sent.peer_id.channel_id, 1)
    copied = await ann.forward_messages("square", sent, drop_author=True)
    assert copied.fwd_from is None
    assert (posts(sandbox, "square")[0]["text"], posts(sandbox, "square")[0]["entities"]) == ("extra", 1)


async def test_a_forward_goes_into_a_topic_once(sandbox: Sandbox, ann: Any) -> None:
    sent = await ann.send_message("news", "extra")
    forum, news = await ann.get_input_entity("forum"), await ann.get_input_entity("news")
    topic = sandbox.centre.chat("forum").topics
    (sell,) = [number for number, entry in topic.items() if entry.title == "Sell"]
    request = functions.messages.ForwardMessagesRequest(news, [sent.id], forum, random_id=[9], top_msg_id=sell)
    await ann(request)
    await ann(request)
    assert [(post["topic"], post["forwarded"]) for post in posts(sandbox, "forum")] == [(sell, True)]


async def test_an_album_stays_one_when_forwarded(sandbox: Sandbox, ann: Any) -> None:
    album = await ann.send_file("plaza", [png(shade=1), png(shade=2)])
    await ann.forward_messages("square", album)
    shown = posts(sandbox, "square")
    assert len(shown) == 2
    assert len({post["grouped_id"] for post in shown}) == 1
    assert shown[0]["grouped_id"] != posts(sandbox, "plaza")[0]["grouped_id"]


async def test_a_scheduled_message_waits_and_is_sent_when_told(sandbox: Sandbox, ann: Any) -> None:
    when = datetime.now(UTC) + timedelta(hours=1)
    await ann.send_message("plaza", "later", schedule=when)
    await ann.send_message("plaza", "never", schedule=when)
    assert posts(sandbox, "plaza") == []
    waiting = await ann.get_messages("plaza", scheduled=True)
    assert [message.text for message in waiting] == ["never", "later"]
    peer = await ann.get_input_entity("plaza")
    await ann(functions.messages.DeleteScheduledMessagesRequest(peer, [waiting[0].id]))
    await ann(functions.messages.SendScheduledMessagesRequest(peer, [waiting[1].id]))
    assert texts(sandbox, "plaza") == ["later"]
    assert await ann.get_messages("plaza", scheduled=True) == []


async def test_a_scheduled_message_is_sent_at_its_time(
    sandbox: Sandbox, ann: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(posting, "SCHEDULE_FROM", 0)  # otherwise the test would have to wait ten seconds
    await ann.send_message("plaza", "on time", schedule=datetime.now(UTC) + timedelta(seconds=2))
    assert posts(sandbox, "plaza") == []
    for _ in range(500):
        if posts(sandbox, "plaza"):
            break
        await asyncio.sleep(0.01)
    (post,) = posts(sandbox, "plaza")
    assert (post["text"], post["from_schedule"]) == ("on time", True)


async def test_a_repeated_random_id_is_an_error_if_the_world_says_so(start: Starter, clients: Clients) -> None:
    world = World(accounts=[AccountSpec("ann")], chats=[ChatSpec("plaza")], repeats="error")
    sandbox = await start(world)
    client = await clients(sandbox, "ann", request_retries=0, raise_last_call_error=True)
    request = functions.messages.SendMessageRequest(await client.get_input_entity("plaza"), "once", random_id=3)
    await client(request)
    with pytest.raises(errors.RandomIdDuplicateError):
        await client(request)
    assert texts(sandbox, "plaza") == ["once"]


async def test_a_random_id_is_forgotten_after_its_time(start: Starter, clients: Clients) -> None:
    world = World(accounts=[AccountSpec("ann")], chats=[ChatSpec("plaza")], forget_after=0)
    sandbox = await start(world)
    client = await clients(sandbox, "ann")
    request = functions.messages.SendMessageRequest(await client.get_input_entity("plaza"), "twice", random_id=3)
    await client(request)
    await client(request)
    assert texts(sandbox, "plaza") == ["twice", "twice"]
