"""What a user may post: checked before anything is stored, and picked and worded when a cycle is planned.

A `PostContent` can hold several posts that take turns; a `Post` is one of them with its type. The limits are Telegram's
for accounts without Premium (core.telegram.org/api/config, core.telegram.org/bots/api#sendpoll).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from msgspec import structs

from bot.chats.targets import parse_message_link
from bot.compose.html import draft_from_html
from bot.compose.markdown import draft_from_markdown
from bot.compose.signs import is_invisible
from bot.compose.text import (
    MAX_CAPTION_UNITS,
    MAX_CAPTION_UNITS_PREMIUM,
    MAX_TEXT_UNITS,
    Formatted,
    TextDraft,
    check_limits,
    checked_input,
    fill_in,
    finish,
)
from core.errors import InvalidInput, check_all
from core.models import Media, MediaKind, Poll, PostContent, PostType, TextFormat
from data.media.formats import kind_by_name

SAVED = "saved"
"""In `PostContent.message`: the newest message in the account's own Saved Messages."""
MAX_POSTS = 100
ALBUM_SIZES = range(2, 11)
POLL_ANSWERS = range(2, 11)
POLL_QUESTION_UNITS = 255
POLL_ANSWER_UNITS = 100
POLL_EXPLANATION_UNITS = 200
POLL_OPEN_SECONDS = range(5, 601)

_KIND_OF_TYPE = {
    PostType.PHOTO: MediaKind.PHOTO,
    PostType.VIDEO: MediaKind.VIDEO,
    PostType.VOICE: MediaKind.VOICE,
    PostType.DOCUMENT: MediaKind.DOCUMENT,
}
_SUFFIXES_OF_KIND = {
    MediaKind.PHOTO: ".jpg or .png",
    MediaKind.VIDEO: ".mp4, .mov, .webm or .mkv",
    MediaKind.AUDIO: ".mp3, .m4a, .flac or .wav",
    MediaKind.VOICE: ".ogg or .opus (Opus in Ogg)",
}
_WITH_MEDIA = frozenset({*_KIND_OF_TYPE, PostType.ALBUM})
_WITH_MESSAGE = frozenset({PostType.FORWARD, PostType.COPY})


@dataclass(frozen=True)
class Post:
    """One post: what type it is and what is in it."""

    type: PostType
    content: PostContent


@dataclass(frozen=True)
class RenderContext:
    """What the placeholders of a text say this time."""

    group: str
    """The group's title, or its name where the title is not known."""
    moment: datetime
    """When the cycle began, in the user's own time zone."""
    number: int
    """Which post of this bot it is, from 1."""

    def values(self) -> dict[str, str]:
        """Placeholder → text."""
        return {
            "group": self.group,
            "date": f"{self.moment:%Y-%m-%d}",
            "time": f"{self.moment:%H:%M}",
            "n": str(self.number),
        }


def posts_of(post_type: PostType, post_content: str | PostContent) -> tuple[Post, ...]:
    """The posts that take turns; one when the content is no list, none when there is nothing to post."""
    if isinstance(post_content, str):
        post_content = PostContent(text=post_content)
    if post_content.posts:
        return tuple(post for entry in post_content.posts for post in posts_of(post_type, entry))
    if post_content == PostContent():
        return ()
    return (Post(post_content.type or post_type, post_content),)


def post_for_cycle(post_type: PostType, post_content: str | PostContent, number: int) -> Post:
    """The post whose turn it is in the cycle of this number, counted from 1.

    Raises:
        ValueError: there is nothing to post.
    """
    posts = posts_of(post_type, post_content)
    if not posts:
        raise ValueError("there is nothing to post")
    return posts[(number - 1) % len(posts)]


def check_content(post_type: PostType, post_content: str | PostContent, field: str = "post_content") -> None:
    """Refuse what Telegram would refuse, before anything is stored. Nothing at all (an empty string) is no mistake.

    Raises:
        InvalidInput: naming the field (`post_content.posts[2].poll.answers`) and how to mend it.
    """
    if isinstance(post_content, PostContent) and post_content.posts:
        _check_list(post_type, post_content, field)
        return
    for post in posts_of(post_type, post_content):
        _check_post(post, field)


class DoesNotFitHere(InvalidInput):
    """Only what the placeholders stand for in this group makes the post too long."""

    code = "does_not_fit_here"


def word(post: Post, occasion: RenderContext, *, premium: bool = False) -> tuple[Post, Formatted]:
    """The post as one group gets it, its poll and its text filled in.

    Raises:
        DoesNotFitHere: this group cannot get it; others may.
        InvalidInput: no group can.
    """
    try:
        return _worded(post, occasion, premium)
    except InvalidInput as error:
        _worded(post, None, premium)
        raise DoesNotFitHere(error.field, f"{error.fix} (with its placeholders filled in for this group)") from error


def _worded(post: Post, occasion: RenderContext | None, premium: bool) -> tuple[Post, Formatted]:
    text = render(post, occasion, premium=premium)
    if post.content.poll is None:
        return post, text
    return Post(post.type, structs.replace(post.content, poll=render_poll(post.content.poll, occasion))), text


def render(
    post: Post, occasion: RenderContext | None, field: str = "post_content.text", *, premium: bool = False
) -> Formatted:
    """The text or caption of a post with its placeholders filled in; without an occasion they stay as written.

    Raises:
        InvalidInput: the markup is broken, or the text is too long once it is filled in.
    """
    text = checked_input(post.content.text, field)
    match post.content.format:
        case TextFormat.HTML:
            draft = draft_from_html(text, field)
        case TextFormat.MARKDOWN:
            draft = draft_from_markdown(text, field)
        case TextFormat.PLAIN:
            draft = TextDraft(text)
    if occasion is not None:
        draft = fill_in(draft, occasion.values())
    is_caption = post.type in _WITH_MEDIA
    caption_limit = MAX_CAPTION_UNITS_PREMIUM if premium else MAX_CAPTION_UNITS
    return check_limits(
        finish(draft),
        field,
        limit=caption_limit if is_caption else MAX_TEXT_UNITS,
        required=post.type is PostType.TEXT,
    )


def render_poll(poll: Poll, occasion: RenderContext | None, field: str = "post_content.poll") -> Poll:
    """A poll with its placeholders filled in and its words trimmed.

    Raises:
        InvalidInput: it is no poll Telegram takes, once it is filled in.
    """

    def worded(text: str) -> str:
        draft = TextDraft(checked_input(text, field))
        return finish(draft if occasion is None else fill_in(draft, occasion.values())).text

    filled = structs.replace(
        poll,
        question=worded(poll.question),
        answers=tuple(worded(answer) for answer in poll.answers),
        explanation=worded(poll.explanation),
    )
    _check_poll(filled, field)
    return filled


def media_of(content: str | PostContent, field: str = "post_content") -> Iterator[tuple[str, Media]]:
    """Every file that is named anywhere in it, with where (`post_content.posts[2].media[0]`)."""
    if isinstance(content, str):
        return
    for index, media in enumerate(content.media):
        yield f"{field}.media[{index}]", media
    for index, entry in enumerate(content.posts):
        yield from media_of(entry, f"{field}.posts[{index}]")


def kind_of(post_type: PostType, media: Media) -> MediaKind:
    """As what a file is sent."""
    return media.kind or _KIND_OF_TYPE.get(post_type) or kind_by_name(media.file)


def _check_list(post_type: PostType, content: PostContent, field: str) -> None:
    if content != PostContent(posts=content.posts, type=content.type):
        raise InvalidInput(field, "a list of posts holds nothing besides posts; move the rest into them")
    if len(content.posts) > MAX_POSTS:
        raise InvalidInput(f"{field}.posts", f"{len(content.posts)} posts; at most {MAX_POSTS} can take turns")
    default = content.type or post_type
    check_all(partial(_check_entry, default, one, f"{field}.posts[{n}]") for n, one in enumerate(content.posts))


def _check_entry(default: PostType, entry: str | PostContent, here: str) -> None:
    if isinstance(entry, PostContent) and entry.posts:
        raise InvalidInput(here, "a list of posts cannot stand in a list of posts; write them in one list")
    posts = posts_of(default, entry)
    if not posts:
        raise InvalidInput(here, "this post is empty; fill it or remove it")
    _check_post(posts[0], here)


def _check_post(post: Post, field: str) -> None:
    content = post.content
    _check_only_what_belongs(post, field)
    if post.type in _WITH_MEDIA:
        _check_media(post, f"{field}.media")
    if post.type is PostType.POLL:
        if content.poll is None:
            raise InvalidInput(f"{field}.poll", "a poll needs its question and answers")
        _check_poll(content.poll, f"{field}.poll")
    if post.type in _WITH_MESSAGE:
        if not content.message:
            raise InvalidInput(f"{field}.message", f'name the message by its link, or write "{SAVED}"')
        if content.message.strip().lower() != SAVED:
            parse_message_link(content.message, f"{field}.message")
    render(
        post, None, f"{field}.text", premium=True
    )  # without Premium it may be too long: the planner knows who has it


def _check_only_what_belongs(post: Post, field: str) -> None:
    """A field that would silently not be posted is a mistake somebody should know of."""
    content, kind = post.content, post.type
    extra = {
        "media": bool(content.media) and kind not in _WITH_MEDIA,
        "poll": content.poll is not None and kind is not PostType.POLL,
        "message": content.message is not None and kind not in _WITH_MESSAGE,
        "text": bool(content.text) and kind in {PostType.POLL, *_WITH_MESSAGE},
    }
    for name, is_extra in extra.items():
        if is_extra:
            raise InvalidInput(f"{field}.{name}", f"a post of type {kind} has no {name}; remove it or change post_type")


def _check_media(post: Post, field: str) -> None:
    media = post.content.media
    if post.type is PostType.ALBUM:
        if len(media) not in ALBUM_SIZES:
            raise InvalidInput(field, f"an album has 2 to 10 files, not {len(media)}")
    elif len(media) != 1:
        raise InvalidInput(field, f"a {post.type} has one file, not {len(media)}; several files make an album")
    for index, item in enumerate(media):
        _check_file(post.type, item, f"{field}[{index}]")
    if post.type is PostType.ALBUM:
        _check_album({kind_of(post.type, item) for item in media}, field)


def _check_album(kinds: set[MediaKind], field: str) -> None:
    if MediaKind.VOICE in kinds:
        raise InvalidInput(field, "voice messages cannot stand in an album; post them on their own")
    if len(kinds) > 1 and not kinds <= {MediaKind.PHOTO, MediaKind.VIDEO}:
        raise InvalidInput(field, "an album holds photos and videos, or only documents, or only audio; not a mixture")


def _check_file(post_type: PostType, media: Media, field: str) -> None:
    name = media.file
    if not name or name in {".", ".."} or any(sign in name for sign in "/\\\0") or len(name.encode()) > 255:
        raise InvalidInput(f"{field}.file", "write the name of an uploaded file, without folders")
    kind = kind_of(post_type, media)
    if post_type in _KIND_OF_TYPE and kind is not _KIND_OF_TYPE[post_type]:
        raise InvalidInput(
            f"{field}.kind", f"a post of type {post_type} cannot hold a file of kind {kind}; leave it out"
        )
    if kind in _SUFFIXES_OF_KIND and kind_by_name(name) is not kind:
        raise InvalidInput(
            f"{field}.file", f"'{name}' is no {kind}; use {_SUFFIXES_OF_KIND[kind]}, or post it as a document"
        )
    for label, value in (("duration", media.duration), ("width", media.width), ("height", media.height)):
        if value is not None and not 0 < value < 2**31:
            raise InvalidInput(f"{field}.{label}", "has to be a whole number above 0")


def _check_poll(poll: Poll, field: str) -> None:
    _check_words(poll.question, f"{field}.question", POLL_QUESTION_UNITS)
    if len(poll.answers) not in POLL_ANSWERS:
        raise InvalidInput(f"{field}.answers", f"a poll has 2 to 10 answers, not {len(poll.answers)}")
    seen: set[str] = set()
    for index, answer in enumerate(poll.answers):
        words = _check_words(answer, f"{field}.answers[{index}]", POLL_ANSWER_UNITS)
        if words in seen:
            raise InvalidInput(f"{field}.answers[{index}]", "the same answer stands above; each can be there once")
        seen.add(words)
    _check_quiz(poll, field)
    if poll.open_seconds is not None and poll.open_seconds not in POLL_OPEN_SECONDS:
        raise InvalidInput(f"{field}.open_seconds", "has to be 5 to 600; leave it out for a poll that stays open")


def _check_quiz(poll: Poll, field: str) -> None:
    if poll.correct is not None:
        if poll.correct not in range(len(poll.answers)):
            raise InvalidInput(f"{field}.correct", f"has to be 0 to {len(poll.answers) - 1}: which answer is right")
        if poll.multiple:
            raise InvalidInput(f"{field}.multiple", "a quiz has one right answer; turn multiple off")
    if poll.explanation:
        if poll.correct is None:
            raise InvalidInput(f"{field}.explanation", "only a quiz has one; say which answer is correct, or remove it")
        _check_words(poll.explanation, f"{field}.explanation", POLL_EXPLANATION_UNITS)


def _check_words(text: str, field: str, limit: int) -> str:
    """The words as Telegram takes them. Raises InvalidInput."""
    words = finish(TextDraft(checked_input(text, field)))
    if is_invisible(words.text):
        raise InvalidInput(field, "is empty: it shows nothing; write some words")
    if words.units > limit:
        raise InvalidInput(field, f"is longer than {limit} characters")
    return words.text
