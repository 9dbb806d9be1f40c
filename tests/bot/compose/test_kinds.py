"""Every kind of post in the register is checked, worded, shown, allowed, requested and found by its own handler."""

from datetime import UTC, datetime

import msgspec
import pytest

from bot.compose.content import check_post, render_for_group
from bot.compose.kinds.base import Right
from bot.compose.kinds.poll import PUBLIC_VOTES
from bot.compose.kinds.register import KINDS
from bot.compose.post import Post, RenderContext
from bot.compose.rights import concerns, rights_needed
from bot.reactions.table import BY_CODE
from core.errors import InvalidInput
from core.models import PostContent, PostType
from tests.bot.compose.examples import EXAMPLES, POSTS

CONTEXT = RenderContext("Chess", datetime(2026, 3, 2, 9, 5, tzinfo=UTC), 7)
every_kind = pytest.mark.parametrize("kind", PostType)


def test_every_kind_of_the_model_has_a_handler_and_an_example() -> None:
    assert set(KINDS) == set(EXAMPLES) == set(PostType)


@every_kind
def test_its_example_is_accepted(kind: PostType) -> None:
    check_post(POSTS[kind])


@every_kind
def test_a_mistake_in_it_is_refused_with_the_field_where_it_stands(kind: PostType) -> None:
    content, field = EXAMPLES[kind].mistake
    with pytest.raises(InvalidInput) as refused:
        check_post(Post(kind, content, "post_content.posts[2]"))
    assert refused.value.field.startswith(f"post_content.posts[2].{field}")


@every_kind
def test_a_post_without_anything_of_its_kind_is_refused(kind: PostType) -> None:
    with pytest.raises(InvalidInput):
        check_post(Post(kind, PostContent(silent=True)))


@every_kind
@pytest.mark.parametrize("other", PostType)
def test_what_belongs_to_another_kind_is_refused(kind: PostType, other: PostType) -> None:
    if foreign := KINDS[other].own_fields - KINDS[kind].own_fields:
        (name,) = foreign
        content = msgspec.structs.replace(POSTS[kind].content, **{name: getattr(POSTS[other].content, name)})
        with pytest.raises(InvalidInput, match=f"has no {name}"):
            check_post(Post(kind, content))


@every_kind
def test_everything_people_read_of_it_is_filled_in_for_the_group(kind: PostType) -> None:
    worded = EXAMPLES[kind].worded
    assert (worded is not None) or not KINDS[kind].text.is_taken
    if worded is not None:
        rendered = render_for_group(Post(kind, worded), CONTEXT)
        said = msgspec.json.encode(msgspec.structs.replace(rendered.post.content, text=rendered.text.text)).decode()
        assert "{n}" not in said
        assert said.count("7") == msgspec.json.encode(worded).decode().count("{n}")


def test_a_preview_tells_each_from_the_others() -> None:
    said = {kind: KINDS[kind].summary(post.content) for kind, post in POSTS.items()}
    assert all(said.values())
    assert len(set(said.values())) == len(PostType)


@every_kind
def test_a_refusal_of_one_kind_says_nothing_of_another(kind: PostType) -> None:
    rights = KINDS[kind].rights(POSTS[kind].content)
    about_it = {right.code for right in Right if concerns(right.code, POSTS[kind])}
    assert about_it == {right.code for right in (Right if rights is None else rights)}
    assert about_it, "there is always something a group can forbid"
    assert rights_needed(POSTS[kind])[0] == "send_messages"


@every_kind
def test_a_preview_can_tell_of_a_post_that_would_be_refused(kind: PostType) -> None:
    empty = Post(kind, PostContent(silent=True))
    assert KINDS[kind].summary(empty.content)
    assert (KINDS[kind].files(empty.content), KINDS[kind].refused_in_channels(empty.content)) == ((), None)
    assert rights_needed(empty)


def test_a_channel_that_takes_anonymous_polls_alone_is_no_obstacle_to_them() -> None:
    anonymous = POSTS[PostType.POLL]
    assert anonymous.content.poll is not None
    public = msgspec.structs.replace(anonymous.content.poll, anonymous=False)
    assert concerns(PUBLIC_VOTES, Post(PostType.POLL, PostContent(poll=public)))
    assert not any(concerns(PUBLIC_VOTES, POSTS[kind]) for kind in (PostType.POLL, PostType.TEXT, PostType.ALBUM))


def test_every_right_that_can_be_missing_has_its_refusal_in_the_table() -> None:
    assert {right.code for right in Right} <= BY_CODE.keys()
