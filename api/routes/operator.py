"""`/api/operator/status`: what the daemon does, for who runs it."""

from fastapi import APIRouter
from starlette.responses import Response

from api.auth import Operator
from api.documents import json_answer, problems, shows
from api.routes.common import Rooms
from scheduler.overview import Overview

routes = APIRouter(prefix="/api/operator", tags=["operator"])


@routes.get(
    "/status",
    response_class=Response,
    responses={200: shows(Overview, "What the daemon does now."), **problems(401, 403, 503)},
)
async def status(operator: Operator, rooms: Rooms) -> Response:  # noqa: ARG001  it is who may ask
    """Cycles that run, who is due when, accounts that rest, housekeeping."""
    return json_answer(rooms.bots.overview())
