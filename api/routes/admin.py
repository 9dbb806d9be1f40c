"""`/api/admin`: what operators see and do. Everything changed here stands in the security log."""

from collections import Counter
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request
from pydantic import BaseModel, ConfigDict, Field, SecretStr
from starlette.responses import Response

from api.admin_views import Overview, PoolLine, PoolList, UserLine, UserList
from api.auth import Operator, request_facts
from api.documents import json_answer, problems, shows
from api.issuer import Issuer
from api.passwords import MAX_LENGTH
from api.revocations import Revocations
from api.routes.common import Rooms
from api.security_log import SecurityLog
from api.streams import Streams
from api.tokens import OPERATOR, Identity, check_user_id
from api.views import BotChangeView
from core.errors import UnknownUser
from core.models import BotStatus

routes = APIRouter(prefix="/api/admin", tags=["admin"])
UserId = Annotated[str, Path(min_length=1, max_length=128)]


class NewPassword(BaseModel):
    """A password for our own logins, and what whoever knows it may do."""

    model_config = ConfigDict(extra="forbid")

    password: SecretStr = Field(max_length=MAX_LENGTH)
    operator: bool = Field(default=False, strict=True)


class Revocation(BaseModel):
    """A token to refuse: its `jti`, and when it ends by itself (seconds since 1970)."""

    model_config = ConfigDict(extra="forbid")

    token_id: str = Field(min_length=1, max_length=200)
    ends: float = Field(gt=0, lt=1e12, strict=True, allow_inf_nan=False)


@routes.get(
    "/overview",
    response_class=Response,
    responses={200: shows(Overview, "The service at a glance."), **problems(401, 403)},
)
async def overview(_: Operator, request: Request, rooms: Rooms) -> Response:
    """How much of everything there is."""
    snapshot = rooms.store.snapshot
    streams: Streams = request.app.state.streams
    sessions = snapshot.sessions.values()
    view = Overview(
        revision=snapshot.revision,
        users=len(snapshot.users),
        running=sum(user.bot_status is BotStatus.RUNNING for user in snapshot.users.values()),
        sessions=dict(Counter(str(session.state) for session in sessions)),
        api_pairs=dict(Counter(str(session.api_id) for session in sessions if session.api_id is not None)),
        streams=streams.open,
    )
    return json_answer(view)


@routes.get(
    "/users",
    response_class=Response,
    responses={200: shows(UserList, "A page of users."), **problems(401, 403, 422)},
)
async def users(
    _: Operator,
    rooms: Rooms,
    after: Annotated[str, Query(max_length=128)] = "",
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> Response:
    """Users in the order of their ids."""
    snapshot = rooms.store.snapshot
    names = sorted(name for name in snapshot.users if name > after)
    lines = []
    for name in names[:limit]:
        user, stats = snapshot.users[name], rooms.journal.stats(name)
        lines.append(
            UserLine(
                user_id=name,
                bot_status=user.bot_status,
                status_reason=user.status_reason,
                next_run_at=user.next_run_at,
                groups=len(user.groups),
                assigned_sessions=len(user.assigned_sessions),
                banned_sessions=len(user.banned_sessions),
                total_success=stats.total_success,
                total_failures=stats.total_failures,
            )
        )
    following = lines[-1].user_id if len(names) > limit else None
    return json_answer(UserList(items=lines, next_after=following))


@routes.get(
    "/sessions",
    response_class=Response,
    responses={200: shows(PoolList, "Every account there is."), **problems(401, 403)},
)
async def sessions(_: Operator, rooms: Rooms) -> Response:
    """The pool: which account works for whom, on which API pair, and how it is."""
    snapshot = rooms.store.snapshot
    holders = {name: user_id for user_id, user in snapshot.users.items() for name in user.assigned_sessions}
    lines = [
        PoolLine(
            name=name,
            state=session.state,
            state_reason=session.state_reason,
            api_id=session.api_id,
            owner=session.owner,
            assigned_to=holders.get(name),
            resting_until=session.hold.until if session.hold else None,
        )
        for name, session in sorted(snapshot.sessions.items())
    ]
    return json_answer(PoolList(items=lines))


@routes.post(
    "/users/{user_id}/stop",
    status_code=202,
    response_class=Response,
    responses={
        202: shows(BotChangeView, "Stopping or stopped."),
        200: shows(BotChangeView, "It did not run."),
        **problems(401, 403, 404, 422, 503),
    },
)
async def stop(operator: Operator, request: Request, rooms: Rooms, user_id: UserId) -> Response:
    """Stop a user's bot after the post in flight."""
    user = rooms.store.snapshot.users.get(user_id)
    if user is None:
        raise UnknownUser("There is no such user")
    change = await rooms.bots.stop(user_id, now=True)
    _note(request, operator, "stop", user_id, before=user.bot_status, after=change.status)
    view = BotChangeView(bot_status=change.status, changed=change.changed, message=change.text)
    return json_answer(view, 202 if change.changed else 200)


@routes.put(
    "/users/{user_id}/password",
    status_code=204,
    response_class=Response,
    responses={
        204: {"description": "Set; what an older one opened is ended."},
        **problems(401, 403, 422, 503),
    },
)
async def set_password(operator: Operator, request: Request, user_id: UserId, body: NewPassword) -> Response:
    """Let somebody log in with a password."""
    issuer: Issuer = request.app.state.issuer
    roles = frozenset({OPERATOR} if body.operator else ())
    await issuer.set_password(user_id, body.password.get_secret_value(), roles)
    _note(request, operator, "set_password", user_id, after=sorted(roles))
    return Response(status_code=204)


@routes.post(
    "/users/{user_id}/logout",
    status_code=204,
    response_class=Response,
    responses={204: {"description": "Every token of the user is ended."}, **problems(401, 403, 422, 503)},
)
async def log_out(operator: Operator, request: Request, user_id: UserId) -> Response:
    """End every token a user has now."""
    check_user_id(user_id)
    revocations: Revocations = request.app.state.revocations
    await revocations.log_out_everywhere(user_id)
    _note(request, operator, "logout", user_id)
    return Response(status_code=204)


@routes.post(
    "/revocations",
    status_code=204,
    response_class=Response,
    responses={204: {"description": "Refused from now on."}, **problems(401, 403, 422, 503)},
)
async def revoke(operator: Operator, request: Request, body: Revocation) -> Response:
    """Refuse one token, whoever issued it."""
    revocations: Revocations = request.app.state.revocations
    await revocations.revoke(body.token_id, body.ends)
    _note(request, operator, "revoke", body.token_id)
    return Response(status_code=204)


def _note(
    request: Request, operator: Identity, what: str, about: str, *, before: object = None, after: object = None
) -> None:
    security: SecurityLog = request.app.state.security
    facts = {"target": about, "before": before, "after": after}
    address = request_facts(request.scope)
    security.note(
        f"operator_{what}",
        f"An operator did: {what}",
        user=operator.user_id,
        address=address["address"],
        agent=address["agent"],
        request_id=address["request_id"],
        **facts,
    )
