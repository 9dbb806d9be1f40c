"""`/api/config`: what is posted, where and how often."""

from starlette.responses import Response

from api.openapi.document import json_answer, problems, shows
from api.routes.dependencies import Caller, Context
from api.routes.router import resource
from api.services.config import config_headers
from api.services.config_fields import ConfigPatch, IfMatch
from api.services.users import get_user
from api.views.base import ConfigView
from core.models import User

routes = resource("/api/config", tags=["config"])


@routes.get(
    "",
    responses={200: shows(ConfigView, "The config, with an ETag."), **problems(401, 403, 503)},
)
async def read(caller: Caller, context: Context) -> Response:
    """The caller's config."""
    return _answer(get_user(context, caller.user_id))


@routes.patch(
    "",
    responses={200: shows(ConfigView, "The config after the change."), **problems(401, 403, 412, 422, 503)},
)
async def change(caller: Caller, context: Context, patch: ConfigPatch, if_match: IfMatch = None) -> Response:
    """Change some fields of the caller's config; all of them or none. A running bot uses them from its next cycle."""
    return _answer((await context.config.change(caller.user_id, patch, if_match)).after)


def _answer(user: User) -> Response:
    return json_answer(ConfigView.of(user), headers=config_headers(user))
