"""`/api/sync`: documents the state's address. The shell answers it before routing (see `api.sync_state`)."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from api.auth import Caller
from api.documents import problems, shows
from api.shell import STATE_PATH
from api.views import StateView

routes = APIRouter(tags=["sync"])


@routes.get(
    STATE_PATH,
    response_class=Response,
    responses={
        200: shows(StateView, "The state, with an ETag."),
        304: {"description": "Nothing moved since the ETag in `If-None-Match`."},
        **problems(401, 503),
    },
)
async def state(caller: Caller, request: Request) -> Response:  # noqa: ARG001  they are what is documented
    """Everything a dashboard needs in one call."""
    raise AssertionError("the shell answers this address")
