"""`/api/allowance`: how many posts the caller may still make."""

from starlette.responses import Response

from api.openapi.document import json_answer, problems, shows
from api.routes.dependencies import Caller, Context
from api.routes.router import resource
from api.services.users import get_user
from api.views.base import AllowanceView, allowance_view
from bot.pacing.budget import budget_of

routes = resource(tags=["allowance"])


@routes.get(
    "/api/allowance",
    responses={
        200: shows(AllowanceView, "What is used and what is left, with its history."),
        **problems(401, 403, 503),
    },
)
async def own_allowance(caller: Caller, context: Context) -> Response:
    """The caller's allowance: used, reserved, left, a day's history and grants."""
    user = get_user(context, caller.user_id)
    use = await context.journal.allowance(caller.user_id, budget_of(user, context.settings, context.clock.now()))
    days, grants = await context.journal.allowance_history(caller.user_id)
    return json_answer(allowance_view(use, days, grants))
