"""`/api/allowance`: how many posts the caller may still make. `/api/operator/allowances`: everybody's, and grants."""

from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from api.auth import Caller, Operator
from api.documents import json_answer, problems, shows
from api.routes.common import Rooms
from api.users import known_user
from api.views import AllowanceOverview, AllowanceView, allowance_view
from bot.allowance import budget_of
from core.errors import UnknownUser
from core.models import Event, Grant

routes = APIRouter(tags=["allowance"])


class GrantRequest(BaseModel):
    """More posts for one user in one month; a negative number takes some back."""

    model_config = ConfigDict(extra="forbid")

    posts: Annotated[int, Field(ge=-1_000_000, le=1_000_000, strict=True)]
    month: Annotated[str | None, Field(pattern=r"^\d{4}-(0[1-9]|1[0-2])$")] = None
    """Such as 2026-03; left out: the month it is in the user's time zone."""
    note: Annotated[str, Field(max_length=500)] = ""


@routes.get(
    "/api/allowance",
    response_class=Response,
    responses={
        200: shows(AllowanceView, "What is used and what is left, with its history."),
        **problems(401, 403, 503),
    },
)
async def own_allowance(caller: Caller, rooms: Rooms) -> Response:
    """The caller's allowance: used, reserved, left, a day's history and grants."""
    user = await known_user(rooms, caller.user_id)
    use = await rooms.journal.allowance(caller.user_id, budget_of(user, rooms.settings, rooms.clock.now()))
    days, grants = await rooms.journal.allowance_history(caller.user_id)
    return json_answer(allowance_view(use, days, grants))


@routes.get(
    "/api/operator/allowances",
    response_class=Response,
    responses={200: shows(AllowanceOverview, "Every user's allowance."), **problems(401, 403, 503)},
)
async def overview(operator: Operator, rooms: Rooms) -> Response:  # noqa: ARG001  it is who may ask
    """Everybody's use of this month, for an operator."""
    now = rooms.clock.now()
    budgets = {
        user_id: budget_of(user, rooms.settings, now) for user_id, user in sorted(rooms.store.snapshot.users.items())
    }
    uses = await rooms.journal.allowance_overview(budgets)
    return json_answer(AllowanceOverview(users={user_id: allowance_view(use) for user_id, use in uses.items()}))


@routes.post(
    "/api/operator/allowances/{user_id}/grants",
    status_code=201,
    response_class=Response,
    responses={201: shows(AllowanceView, "Granted."), **problems(401, 403, 404, 422, 503)},
)
async def grant(user_id: str, given: GrantRequest, operator: Operator, rooms: Rooms) -> Response:
    """Let a user make more posts in one month."""
    user = rooms.store.snapshot.users.get(user_id)
    if user is None:
        raise UnknownUser(f"there is no user {user_id!r}")
    now = rooms.clock.now()
    budget = budget_of(user, rooms.settings, now)
    month = given.month or f"{budget.day:%Y-%m}"
    await rooms.journal.grant(
        Grant(user=user_id, month=month, posts=given.posts, at=now, by=operator.user_id, note=given.note)
    )
    text = f"An operator granted {given.posts} posts for {month}" + (f": {given.note}" if given.note else "")
    await rooms.journal.add_event(Event(at=now, user=user_id, action="allowance_granted", text=text))
    days, grants = await rooms.journal.allowance_history(user_id)
    return json_answer(allowance_view(await rooms.journal.allowance(user_id, budget), days, grants), 201)
