"""`/api/preview`: what the next cycle would do, without posting."""

from starlette.responses import Response

from api.openapi.document import json_answer, problems, shows
from api.requests.concurrency_limits import Kind
from api.routes.dependencies import Caller, Context
from api.routes.router import resource
from api.services.config_fields import ConfigPatch
from api.services.users import get_user
from bot.preflight.report import Preflight

routes = resource("/api/preview", tags=["preview"])


@routes.post(
    "",
    responses={200: shows(Preflight, "What the next cycle would do."), **problems(401, 403, 409, 422, 503)},
)
async def preview(caller: Caller, context: Context, changes: ConfigPatch | None = None) -> Response:
    """The rendered post, and for every group which accounts can post there, which will, or why none. Posts nothing.

    With a body it shows the same for a changed config, without storing it.
    """
    user = get_user(context, caller.user_id)
    with context.limiter.place(Kind.WORK, caller.user_id):
        wanted = context.config.applied(user, changes) if changes else user
        found = await context.bots.preflight(caller.user_id, wanted)
    return json_answer(found)
