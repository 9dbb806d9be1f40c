"""`/api/groups`: the config's `groups`, one by one, and who can post there."""

from typing import Annotated, Any

from fastapi import Path
from pydantic import Field
from starlette.responses import Response

from api.context import ApiContext
from api.openapi.document import json_answer, problems, shows
from api.requests.concurrency_limits import Kind
from api.routes.dependencies import Caller, Context
from api.routes.router import RequestBody, resource
from api.services.config import config_headers
from api.services.config_changes import AddGroups, RemoveGroup
from api.services.config_fields import ConfigPatch, Groups, IfMatch
from api.services.users import get_user
from api.state.slow_facts import groups_lately
from api.views.groups import GroupChecks, GroupsView
from api.views.state import group_view
from bot.chats.targets import parse_target
from bot.compose.content import posts_of
from core.models import PostType, User

routes = resource("/api/groups", tags=["groups"])
_EXAMPLE = ["@my_channel", "https://t.me/my_forum/12"]


class GroupList(RequestBody):
    """Groups, written in any way."""

    groups: Groups = Field(min_length=1, examples=[_EXAMPLE])


@routes.get(
    "",
    responses={200: shows(GroupsView, "The groups, with the config's ETag."), **problems(401, 403, 503)},
)
async def every(caller: Caller, context: Context) -> Response:
    """The caller's groups: which accounts leave them alone, until when and why, and how posts fared there."""
    return await _answer(context, caller.user_id, get_user(context, caller.user_id))


@routes.post(
    "",
    status_code=201,
    responses={
        201: shows(GroupsView, "All groups, the new ones last."),
        200: shows(GroupsView, "They were on the list already."),
        **problems(401, 403, 409, 412, 422, 503),
    },
)
async def add(caller: Caller, context: Context, body: GroupList, if_match: IfMatch = None) -> Response:
    """Add groups to the end of the list. Those that are on it keep their place."""
    changed = await context.config.change(caller.user_id, AddGroups(tuple(body.groups)), if_match)
    status = 200 if changed.after.groups == changed.before.groups else 201
    return await _answer(context, caller.user_id, changed.after, status)


@routes.delete(
    "/{group:path}",
    responses={200: shows(GroupsView, "The groups that are left."), **problems(401, 403, 404, 409, 412, 422, 503)},
)
async def remove(
    caller: Caller,
    context: Context,
    group: Annotated[str, Path(max_length=200, description="Written in any way; slashes as they are.")],
    if_match: IfMatch = None,
) -> Response:
    """Remove a group from the list, together with its holds."""
    change = RemoveGroup(parse_target(group, "group").text)
    changed = await context.config.change(caller.user_id, change, if_match)
    return await _answer(context, caller.user_id, changed.after)


@routes.post(
    "/check",
    responses={200: shows(GroupChecks, "Group by group, account by account."), **problems(401, 403, 409, 422, 503)},
)
async def check(caller: Caller, context: Context, body: GroupList | None = None) -> Response:
    """Ask Telegram who of the caller's accounts can post where, and why not: rights, membership, slow mode, topics.

    With a body it looks at those groups instead, on the list or not. Nothing is posted or stored. While there is
    nothing to post yet, it is asked for a text.
    """
    user = get_user(context, caller.user_id)
    changes: dict[str, Any] = {} if body is None else {"groups": body.groups}
    if not posts_of(user.post_type, user.post_content):
        changes |= {"post_type": PostType.TEXT, "post_content": "Hello"}
    with context.limiter.place(Kind.WORK, caller.user_id):
        wanted = context.config.applied(user, ConfigPatch(**changes)) if changes else user
        found = await context.bots.preflight(caller.user_id, wanted)
    checks = GroupChecks(
        groups=found.groups,
        accounts=found.accounts,
        rights_needed=list(found.rights_needed),
        problems=found.problems,
    )
    return json_answer(checks)


async def _answer(context: ApiContext, user_id: str, user: User, status: int = 200) -> Response:
    counts = await groups_lately(context, user_id)
    now = context.clock.now()
    groups = [group_view(name, user.group_holds.get(name, {}), counts.get(name), now) for name in user.groups]
    return json_answer(GroupsView(groups=groups), status, config_headers(user))
