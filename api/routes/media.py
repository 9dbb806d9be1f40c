"""`/api/media`: the caller's files, which posts name."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Any, BinaryIO
from urllib.parse import quote

from fastapi import Query, Request
from starlette.requests import ClientDisconnect
from starlette.responses import Response, StreamingResponse

from api.openapi.document import json_answer, problems, shows
from api.problems import problem_response, request_id_of, response_to
from api.requests.bodies import BOUND_BELOW, declared_size, pieces_of
from api.requests.concurrency_limits import Kind
from api.routes.dependencies import Caller, Context, DownloadTicket, Facts, redeem
from api.routes.router import resource
from api.security.tickets import Purpose
from api.services.media import MediaPage, MediaView, media_view, receive, uses_now
from api.services.users import get_or_create_user, get_user
from core.errors import (
    FileInUse,
    InvalidInput,
    NotRead,
    QuotaUsedUp,
    TooLarge,
    TooMany,
    TooSlow,
    UnsupportedMedia,
)
from data.media.formats import FORMATS
from data.media.store import StoredFile

routes = resource("/api/media", tags=["media"])
_PIECE = 64 * 1024
_REFUSALS = (InvalidInput, NotRead, QuotaUsedUp, TooLarge, TooMany, TooSlow, UnsupportedMedia)
_ANY = "application/octet-stream"
_BINARY = {"schema": {"type": "string", "format": "binary"}}
_UPLOAD: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "The file itself, as it is: no form, no base64. Its type is found out from its content.",
        "content": {_ANY: _BINARY},
    }
}


@routes.get("", responses={200: shows(MediaPage, "The files."), **problems(401, 403, 503)})
async def every(caller: Caller, context: Context) -> Response:
    """The caller's files by name: how large, of what kind, which posts use them; and how much room is left."""
    user, files = get_user(context, caller.user_id), context.media
    found = await asyncio.to_thread(files.files, caller.user_id)
    space = await asyncio.to_thread(files.space, caller.user_id)
    page = MediaPage(
        files=[media_view(file, user) for file in found],
        quota=space.quota,
        used=space.used,
        arriving=space.arriving,
        left=space.left,
        largest=files.largest,
    )
    return json_answer(page)


@routes.post(
    "",
    status_code=201,
    responses={
        201: shows(MediaView, "Taken; `name` is what posts call it."),
        200: shows(MediaView, "The same content was there already; nothing more is used up."),
        **problems(400, 401, 403, 408, 409, 413, 415, 422, 503),
    },
    openapi_extra=_UPLOAD,
    max_body_size=BOUND_BELOW,
)
async def upload(
    caller: Caller,
    request: Request,
    context: Context,
    facts: Facts,
    label: Annotated[
        str | None, Query(max_length=255, description="What people call it; its suffix becomes that of its content.")
    ] = None,
) -> Response:
    """Upload a file: the request's body is the file. Room for it is reserved before its first byte is taken.

    No `Idempotency-Key` is needed: the name comes from the content, so the same file sent again is the same file.
    """
    try:
        file, fresh = await _taken(caller.user_id, request, context, label)
    except ClientDisconnect:
        return problem_response(request_id_of(request), 400, detail="The file did not arrive whole.")
    except _REFUSALS as error:
        context.security.refusal(
            "upload_refused", "An upload was refused", user=caller.user_id, reason=error.code, **facts
        )
        answer = response_to(error, request_id_of(request))
        # Nobody reads the rest of the body. Without this header the server would read and discard it.
        answer.headers["Connection"] = "close"
        return answer
    user = get_user(context, caller.user_id)
    location = {"Location": f"/api/media/{file.name}"}
    return json_answer(media_view(file, user), 201 if fresh else 200, location)


async def _taken(user_id: str, request: Request, context: Context, label: str | None) -> tuple[StoredFile, bool]:
    with context.limiter.place(Kind.UPLOAD, user_id):
        await get_or_create_user(context, user_id)
        arrival = await asyncio.to_thread(context.media.begin, user_id, declared_size(request))
        try:
            await receive(arrival, pieces_of(request, context.settings.request_timeout_seconds))
            return await context.inspector.keep(arrival, label)
        finally:
            arrival.close()


@routes.get(
    "/{name}",
    responses={200: shows(MediaView, "The file's facts."), **problems(401, 403, 404, 422, 503)},
)
async def one(caller: Caller, context: Context, name: str) -> Response:
    """What is known of a file. Its content comes from `…/content`."""
    user = get_user(context, caller.user_id)
    return json_answer(media_view(await asyncio.to_thread(context.media.file, caller.user_id, name), user))


@routes.get(
    "/{name}/content",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "The file.",
            "content": dict.fromkeys((*FORMATS, _ANY), _BINARY),
        },
        **problems(401, 403, 404, 422),
    },
)
async def content(context: Context, facts: Facts, name: str, ticket: DownloadTicket) -> Response:
    """The file itself, opened with a one-time ticket so that a browser can show or save it."""
    user_id = redeem(context, ticket, Purpose.DOWNLOAD, facts).user_id
    file = await asyncio.to_thread(context.media.file, user_id, name)
    shown = media_view(file, None)
    opened = await asyncio.to_thread(context.media.opened, user_id, name)
    headers = {
        # A browser saves it under its label, and never shows it as a page of ours.
        "Content-Disposition": f"attachment; filename*=UTF-8''{quote(shown.label)}",
        "Content-Length": str(shown.bytes),
        "Cache-Control": "private, no-store",
    }
    return StreamingResponse(
        _pieces(opened, shown.bytes), media_type=shown.type if file.about else _ANY, headers=headers
    )


async def _pieces(opened: BinaryIO, size: int) -> AsyncIterator[bytes]:
    """Yield no more than was announced, even when a larger file takes its place meanwhile."""
    with opened:
        while size > 0 and (piece := await asyncio.to_thread(opened.read, min(_PIECE, size))):
            yield piece
            size -= len(piece)


@routes.delete(
    "/{name}",
    status_code=204,
    responses={204: {"description": "It is gone."}, **problems(401, 403, 404, 409, 422, 503)},
)
async def delete(caller: Caller, context: Context, name: str) -> Response:
    """Delete a file that no post names; 409 `media_in_use` says which post names it."""
    await asyncio.to_thread(context.media.file, caller.user_id, name)
    used = await uses_now(context, caller.user_id, name)
    if used:
        raise FileInUse(f"{name} is used by {', '.join(used[:5])}; take it out there first")
    await asyncio.to_thread(context.media.remove, caller.user_id, name)
    return Response(status_code=204)
