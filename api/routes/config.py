"""`/api/config`: what is posted, where and how often."""

import hashlib
from typing import Annotated

import msgspec
from fastapi import APIRouter, Header
from starlette.responses import Response

from api.auth import Caller
from api.config import ConfigPatch
from api.documents import json_answer, problems, shows
from api.problems import PreconditionFailed
from api.routes.common import Rooms
from api.users import known_user
from api.views import ConfigView, config_view
from core.models import User
from data.data_manager import Transaction

routes = APIRouter(prefix="/api/config", tags=["config"])


@routes.get(
    "",
    response_class=Response,
    responses={200: shows(ConfigView, "The config, with an ETag."), **problems(401, 403, 503)},
)
async def read(caller: Caller, rooms: Rooms) -> Response:
    """The caller's config."""
    return _answer(await known_user(rooms, caller.user_id))


@routes.patch(
    "",
    response_class=Response,
    responses={200: shows(ConfigView, "The config after the change."), **problems(401, 403, 412, 422, 503)},
)
async def change(
    caller: Caller,
    rooms: Rooms,
    patch: ConfigPatch,
    if_match: Annotated[
        str | None, Header(description="Change it only if it still is the version of this ETag.")
    ] = None,
) -> Response:
    """Change some fields of the caller's config; all of them or none. A running bot goes by it from its next cycle."""
    await known_user(rooms, caller.user_id)

    def apply(tx: Transaction) -> User:
        before = tx.user(caller.user_id)
        if if_match is not None and if_match.strip() != "*" and _etag(before) not in _tags(if_match):
            raise PreconditionFailed
        user = patch.applied_to(before)
        tx.put_user(caller.user_id, user)
        return user

    user = await rooms.store.transact(apply)
    if patch.moves_runs:
        await rooms.bots.reschedule(caller.user_id)
    return _answer(user)


def _answer(user: User) -> Response:
    return json_answer(config_view(user), headers={"ETag": _etag(user), "Cache-Control": "private, no-cache"})


def _etag(user: User) -> str:
    return f'"{hashlib.blake2b(msgspec.json.encode(config_view(user)), digest_size=8).hexdigest()}"'


def _tags(if_match: str) -> set[str]:
    return {tag.strip() for tag in if_match.split(",")}
