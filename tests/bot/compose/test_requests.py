"""Each type of post becomes the one request Telegram knows it by."""

from typing import Any

import pytest
from telethon.extensions import BinaryReader
from telethon.tl import functions
from telethon.tl import types as tl

from bot.compose.content import render
from bot.compose.post import Destination, Post, Source
from bot.compose.requests import request_for
from core.models import Media, Poll, PostType, TextFormat
from tests.bot.compose.support import post

CHAT = tl.InputPeerChannel(1500000001, 77)
OTHER = tl.InputPeerChannel(1500000002, 78)
PICTURE = tl.InputMediaPhoto(tl.InputPhoto(1, 2, b"ref"))
FILM = tl.InputMediaDocument(tl.InputDocument(3, 4, b"ref"))


def key(part: int) -> int:
    return 1000 + part


def built(made: Post, to: Destination | None = None, **given: Any) -> Any:
    """The request, after a journey through the bytes Telegram gets."""
    to = to or Destination(CHAT)
    request, _ = request_for(to, made, key, text=given.pop("text", render(made, None)), **given)
    with BinaryReader(bytes(request)) as reader:
        return reader.tgread_object()


def test_a_text_is_sent_with_its_formatting_and_options() -> None:
    request = built(post(PostType.TEXT, text="<b>hi</b> 😀", format=TextFormat.HTML, silent=True, link_preview=False))
    assert isinstance(request, functions.messages.SendMessageRequest)
    assert (request.message, request.random_id, request.silent, request.no_webpage) == ("hi 😀", 1000, True, True)
    assert request.entities == [tl.MessageEntityBold(0, 2)]
    assert request.reply_to is None


def test_a_plain_text_carries_no_options_it_was_not_given() -> None:
    request = built(post(PostType.TEXT, text="hi"))
    assert (request.silent, request.no_webpage, request.entities) == (False, False, None)


@pytest.mark.parametrize("topic", [45, 2])
def test_a_post_into_a_topic_names_the_topic(topic: int) -> None:
    request = built(post(PostType.TEXT, text="hi"), Destination(CHAT, topic))
    assert (request.reply_to.reply_to_msg_id, request.reply_to.top_msg_id) == (topic, topic)
    forward = built(
        post(PostType.FORWARD, message="@chess_club/5"), Destination(CHAT, topic), source=Source(OTHER, (5,))
    )
    assert forward.top_msg_id == topic


def test_a_photo_carries_its_caption() -> None:
    made = post(PostType.PHOTO, text="a **cat**", format=TextFormat.MARKDOWN, media=(Media(file="cat.jpg"),))
    request = built(made, media=[PICTURE])
    assert isinstance(request, functions.messages.SendMediaRequest)
    assert (request.message, request.random_id) == ("a cat", 1000)
    assert request.entities == [tl.MessageEntityBold(2, 3)]
    assert request.media.id == PICTURE.id


def test_each_part_of_an_album_has_an_id_of_its_own_and_the_first_the_caption() -> None:
    made = post(PostType.ALBUM, text="both", media=(Media(file="a.jpg"), Media(file="b.mp4")), silent=True)
    request = built(made, Destination(CHAT, 9), media=[PICTURE, FILM])
    assert isinstance(request, functions.messages.SendMultiMediaRequest)
    assert [(part.random_id, part.message) for part in request.multi_media] == [(1000, "both"), (1001, "")]
    assert [part.media.id for part in request.multi_media] == [PICTURE.id, FILM.id]
    assert (request.silent, request.reply_to.reply_to_msg_id) == (True, 9)


def test_a_poll_is_asked_as_it_was_written() -> None:
    made = post(PostType.POLL, poll=Poll(question="Tea? ", answers=("yes", "no"), multiple=True, anonymous=False))
    media = built(made).media
    assert media.poll.question.text == "Tea?"
    assert [(type(answer), answer.text.text) for answer in media.poll.answers] == [
        (tl.InputPollAnswer, "yes"),
        (tl.InputPollAnswer, "no"),
    ]
    assert (media.poll.multiple_choice, media.poll.public_voters, media.poll.quiz) == (True, True, False)
    assert media.correct_answers is None


def test_a_quiz_knows_its_answer() -> None:
    made = post(
        PostType.POLL,
        poll=Poll(question="2 + 2?", answers=("3", "4"), correct=1, explanation="count", open_seconds=60),
    )
    media = built(made).media
    assert (media.poll.quiz, media.correct_answers, media.solution) == (True, [1], "count")
    assert media.poll.close_period == 60


@pytest.mark.parametrize(("kind", "hides"), [(PostType.FORWARD, False), (PostType.COPY, True)])
def test_a_forward_shows_its_author_and_a_copy_does_not(kind: PostType, hides: bool) -> None:
    request = built(post(kind, message="@chess_club/5", silent=True), source=Source(OTHER, (5, 6)))
    assert isinstance(request, functions.messages.ForwardMessagesRequest)
    assert (request.id, request.random_id, request.drop_author) == ([5, 6], [1000, 1001], hides)
    assert (request.from_peer, request.to_peer, request.silent) == (OTHER, CHAT, True)


def test_a_forward_without_its_message_is_our_mistake() -> None:
    with pytest.raises(ValueError, match="needs the message"):
        request_for(Destination(CHAT), post(PostType.FORWARD, message="@chess_club/5"), key)
