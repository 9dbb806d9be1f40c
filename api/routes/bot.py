"""`/api/bot`: start, stop, status."""

from enum import StrEnum

from starlette.responses import Response

from api.openapi.document import json_answer, problems, shows
from api.routes.dependencies import Caller, Context
from api.routes.router import RequestBody, resource
from api.services.users import NEW_USER, get_user
from api.views.base import BotChangeView, BotView, bot_view
from bot.cycle.runner import check_ready
from scheduler.bots import NOT_RUNNING, BotChange

routes = resource("/api/bot", tags=["bot"])


class StopMode(StrEnum):
    """How a bot stops."""

    GRACEFUL = "graceful"
    NOW = "now"


class StopRequest(RequestBody):
    """How to stop: `graceful` finishes the current cycle, `now` only the post in flight."""

    mode: StopMode = StopMode.GRACEFUL


@routes.post(
    "/start",
    status_code=202,
    responses={
        202: shows(BotChangeView, "Started; durable before this answer."),
        200: shows(BotChangeView, "It already ran; nothing changed."),
        **problems(401, 403, 409, 503),
    },
)
async def start(caller: Caller, context: Context) -> Response:
    """Start the caller's bot. Accounts are assigned at the first start."""
    if get_user(context, caller.user_id) is NEW_USER:
        check_ready(NEW_USER)  # a refusal changes nothing and makes no user
    return _answer(await context.bots.start(caller.user_id))


@routes.post(
    "/stop",
    status_code=202,
    responses={
        202: shows(BotChangeView, "Stopping or stopped; durable before this answer."),
        200: shows(BotChangeView, "It did not run; nothing changed."),
        **problems(401, 403, 422, 503),
    },
)
async def stop(caller: Caller, context: Context, how: StopRequest | None = None) -> Response:
    """Stop the caller's bot: after the current cycle, or with `now` after the post in flight."""
    if get_user(context, caller.user_id) is NEW_USER:
        return _answer(NOT_RUNNING)
    now = how is not None and how.mode is StopMode.NOW
    return _answer(await context.bots.stop(caller.user_id, now=now))


@routes.get("/status", responses={200: shows(BotView, "What the bot does."), **problems(401, 403, 503)})
async def status(caller: Caller, context: Context) -> Response:
    """What the caller's bot does now."""
    user = get_user(context, caller.user_id)
    return json_answer(bot_view(user, context.bots.progress(caller.user_id)))


def _answer(change: BotChange) -> Response:
    view = BotChangeView(bot_status=change.status, changed=change.changed, message=change.text)
    return json_answer(view, 202 if change.changed else 200)
