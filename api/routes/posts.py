"""`/api/posts`: the posts that take turns, one by one. They are the config's `post_content`."""

from typing import Annotated

from fastapi import Body, Path
from starlette.responses import Response

from api.openapi.document import json_answer, problems, shows
from api.routes.dependencies import Caller, Context
from api.routes.router import resource
from api.services.config import config_headers
from api.services.config_changes import AddPost, DeletePost, ReplacePost, post_at, posts_in
from api.services.config_fields import IfMatch, PostBody
from api.services.users import get_user
from api.views.groups import PostsView, PostView
from core.models import PostContent, User

routes = resource("/api/posts", tags=["posts"])
Place = Annotated[int, Path(ge=0, lt=1_000_000, description="Its place, from 0.")]
Post = Annotated[PostBody, Body()]


@routes.get(
    "",
    responses={200: shows(PostsView, "The posts, with the config's ETag."), **problems(401, 403, 503)},
)
async def every(caller: Caller, context: Context) -> Response:
    """The caller's posts in the order of their turns."""
    return _all(get_user(context, caller.user_id))


@routes.post(
    "",
    status_code=201,
    responses={201: shows(PostView, "The new post, last in turn."), **problems(401, 403, 409, 412, 422, 503)},
)
async def add(caller: Caller, context: Context, post: Post, if_match: IfMatch = None) -> Response:
    """Add a post behind the others."""
    user = (await context.config.change(caller.user_id, AddPost(post), if_match)).after
    return _one(user, len(posts_in(user)) - 1, 201)


@routes.get(
    "/{n}",
    responses={200: shows(PostView, "The post, with the config's ETag."), **problems(401, 403, 404, 422, 503)},
)
async def read(caller: Caller, context: Context, n: Place) -> Response:
    """One of the caller's posts."""
    return _one(get_user(context, caller.user_id), n)


@routes.put(
    "/{n}",
    responses={200: shows(PostView, "The post as it is now."), **problems(401, 403, 404, 409, 412, 422, 503)},
)
async def put(caller: Caller, context: Context, n: Place, post: Post, if_match: IfMatch = None) -> Response:
    """Put another post in the place of one."""
    return _one((await context.config.change(caller.user_id, ReplacePost(n, post), if_match)).after, n)


@routes.delete(
    "/{n}",
    responses={200: shows(PostsView, "The posts that are left."), **problems(401, 403, 404, 409, 412, 422, 503)},
)
async def delete(caller: Caller, context: Context, n: Place, if_match: IfMatch = None) -> Response:
    """Remove a post; those behind it move up. `If-Match` prevents deleting another post than the one seen."""
    return _all((await context.config.change(caller.user_id, DeletePost(n), if_match)).after)


def _view(user: User, n: int, post: str | PostContent) -> PostView:
    content = user.post_content
    everyones = content.type if isinstance(content, PostContent) else None
    own = post.type if isinstance(post, PostContent) else None
    return PostView(n=n, type=own or everyones or user.post_type, content=post)


def _one(user: User, n: int, status: int = 200) -> Response:
    headers = {"Location": f"/api/posts/{n}"} if status == 201 else {}
    return json_answer(_view(user, n, post_at(posts_in(user), n)), status, {**config_headers(user), **headers})


def _all(user: User) -> Response:
    posts = posts_in(user)
    view = PostsView(
        posts=[_view(user, n, post) for n, post in enumerate(posts)],
        next=user.cycles % len(posts) if posts else None,
    )
    return json_answer(view, headers=config_headers(user))
