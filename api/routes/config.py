"""`/api/config`: what is posted, where and how often."""

from fastapi import APIRouter
from starlette.responses import Response

from api.auth import Caller
from api.config import ConfigPatch
from api.documents import json_answer, problems, shows
from api.routes.common import Rooms
from api.users import known_user
from api.views import ConfigView, config_view
from core.models import User
from data.data_manager import Transaction

routes = APIRouter(prefix="/api/config", tags=["config"])


@routes.get("", response_class=Response, responses={200: shows(ConfigView, "The config."), **problems(401, 403, 503)})
async def read(caller: Caller, rooms: Rooms) -> Response:
    """The caller's config."""
    return json_answer(config_view(await known_user(rooms, caller.user_id)))


@routes.patch(
    "",
    response_class=Response,
    responses={200: shows(ConfigView, "The config after the change."), **problems(401, 403, 422, 503)},
)
async def change(caller: Caller, rooms: Rooms, patch: ConfigPatch) -> Response:
    """Change some fields of the caller's config; all of them or none. A running bot goes by it from its next cycle."""
    await known_user(rooms, caller.user_id)

    def apply(tx: Transaction) -> User:
        user = patch.applied_to(tx.user(caller.user_id))
        tx.put_user(caller.user_id, user)
        return user

    user = await rooms.store.transact(apply)
    if patch.moves_runs:
        await rooms.bots.reschedule(caller.user_id)
    return json_answer(config_view(user))
