"""What a user may post: checked before it is stored, picked when a cycle is planned, rendered for each group.

A `PostContent` can hold several posts that take turns; a `Post` is one of them with its type. What differs from kind
to kind is in `bot.compose.kinds`. The limits are Telegram's (core.telegram.org/api/config).
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial

from msgspec import structs

from bot.compose.kinds.register import KINDS
from bot.compose.post import Post, RenderContext
from bot.compose.text import Formatted, check_limits
from core.errors import InvalidInput, check_all
from core.models import Media, PostContent, PostType

MAX_POSTS = 100
_OF_EVERY_KIND = frozenset({"format", "link_preview", "silent", "pin", "type", "posts"})
_OF_SOME_KINDS = tuple(one for one in structs.fields(PostContent) if one.name not in _OF_EVERY_KIND)


class DoesNotFitHere(InvalidInput):
    """Only what the placeholders stand for in this group makes the post too long."""

    code = "does_not_fit_here"


@dataclass(frozen=True)
class Rendered:
    """A post as one group gets it."""

    post: Post
    """With the words of its content filled in, the text excepted."""
    text: Formatted
    """Its text or caption."""


def posts_of(post_type: PostType, post_content: str | PostContent, field: str = "post_content") -> tuple[Post, ...]:
    """Return the posts that take turns: one if the content is no list, none if there is nothing to post."""
    content = PostContent.of(post_content)
    if content.posts:
        default = content.type or post_type
        each = (posts_of(default, one, f"{field}.posts[{n}]") for n, one in enumerate(content.posts))
        return tuple(post for posts in each for post in posts)
    return () if content == PostContent() else (Post(content.type or post_type, content, field),)


def post_for_cycle(post_type: PostType, post_content: str | PostContent, number: int) -> Post:
    """Return the post whose turn it is in the cycle of this number, counted from 1.

    Raises:
        ValueError: there is nothing to post.
    """
    posts = posts_of(post_type, post_content)
    if not posts:
        raise ValueError("there is nothing to post")
    return posts[(number - 1) % len(posts)]


def media_of(content: str | PostContent, field: str = "post_content") -> Iterator[tuple[str, Media]]:
    """Yield every file the content names, after the field that names it (`post_content.posts[2].media[0]`)."""
    written = PostContent.of(content)
    for index, media in enumerate(written.media):
        yield f"{field}.media[{index}]", media
    for index, entry in enumerate(written.posts):
        yield from media_of(entry, f"{field}.posts[{index}]")


def check_content(post_type: PostType, post_content: str | PostContent) -> None:
    """Refuse what Telegram would refuse, before anything is stored. An empty content is no mistake.

    Raises:
        InvalidInput: naming the field (`post_content.posts[2].poll.answers`) and how to mend it.
    """
    content = PostContent.of(post_content)
    if content.posts:
        _check_list(post_type, content)
        return
    for post in posts_of(post_type, content):
        check_post(post)


def check_post(post: Post) -> None:
    """Refuse a post that Telegram would take from no account, Premium or not.

    Raises:
        InvalidInput: naming the field and how to mend it.
    """
    kind = KINDS[post.type]
    taken = {*kind.own_fields, *(["text"] if kind.text.is_taken else [])}
    for one in _OF_SOME_KINDS:  # a field that would silently not be posted is a mistake
        if one.name not in taken and getattr(post.content, one.name) != one.default:
            fix = f"a post of type {post.type} has no {one.name}; remove it or change post_type"
            raise InvalidInput(f"{post.field}.{one.name}", fix)
    kind.check(post.content, post.field)
    render(post, None, premium=True)


def lacks_text(post: Post) -> bool:
    """Return whether the post has to have a text and holds nothing but white space."""
    return KINDS[post.type].text.is_required and not post.content.text.strip()


def render_for_group(post: Post, context: RenderContext, *, premium: bool = False) -> Rendered:
    """Return the post with its placeholders filled in for one group.

    Raises:
        DoesNotFitHere: this group cannot get it; others may.
        InvalidInput: no group can.
    """
    try:
        text = render(post, context, premium=premium)
        content = KINDS[post.type].filled_in(post.content, context, post.field)
    except InvalidInput as error:
        render(post, None, premium=premium)
        KINDS[post.type].check(post.content, post.field)
        raise DoesNotFitHere(error.field, f"{error.fix} (with its placeholders filled in for this group)") from error
    return Rendered(post if content is post.content else replace(post, content=content), text)


def render(post: Post, context: RenderContext | None, *, premium: bool = False) -> Formatted:
    """Return the text or caption with its placeholders filled in; without a context they stay as written.

    Raises:
        InvalidInput: the markup is broken, or the text is too long once it is filled in.
    """
    rule = KINDS[post.type].text
    return check_limits(
        post.text(context),
        f"{post.field}.text",
        limit=rule.most_premium if premium else rule.most,
        required=rule.is_required,
    )


def _check_list(post_type: PostType, content: PostContent) -> None:
    field = "post_content"
    if content != PostContent(posts=content.posts, type=content.type):
        raise InvalidInput(field, "a list of posts holds nothing besides posts; move the rest into them")
    if len(content.posts) > MAX_POSTS:
        raise InvalidInput(f"{field}.posts", f"{len(content.posts)} posts; at most {MAX_POSTS} can take turns")
    default = content.type or post_type
    check_all(partial(_check_entry, default, one, f"{field}.posts[{n}]") for n, one in enumerate(content.posts))


def _check_entry(default: PostType, entry: str | PostContent, here: str) -> None:
    if PostContent.of(entry).posts:
        raise InvalidInput(here, "a list of posts cannot stand in a list of posts; write them in one list")
    posts = posts_of(default, entry, here)
    if not posts:
        raise InvalidInput(here, "this post is empty; fill it or remove it")
    check_post(posts[0])
