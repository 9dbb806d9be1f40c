"""`/api/admin/users`: the service's users, and what an operator does for one or against one."""

import re
from typing import Annotated

from fastapi import Query
from msgspec.structs import replace
from pydantic import AfterValidator, Field, SecretStr
from starlette.responses import Response

from api.context import ApiContext
from api.openapi.document import json_answer, problems, shows
from api.routes.dependencies import Admin, Context, UserId
from api.routes.router import RequestBody, resource
from api.security.passwords import MAX_LENGTH
from api.security.tokens import OPERATOR, check_user_id
from api.services.users import create_user
from api.state.cache import dated
from api.views.admin import UserLine, UserList
from api.views.base import AllowanceOverview, AllowanceView, BotChangeView, PasswordView, allowance_view
from api.views.state import StateView
from bot.pacing.budget import budget_of
from core.errors import UnknownUser
from core.models import Allowance, BotStatus, Event, Grant, User
from data.users.data_manager import Transaction

routes = resource("/api/admin", tags=["admin"])
_MOST_POSTS = 1_000_000_000
_NO_TOKEN = "every token until now is refused"  # noqa: S105  what is said of tokens
_MONTH = r"^\d{4}-(0[1-9]|1[0-2])$"


def _not_none_at_all(posts: int) -> int:
    if posts == 0:
        raise ValueError("write how many more, or with a minus how many fewer; 0 changes nothing")
    return posts


def _month(written: str) -> str:
    if not re.fullmatch(_MONTH, written, re.ASCII):
        raise ValueError("write it as YYYY-MM, for example 2026-03")
    return written


Posts = Annotated[int, Field(ge=-1_000_000, le=1_000_000, strict=True), AfterValidator(_not_none_at_all)]
Month = Annotated[str, AfterValidator(_month), Field(json_schema_extra={"pattern": _MONTH})]


class NewPassword(RequestBody):
    """A password for our own logins, and what whoever knows it may do."""

    password: SecretStr = Field(max_length=MAX_LENGTH)
    operator: bool = Field(default=False, strict=True)


class GrantRequest(RequestBody):
    """More posts for one user in one month; a negative number takes some back."""

    posts: Posts
    month: Month | None = None
    """Such as 2026-03; left out: the month it is in the user's time zone."""
    note: Annotated[str, Field(max_length=500)] = ""


class AllowanceChange(RequestBody):
    """How many posts a user may make; null: what the settings say for everybody."""

    per_day: Annotated[int | None, Field(ge=0, le=_MOST_POSTS, strict=True)]
    per_month: Annotated[int | None, Field(ge=0, le=_MOST_POSTS, strict=True)]


@routes.get(
    "/users",
    responses={200: shows(UserList, "A page of users."), **problems(401, 403, 422)},
)
async def users(
    _: Admin,
    context: Context,
    after: Annotated[str, Query(max_length=128, description="`next_after` of the page before this one.")] = "",
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
    status: Annotated[BotStatus | None, Query(description="Only users whose bot is in that status.")] = None,
) -> Response:
    """Users in the order of their ids."""
    everybody = context.store.snapshot.users
    names = sorted(
        name for name, user in everybody.items() if name > after and (status is None or user.bot_status is status)
    )
    lines = [_line(name, everybody[name], context) for name in names[:limit]]
    following = lines[-1].user_id if len(names) > limit else None
    return json_answer(UserList(items=lines, next_after=following))


@routes.get(
    "/users/{user_id}",
    responses={200: shows(StateView, "Everything the user's dashboard shows."), **problems(401, 403, 404, 422, 503)},
)
async def user(_: Admin, context: Context, user_id: UserId) -> Response:
    """One user with everything: bot, accounts, config, groups, allowance, counters, log."""
    _known(context, user_id)
    body = (await context.state_cache.of(user_id)).body
    return Response(dated(body, context.state_cache.time), media_type="application/json")


@routes.put(
    "/users/{user_id}",
    status_code=201,
    responses={
        201: shows(UserLine, "Made, with every default."),
        200: shows(UserLine, "The user was there; nothing changed."),
        **problems(401, 403, 422, 503),
    },
)
async def make(admin: Admin, context: Context, user_id: UserId) -> Response:
    """Make a user, so that a password can be set, or where unknown ones are refused."""
    user, fresh = await create_user(context, check_user_id(user_id))
    admin.note("make_user", user_id, before=None if fresh else "there", after="there")
    return json_answer(_line(user_id, user, context), 201 if fresh else 200)


@routes.post(
    "/users/{user_id}/stop",
    status_code=202,
    responses={
        202: shows(BotChangeView, "Stopping or stopped."),
        200: shows(BotChangeView, "It did not run."),
        **problems(401, 403, 404, 422, 503),
    },
)
async def stop(admin: Admin, context: Context, user_id: UserId) -> Response:
    """Stop a user's bot after the post in flight."""
    before = _known(context, user_id).bot_status
    change = await context.bots.stop(user_id, now=True)
    admin.note("stop", user_id, before=before, after=change.status)
    view = BotChangeView(bot_status=change.status, changed=change.changed, message=change.text)
    return json_answer(view, 202 if change.changed else 200)


@routes.put(
    "/users/{user_id}/password",
    responses={
        200: shows(PasswordView, "Set; every token of the user until now is ended."),
        **problems(401, 403, 404, 422, 503),
    },
)
async def set_password(admin: Admin, context: Context, user_id: UserId, body: NewPassword) -> Response:
    """Let a user log in with a password, and end every token they have.

    Access and refresh tokens made until now are refused, whoever issued them. A user who is not there is made first:
    `PUT /api/admin/users/{user_id}`.
    """
    _known(context, user_id)
    roles = frozenset({OPERATOR} if body.operator else ())
    await context.issuer.set_password(user_id, body.password.get_secret_value(), roles)
    admin.note("set_password", user_id, after={"roles": sorted(roles), "tokens": _NO_TOKEN})
    return json_answer(PasswordView.of_user(user_id))


@routes.post(
    "/users/{user_id}/logout",
    status_code=204,
    responses={204: {"description": "Every token of the user is ended."}, **problems(401, 403, 422, 503)},
)
async def log_out(admin: Admin, context: Context, user_id: UserId) -> Response:
    """End every token a user has now. A caller who only reads has tokens without being a user here."""
    check_user_id(user_id)
    await context.revocations.log_out_everywhere(user_id)
    admin.note("logout", user_id, after=_NO_TOKEN)
    return Response(status_code=204)


@routes.get(
    "/allowances",
    responses={200: shows(AllowanceOverview, "Every user's allowance."), **problems(401, 403, 503)},
)
async def allowances(_: Admin, context: Context) -> Response:
    """Everybody's use of this month."""
    now = context.clock.now()
    budgets = {
        name: budget_of(user, context.settings, now) for name, user in sorted(context.store.snapshot.users.items())
    }
    uses = await context.journal.allowance_overview(budgets)
    return json_answer(AllowanceOverview(users={name: allowance_view(use) for name, use in uses.items()}))


@routes.get(
    "/users/{user_id}/allowance",
    responses={200: shows(AllowanceView, "With its history and grants."), **problems(401, 403, 404, 422, 503)},
)
async def allowance(_: Admin, context: Context, user_id: UserId) -> Response:
    """What a user used and has left."""
    return json_answer(await _allowance(context, user_id))


@routes.put(
    "/users/{user_id}/allowance",
    responses={200: shows(AllowanceView, "Set; it counts from the next cycle."), **problems(401, 403, 404, 422, 503)},
)
async def set_allowance(admin: Admin, context: Context, user_id: UserId, body: AllowanceChange) -> Response:
    """Set how many posts a user may make a day and a month."""
    wanted = Allowance(per_day=body.per_day, per_month=body.per_month)

    def change(tx: Transaction) -> Allowance:
        before = tx.user(user_id)
        tx.put_user(user_id, replace(before, allowance=wanted))
        return before.allowance

    before = await context.store.transact(change)
    admin.note("set_allowance", user_id, before=_limits(before), after=_limits(wanted))
    seen = await _allowance(context, user_id)
    if wanted != before:
        text = f"An operator set the allowance: {seen.per_day} posts a day, {seen.per_month} a month"
        await context.bots.tell(user_id, "allowance_set", text)
    return json_answer(seen)


@routes.post(
    "/users/{user_id}/grants",
    status_code=201,
    responses={201: shows(AllowanceView, "Granted."), **problems(401, 403, 404, 422, 503)},
)
async def grant(admin: Admin, context: Context, user_id: UserId, given: GrantRequest) -> Response:
    """Let a user make more posts in one month."""
    user, now = _known(context, user_id), context.clock.now()
    month = given.month or f"{budget_of(user, context.settings, now).day:%Y-%m}"
    before = await _granted(context, user_id, month)
    by = admin.operator.user_id
    granted = Grant(user=user_id, month=month, posts=given.posts, at=now, by=by, note=given.note)
    what = f"granted {given.posts} posts for" if given.posts > 0 else f"took back {-given.posts} posts of"
    text = f"An operator {what} {month}" + (f": {given.note}" if given.note else "")
    # One commit: an operator who learns that it was not made would make it twice.
    await context.journal.grant(granted, Event(at=now, user=user_id, action="allowance_granted", text=text))
    after = await _granted(context, user_id, month)
    admin.note("grant", user_id, before={"month": month, "granted": before}, after={"month": month, "granted": after})
    return json_answer(await _allowance(context, user_id), 201)


def _known(context: ApiContext, user_id: str) -> User:
    user = context.store.snapshot.users.get(user_id)
    if user is None:
        raise UnknownUser(f"there is no user {user_id!r}; an operator makes one with PUT /api/admin/users/{{user_id}}")
    return user


def _line(name: str, user: User, context: ApiContext) -> UserLine:
    stats = context.journal.stats(name)
    return UserLine.of(
        user,
        user_id=name,
        groups=len(user.groups),
        assigned_sessions=len(user.assigned_sessions),
        banned_sessions=len(user.banned_sessions),
        total_success=stats.total_success,
        total_failures=stats.total_failures,
    )


def _limits(allowance: Allowance) -> dict[str, int | None]:
    return {"per_day": allowance.per_day, "per_month": allowance.per_month}


async def _granted(context: ApiContext, user_id: str, month: str) -> int:
    _, grants = await context.journal.allowance_history(user_id)
    return sum(grant.posts for grant in grants if grant.month == month)


async def _allowance(context: ApiContext, user_id: str) -> AllowanceView:
    use = await context.journal.allowance(
        user_id, budget_of(_known(context, user_id), context.settings, context.clock.now())
    )
    days, grants = await context.journal.allowance_history(user_id)
    return allowance_view(use, days, grants)
