"""`/api/preview`: what the next cycle would do, without posting."""

from fastapi import Request
from starlette.responses import Response

from api.openapi.document import json_answer, problems, shows
from api.requests.concurrency_limits import Kind, expensive
from api.routes.common import Context
from api.routes.router import resource
from api.security.authentication import Caller
from api.services.config import ConfigPatch
from api.services.users import seen_user
from bot.preflight.report import Preflight

routes = resource("/api/preview", tags=["preview"])


@routes.post(
    "",
    response_class=Response,
    responses={200: shows(Preflight, "What the next cycle would do."), **problems(401, 403, 409, 422, 503)},
)
async def preview(caller: Caller, request: Request, rooms: Context, changes: ConfigPatch | None = None) -> Response:
    """The rendered post, and for every group who can post there, who will, or why nobody does. Nothing is posted.

    With a body it shows what would be if the config were changed so; nothing is stored.
    """
    user = seen_user(rooms, caller.user_id)
    with expensive(request, Kind.WORK, caller.user_id):
        found = await rooms.bots.preflight(
            caller.user_id, changes.applied_to(user, rooms.settings) if changes else user
        )
    return json_answer(found)
