"""What may be posted, whose turn it is, and how a mistake is told."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.compose.content import DoesNotFitHere, check_content, post_for_cycle, posts_of, render, render_for_group
from bot.compose.html import draft_from_html
from bot.compose.kinds.register import files_of
from bot.compose.post import Post, RenderContext
from bot.compose.text import TextDraft
from core.errors import InvalidInput
from core.models import Media, MediaKind, Poll, PostContent, PostType, TextFormat
from data.media.formats import kind_by_name

TEXT, PHOTO, ALBUM, POLL = PostType.TEXT, PostType.PHOTO, PostType.ALBUM, PostType.POLL
CONTEXT = RenderContext("Chess <Club>", datetime(2026, 3, 2, 9, 5, tzinfo=UTC), 7)


def content(**fields: object) -> PostContent:
    return PostContent(**fields)  # type: ignore[arg-type]  # each test names real fields


def photos(*names: str) -> tuple[Media, ...]:
    return tuple(Media(file=name) for name in names)


def a_poll(**fields: object) -> PostContent:
    return PostContent(poll=Poll(**{"question": "Tea?", "answers": ("yes", "no"), **fields}))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kind", "what"),
    [
        (TEXT, "hello"),
        (TEXT, ""),
        (TEXT, content(text="<b>hello</b> {group}", format=TextFormat.HTML, silent=True, pin=True, link_preview=False)),
        (TEXT, content(posts=("one", content(text="**two**", format=TextFormat.MARKDOWN)))),
        (PHOTO, content(media=photos("cat.JPG"))),
        (PHOTO, content(text="caption", media=photos("cat.png"))),
        (PostType.VIDEO, content(media=(Media(file="cat.mp4", duration=3, width=640, height=480),))),
        (PostType.DOCUMENT, content(media=photos("cat.jpg"))),
        (PostType.DOCUMENT, content(media=photos("no-suffix"))),
        (PostType.VOICE, content(media=photos("hi.ogg"))),
        (ALBUM, content(text="both", media=photos("a.jpg", "b.mp4"))),
        (ALBUM, content(media=photos("a.pdf", "b.txt"))),
        (ALBUM, content(media=tuple(Media(file=f"{n}.jpg", kind=MediaKind.DOCUMENT) for n in range(10)))),
        (POLL, a_poll()),
        (POLL, a_poll(correct=1, explanation="no tea", anonymous=False, open_seconds=60)),
        (PostType.FORWARD, content(message="https://t.me/chess_club/12")),
        (PostType.FORWARD, content(message="https://t.me/c/123/12")),
        (PostType.COPY, content(message="saved")),
        (TEXT, content(posts=(content(type=POLL, poll=Poll(question="q", answers=("a", "b"))), "text"))),
    ],
)
def test_everything_a_user_may_post_is_accepted(kind: PostType, what: str | PostContent) -> None:
    check_content(kind, what)


@pytest.mark.parametrize(
    ("kind", "what", "field", "fix"),
    [
        (TEXT, "x" * 4097, "post_content.text", "of at most 4,096"),
        (TEXT, "   ", "post_content.text", "nothing to show"),
        (TEXT, "\ud83d", "post_content.text", "half an emoji"),
        (TEXT, content(silent=True), "post_content.text", "nothing to show"),
        (TEXT, content(text="<b>x", format=TextFormat.HTML), "post_content.text", "never closed"),
        (TEXT, content(text="x", media=photos("a.jpg")), "post_content.media", "of type text has no media"),
        (TEXT, content(text="x", message="saved"), "post_content.message", "of type text has no message"),
        (PHOTO, content(text="x"), "post_content.media", "a photo has one file, not 0"),
        (PHOTO, content(media=photos("a.jpg", "b.jpg")), "post_content.media", "several files make an album"),
        (PHOTO, content(media=photos("a.gif")), "post_content.media[0].file", "is no photo; use .jpg"),
        (PHOTO, content(media=photos("a.webp")), "post_content.media[0].file", "or post it as a document"),
        (ALBUM, content(media=photos("a.jpg", "b.webp")), "post_content.media", "not a mixture"),
        (PHOTO, content(media=photos("../a.jpg")), "post_content.media[0].file", "without folders"),
        (PHOTO, content(media=photos("..")), "post_content.media[0].file", "without folders"),
        (PHOTO, content(media=photos("a.jpg"), text="x" * 4097), "post_content.text", "of at most 4,096"),
        (
            PHOTO,
            content(media=(Media(file="a.mp4", kind=MediaKind.VIDEO),)),
            "post_content.media[0].kind",
            "cannot hold a file of kind video",
        ),
        (
            PostType.VIDEO,
            content(media=(Media(file="a.mp4", duration=0),)),
            "post_content.media[0].duration",
            "above 0",
        ),
        (PostType.VOICE, content(media=photos("a.mp3")), "post_content.media[0].file", "is no voice; use .ogg"),
        (ALBUM, content(media=photos("a.jpg")), "post_content.media", "2 to 10 files, not 1"),
        (ALBUM, content(media=photos(*[f"{n}.jpg" for n in range(11)])), "post_content.media", "not 11"),
        (ALBUM, content(media=photos("a.jpg", "b.pdf")), "post_content.media", "not a mixture"),
        (ALBUM, content(media=photos("a.jpg", "b.ogg")), "post_content.media", "voice messages"),
        (POLL, content(text="x"), "post_content.text", "of type poll has no text"),
        (POLL, content(silent=True), "post_content.poll", "needs its question"),
        (POLL, a_poll(question=" "), "post_content.poll.question", "is empty"),
        (POLL, a_poll(question="q" * 256), "post_content.poll.question", "longer than 255"),
        (POLL, a_poll(answers=("a",)), "post_content.poll.answers", "2 to 10 answers, not 1"),
        (POLL, a_poll(answers=("a", "a ")), "post_content.poll.answers[1]", "the same answer"),
        (POLL, a_poll(answers=("a", "b" * 101)), "post_content.poll.answers[1]", "longer than 100"),
        (POLL, a_poll(correct=2), "post_content.poll.correct", "0 to 1"),
        (POLL, a_poll(correct=0, multiple=True), "post_content.poll.multiple", "one right answer"),
        (POLL, a_poll(explanation="x"), "post_content.poll.explanation", "only a quiz"),
        (POLL, a_poll(open_seconds=4), "post_content.poll.open_seconds", "5 to 600"),
        (PostType.FORWARD, content(silent=True), "post_content.message", "name the message by its link"),
        (PostType.COPY, content(message="@chess_club"), "post_content.message", "no link to a message"),
        (PostType.COPY, content(message="saved", text="x"), "post_content.text", "of type copy has no text"),
        (TEXT, content(posts=("a", "")), "post_content.posts[1]", "is empty"),
        (TEXT, content(posts=("a",), text="b"), "post_content", "nothing besides posts"),
        (TEXT, content(posts=(content(posts=("a",)),)), "post_content.posts[0]", "in one list"),
        (TEXT, content(posts=("a", "x" * 5000)), "post_content.posts[1].text", "of at most 4,096"),
        (TEXT, content(posts=tuple("a" for _ in range(101))), "post_content.posts", "at most 100"),
    ],
)
def test_a_mistake_is_told_with_its_field_and_its_fix(
    kind: PostType, what: str | PostContent, field: str, fix: str
) -> None:
    with pytest.raises(InvalidInput) as refused:
        check_content(kind, what)
    assert refused.value.field == field
    assert fix in refused.value.fix


def test_posts_of_a_list_take_turns() -> None:
    listed = content(posts=("one", content(text="two", type=TEXT), "three"))
    turns = [post_for_cycle(TEXT, listed, number).content.text for number in range(1, 8)]
    assert turns == ["one", "two", "three", "one", "two", "three", "one"]


@given(st.lists(st.text(min_size=1), min_size=1, max_size=20), st.integers(1, 10**6))
def test_every_post_of_a_list_has_its_turn_before_any_comes_again(texts: list[str], number: int) -> None:
    listed = PostContent(posts=tuple(texts))
    turns = [post_for_cycle(TEXT, listed, number + step).content.text for step in range(len(texts))]
    assert sorted(turns) == sorted(texts)


def test_a_post_of_a_list_may_have_a_type_of_its_own() -> None:
    listed = content(posts=("words", content(type=PHOTO, media=photos("a.jpg"))))
    assert [post.type for post in posts_of(TEXT, listed)] == [TEXT, PHOTO]


@pytest.mark.parametrize("nothing", ["", PostContent(), PostContent(text="")])
def test_nothing_to_post_is_recognised(nothing: str | PostContent) -> None:
    assert posts_of(TEXT, nothing) == ()
    with pytest.raises(ValueError, match="nothing to post"):
        post_for_cycle(TEXT, nothing, 1)


def test_a_text_is_filled_in_for_its_group() -> None:
    post = Post(TEXT, content(text="<b>{group}</b> {date} {time} #{n} {{n}}", format=TextFormat.HTML))
    assert render(post, CONTEXT).text == "Chess <Club> 2026-03-02 09:05 #7 {n}"
    assert render(post, None).text == "{group} {date} {time} #{n} {{n}}"


def test_a_plain_text_is_shown_as_it_stands() -> None:
    formatted = render(Post(TEXT, content(text="**a** <b> & {x}")), CONTEXT)
    assert (formatted.text, formatted.entities) == ("**a** <b> & {x}", ())


def test_a_text_that_grows_too_long_when_filled_in_is_refused() -> None:
    post = Post(TEXT, content(text="{group}" * 500))
    render(post, None)
    with pytest.raises(InvalidInput, match="of at most 4,096"):
        render(post, CONTEXT)


def test_premium_accounts_have_longer_captions() -> None:
    post = Post(PHOTO, content(media=photos("a.jpg"), text="x" * 2000))
    assert render(post, None, premium=True).units == 2000


def test_files_of_an_album_are_what_their_names_say() -> None:
    names = {"a.jpg": MediaKind.PHOTO, "a.MP4": MediaKind.VIDEO, "a.mp3": MediaKind.AUDIO, "a.zip": MediaKind.DOCUMENT}
    assert {name: kind_by_name(name) for name in names} == names
    document = Post(PostType.DOCUMENT, content(media=photos("a.jpg")))
    assert [file.kind for file in files_of(document)] == [MediaKind.DOCUMENT]


def test_a_poll_is_worded_for_its_group() -> None:
    asked = Post(POLL, a_poll(question=" Chess on {date}?", answers=("yes ", "no, #{n}")))
    poll = render_for_group(asked, CONTEXT).post.content.poll
    assert poll is not None
    assert (poll.question, poll.answers) == ("Chess on 2026-03-02?", ("yes", "no, #7"))


def test_answers_that_become_the_same_when_filled_in_are_refused() -> None:
    with pytest.raises(DoesNotFitHere) as refused:
        render_for_group(Post(POLL, a_poll(answers=("{n}", "7"))), CONTEXT)
    assert refused.value.field == "post_content.poll.answers[1]"


def test_the_markup_of_a_post_is_read_once_however_many_groups_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []

    def counted(text: str, field: str) -> TextDraft:
        read.append(text)
        return draft_from_html(text, field)

    monkeypatch.setattr("bot.compose.post.draft_from_html", counted)
    post = Post(TEXT, content(text="<b>{group}</b>, #{n}", format=TextFormat.HTML))
    said = [render_for_group(post, replace(CONTEXT, group=name)).text for name in ("Chess", "Go <b>", "Chess")]
    assert [one.text for one in said] == ["Chess, #7", "Go <b>, #7", "Chess, #7"]
    assert [one.entities[0].length for one in said] == [5, 6, 5]
    assert read == [post.content.text]
