"""`/api/admin`: the service as a whole. The security log notes every change of an operator."""

from collections import Counter
from datetime import UTC, datetime

from pydantic import Field
from starlette.responses import Response

from api.openapi.document import json_answer, problems, shows
from api.routes.dependencies import Admin, Context
from api.routes.router import RequestBody, resource
from api.security.tokens import LONGEST_SECONDS
from api.views.admin import AdminOverview, BanLine, BanList, JobList, WaveLine
from core.errors import InvalidInput
from core.models import SessionState
from data.users.data_manager import Snapshot
from scheduler.overview import JobRun
from sessions.roster.assignment import BAN_WAVE

routes = resource("/api/admin", tags=["admin"])
MOST_LINES = 500
_LONG_AGO = datetime.min.replace(tzinfo=UTC)


class Revocation(RequestBody):
    """A token to refuse: its `jti`, and its `exp` (seconds since 1970)."""

    token_id: str = Field(min_length=1, max_length=200)
    ends: float = Field(gt=0, lt=1e12, strict=True, allow_inf_nan=False)


@routes.get(
    "/overview",
    responses={200: shows(AdminOverview, "The service at a glance."), **problems(401, 403)},
)
async def overview(_: Admin, context: Context) -> Response:
    """Users, accounts and pairs by state, running cycles, who is next, accounts that rest, housekeeping."""
    snapshot, daemon = context.store.snapshot, context.bots.overview()
    sessions = snapshot.sessions.values()
    view = AdminOverview(
        revision=snapshot.revision,
        started_at=daemon.started_at,
        users=dict(Counter(user.bot_status.value for user in snapshot.users.values())),
        sessions=dict(Counter(session.state.value for session in sessions)),
        api_pairs=dict(Counter(str(session.api_id) for session in sessions if session.api_id is not None)),
        running=daemon.running[:MOST_LINES],
        waiting=daemon.waiting,
        next_due_at=daemon.next_due_at,
        resting=daemon.resting[:MOST_LINES],
        connections=daemon.connections,
        streams=context.streams.open,
        tasks=daemon.tasks,
        jobs=daemon.jobs,
    )
    return json_answer(view)


@routes.get(
    "/bans",
    responses={200: shows(BanList, "Bans and waves of them."), **problems(401, 403)},
)
async def bans(_: Admin, context: Context) -> Response:
    """Accounts that were banned: when, why, what replaced them; and bots that a ban wave stopped."""
    snapshot = context.store.snapshot
    waves = [
        WaveLine(user=user_id, bans=len(user.banned_sessions), last_at=user.banned_sessions[-1].at)
        for user_id, user in snapshot.users.items()
        if user.status_reason == BAN_WAVE and user.banned_sessions
    ]
    waves.sort(key=lambda wave: wave.last_at, reverse=True)
    return json_answer(BanList(items=_bans(snapshot), waves=waves))


@routes.get(
    "/jobs",
    responses={200: shows(JobList, "Every job with its last and next run."), **problems(401, 403)},
)
async def jobs(_: Admin, context: Context) -> Response:
    """The daemon's own jobs: last run and its result, next run."""
    return json_answer(JobList(items=context.bots.overview().jobs))


@routes.post(
    "/jobs/{name}/run",
    status_code=202,
    responses={
        202: shows(JobRun, "It begins; `GET /api/admin/jobs` says what came of it."),
        **problems(401, 403, 404, 422, 503),
    },
)
async def run_job(admin: Admin, context: Context, name: str) -> Response:
    """Run a housekeeping job now. It may take minutes. A job that runs already is not started twice."""
    job = context.bots.begin_job(name)
    admin.note("run_job", name, before=job.last_run_at, after="begun")
    return json_answer(job, 202)


@routes.post(
    "/revocations",
    status_code=204,
    responses={204: {"description": "Refused from now on."}, **problems(401, 403, 422, 503)},
)
async def revoke(admin: Admin, context: Context, body: Revocation) -> Response:
    """Refuse one token, whoever issued it."""
    now = context.clock.now().timestamp()
    if not now < body.ends <= now + LONGEST_SECONDS:
        raise InvalidInput("ends", "give the token's `exp`: seconds since 1970, later than now and within ten years")
    await context.revocations.revoke(body.token_id, body.ends)
    admin.note("revoke", body.token_id, after="refused")
    return Response(status_code=204)


def _bans(snapshot: Snapshot) -> list[BanLine]:
    found = [
        BanLine(session=ban.name, user=user_id, at=ban.at, reason=ban.reason, replaced_by=ban.replaced_by)
        for user_id, user in snapshot.users.items()
        for ban in user.banned_sessions
    ]
    noted = {line.session for line in found}
    found += [
        BanLine(session=name, user=None, at=None, reason=session.state_reason, replaced_by=None)
        for name, session in snapshot.sessions.items()
        if session.state is SessionState.BANNED and name not in noted
    ]
    return sorted(found, key=lambda line: (line.at or _LONG_AGO, line.session), reverse=True)
