"""`/api/posts`: the posts that take turns, one by one. A view of the config's `post_content`, and no second truth."""

from collections.abc import Callable
from typing import Annotated

from fastapi import Body, Path
from msgspec.structs import replace
from starlette.responses import Response

from api.openapi.document import json_answer, problems, shows
from api.routes.dependencies import Caller, Context
from api.routes.router import resource
from api.services.config import IfMatch, PostBody, change_config, config_headers, with_changes
from api.services.users import get_user
from api.views.groups import PostsView, PostView
from bot.compose.content import posts_of
from core.errors import InvalidInput, NotFound
from core.models import PostContent, User

routes = resource("/api/posts", tags=["posts"])
Entries = tuple[str | PostContent, ...]
Place = Annotated[int, Path(ge=0, lt=1_000_000, description="Its place, from 0.")]
_EXAMPLES = ["Tonight at 7", {"type": "photo", "text": "A cat", "media": [{"file": "8d0c5a1e.jpg"}]}]
Post = Annotated[PostBody, Body(examples=_EXAMPLES)]


@routes.get(
    "",
    response_class=Response,
    responses={200: shows(PostsView, "The posts, with the config's ETag."), **problems(401, 403, 503)},
)
async def every(caller: Caller, context: Context) -> Response:
    """The caller's posts in the order of their turns."""
    return _all(get_user(context, caller.user_id))


@routes.post(
    "",
    status_code=201,
    response_class=Response,
    responses={201: shows(PostView, "The new post, last in turn."), **problems(401, 403, 409, 412, 422, 503)},
)
async def add(caller: Caller, context: Context, post: Post, if_match: IfMatch = None) -> Response:
    """Add a post behind the others."""
    user = await _change(context, caller.user_id, if_match, lambda entries: (*entries, post))
    return _one(user, len(entries_of(user)) - 1, 201)


@routes.get(
    "/{n}",
    response_class=Response,
    responses={200: shows(PostView, "The post, with the config's ETag."), **problems(401, 403, 404, 422, 503)},
)
async def read(caller: Caller, context: Context, n: Place) -> Response:
    """One of the caller's posts."""
    user = get_user(context, caller.user_id)
    _there(entries_of(user), n)
    return _one(user, n)


@routes.put(
    "/{n}",
    response_class=Response,
    responses={200: shows(PostView, "The post as it is now."), **problems(401, 403, 404, 409, 412, 422, 503)},
)
async def put(caller: Caller, context: Context, n: Place, post: Post, if_match: IfMatch = None) -> Response:
    """Put another post in the place of one."""

    def change(entries: Entries) -> Entries:
        _there(entries, n)
        return (*entries[:n], post, *entries[n + 1 :])

    return _one(await _change(context, caller.user_id, if_match, change), n)


@routes.delete(
    "/{n}",
    response_class=Response,
    responses={200: shows(PostsView, "The posts that are left."), **problems(401, 403, 404, 409, 412, 422, 503)},
)
async def delete(caller: Caller, context: Context, n: Place, if_match: IfMatch = None) -> Response:
    """Take a post out; those behind it move up. With `If-Match` nobody deletes another one than they saw."""

    def change(entries: Entries) -> Entries:
        _there(entries, n)
        return (*entries[:n], *entries[n + 1 :])

    return _all(await _change(context, caller.user_id, if_match, change))


def entries_of(user: User) -> Entries:
    """The posts as the config has them; a config that is no list has one, or none."""
    content = user.post_content
    if isinstance(content, PostContent) and content.posts:
        return content.posts
    return () if content in ("", PostContent()) else (content,)


def _with(user: User, entries: Entries) -> User:
    content = user.post_content
    if isinstance(content, PostContent) and content.posts and entries:
        return with_changes(user, {"post_content": replace(content, posts=entries)})
    if any(isinstance(entry, PostContent) and entry.posts for entry in entries):
        raise InvalidInput("body", "one post; a list of posts is set with PATCH /api/config")
    if len(entries) == 1 and not posts_of(user.post_type, entries[0]):
        raise InvalidInput("body", "this post is empty; fill it")
    # A config that holds one post stays the plain thing it was.
    new = PostContent(posts=entries) if len(entries) > 1 else entries[0] if entries else ""
    return with_changes(user, {"post_content": new})


async def _change(context: Context, user_id: str, if_match: str | None, change: Callable[[Entries], Entries]) -> User:
    return await change_config(context, user_id, if_match, lambda user: _with(user, change(entries_of(user))))


def _there(entries: Entries, n: int) -> None:
    if n >= len(entries):
        raise NotFound(f"there is no post {n}; you have {len(entries)}, counted from 0")


def _view(user: User, n: int, entry: str | PostContent) -> PostView:
    content = user.post_content
    everyones = content.type if isinstance(content, PostContent) else None
    own = entry.type if isinstance(entry, PostContent) else None
    return PostView(n=n, type=own or everyones or user.post_type, content=entry)


def _one(user: User, n: int, status: int = 200) -> Response:
    headers = {"Location": f"/api/posts/{n}"} if status == 201 else {}
    return json_answer(_view(user, n, entries_of(user)[n]), status, {**config_headers(user), **headers})


def _all(user: User) -> Response:
    entries = entries_of(user)
    view = PostsView(
        posts=[_view(user, n, entry) for n, entry in enumerate(entries)],
        next=user.cycles % len(entries) if entries else None,
    )
    return json_answer(view, headers=config_headers(user))
