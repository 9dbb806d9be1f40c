"""`/api/sessions/import` and `…/check`: accounts that were logged in elsewhere, and how an account is."""

import asyncio
from typing import Annotated, Any

from fastapi import Query, Request
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from api.openapi.document import json_answer, problems, shows
from api.problems import problem_response, request_id_of
from api.requests.bodies import BOUND_BELOW, bounded_body
from api.requests.concurrency_limits import Kind
from api.routes.dependencies import Accounts, Caller, Context, Facts
from api.routes.router import resource
from api.routes.sessions import own_account
from api.services.users import get_or_create_user
from api.views.sessions import CheckView, ImportedView, ImportView
from bot.health import Health
from core.errors import Forbidden, InvalidInput
from sessions.imports import Importer, Report, Terms, Verdict

routes = resource("/api/sessions", tags=["sessions"])
MOST_BYTES = 8 * 1024 * 1024
"""Sessions hold keys, so an import is kept in memory and never written as it came."""
MOST_SESSIONS = 1_000
_NO_STORE = {"Cache-Control": "no-store"}
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "A `.session` file of Telethon or Pyrogram (Kurigram), a zip of them, or session strings "
        "of those, of GramJS, mtcute or MTKruto.",
        "content": {
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
            "text/plain": {"schema": {"type": "string"}, "example": "1BJWap1wBu…"},
        },
    }
}


@routes.post(
    "/import",
    status_code=201,
    responses={
        201: shows(ImportView, "Some were taken in; the report says which."),
        200: shows(ImportView, "None was taken in; the report says why."),
        **problems(400, 401, 403, 408, 409, 413, 422, 503),
    },
    openapi_extra=_BODY,
    max_body_size=BOUND_BELOW,
)
async def import_sessions(
    caller: Caller,
    request: Request,
    facts: Facts,
    context: Context,
    accounts: Accounts,
    name: Annotated[
        str, Query(max_length=64, description="What a single session is called; a few characters are added.")
    ] = "",
    label: Annotated[str, Query(max_length=80, description="A note for people.")] = "",
    spare: Annotated[bool, Query(description="As spare accounts for everyone (operators only).")] = False,
) -> Response:
    """Take in accounts that were logged in elsewhere; they are the caller's own.

    Each that cannot be used is refused alone; the report says why. Telegram says whose account it is, at its
    first connection or `…/check`. One that is here already under another login is not used then.

    Do not use such a session elsewhere any more: Telegram destroys a key that is used in two places. A repeated request
    finds its accounts here already, so no `Idempotency-Key` is needed.
    """
    if spare and not caller.operator:
        raise Forbidden("Only an operator may import spare accounts")
    if not label.isprintable():
        raise InvalidInput("label", "write it on one line")
    if not spare:
        await get_or_create_user(context, caller.user_id)
    dc = context.settings.dc
    terms = Terms(
        our_dc=dc.dc_id if dc is not None else None,
        owner=None if spare else caller.user_id,
        label=label,
        by_operator=spare,
        most=MOST_SESSIONS,
        most_unconfirmed=None if spare else context.settings.max_unconfirmed_sessions_per_user,
    )
    importer = Importer(accounts.store, accounts.pool, accounts.sessions, accounts.clock)
    with context.limiter.place(Kind.UPLOAD, caller.user_id):
        try:
            content = await bounded_body(request, MOST_BYTES, context.settings.request_timeout_seconds)
        except ClientDisconnect:
            return problem_response(request_id_of(request), 400, detail="The sessions did not arrive whole.")
        async with context.one_import:
            reports = await asyncio.to_thread(importer.take_content, content, name or "imported", terms)
    taken = [report.session for report in reports if report.verdict is Verdict.TAKEN and report.session is not None]
    if taken:
        context.security.note(
            "sessions_imported", "Accounts were imported", user=caller.user_id, sessions=taken, **facts
        )
    view = ImportView(sessions=[_view(report) for report in reports])
    return json_answer(view, 201 if taken else 200, _NO_STORE)


@routes.post(
    "/{name}/check",
    responses={200: shows(CheckView, "How it is."), **problems(401, 403, 404, 409, 422, 503)},
)
async def check(caller: Caller, context: Context, accounts: Accounts, name: str) -> Response:
    """Ask Telegram about an account: whether it is alive, who it is, two-step password, other logins.

    What Telegram says has the consequences it would have in a cycle: a login that has ended is marked so.
    """
    await own_account(accounts, context.journal, caller.user_id, name, operator=caller.operator)
    with context.limiter.place(Kind.WORK, caller.user_id):
        found = await Health.of(accounts, context.journal).check(name)
    return json_answer(CheckView(**{field: getattr(found, field) for field in CheckView.__struct_fields__}))


def _view(report: Report) -> ImportedView:
    return ImportedView(**{field: getattr(report, field) for field in ImportedView.__struct_fields__})
