"""`/api/me`: who the caller is, by their token."""

from datetime import UTC, datetime

from starlette.responses import Response

from api.openapi.document import json_answer, problems, shows
from api.routes.dependencies import Caller
from api.routes.router import resource
from api.views.base import MeView

routes = resource("/api/me", tags=["auth"])


@routes.get("", responses={200: shows(MeView, "The caller."), **problems(401, 403)})
async def me(caller: Caller) -> Response:
    """What the token says of its holder."""
    view = MeView(
        user_id=caller.user_id,
        roles=sorted(caller.roles),
        scopes=None if caller.scopes is None else sorted(caller.scopes),
        expires_at=datetime.fromtimestamp(caller.expires_at, UTC),
    )
    return json_answer(view)
