"""`/api/sync`: the state (documented here, answered by the shell through `api.state.endpoint`) and its stream."""

import asyncio
from typing import Annotated

from fastapi import Query, Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from api.openapi.document import problems, shows
from api.requests.counts import STATE_PATH
from api.routes.router import resource
from api.security.audit_log import SecurityLog
from api.security.authentication import Caller, request_facts
from api.security.tickets import Purpose, Tickets
from api.security.tokens import Identity
from api.server.gateway import STREAM_PATH
from api.state.streams import Reader, Streams
from api.views.state import StateView
from core.errors import AuthError

routes = resource(tags=["sync"])
_EVENT = {
    "type": "object",
    "description": "One event; `data` is JSON.",
    "properties": {
        "id": {"type": "string", "description": "The revision."},
        "event": {"type": "string", "enum": ["state", "change", "end"]},
        "data": {"type": "string", "contentMediaType": "application/json"},
    },
    "required": ["event", "data"],
}
_NO_BUFFERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


@routes.get(
    STATE_PATH,
    response_class=Response,
    responses={
        200: shows(StateView, "The state, with an ETag; with `since`, only the fields that changed."),
        304: {"description": "Nothing moved since the ETag in `If-None-Match`."},
        **problems(401, 403, 422, 503),
    },
)
async def state(
    caller: Caller,  # noqa: ARG001  the parameters are what is documented
    since: Annotated[int | None, Query(ge=0, lt=10**18, description="The revision of an earlier answer.")] = None,  # noqa: ARG001
) -> Response:
    """Everything a dashboard needs in one call."""
    raise AssertionError("the shell answers this address")


@routes.get(
    STREAM_PATH,
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "Events `state` (the whole document), `change` (fields to merge over it) and `end`.",
            "content": {"text/event-stream": {"schema": _EVENT}},
        },
        **problems(401, 403, 422, 503),
    },
)
async def stream(
    request: Request, ticket: Annotated[str, Query(max_length=200, description="From `POST /api/auth/tickets`.")]
) -> Response:
    """The state as server-sent events, opened with a one-time ticket."""
    streams: Streams = request.app.state.streams
    tickets: Tickets = request.app.state.tickets
    try:
        identity = tickets.take(ticket, Purpose.STREAM)
    except AuthError:
        security: SecurityLog = request.app.state.security
        security.refused("ticket_refused", "A ticket was refused", **request_facts(request.scope))
        raise
    return _Stream(streams, identity)


class _Stream(Response):
    """Holds its place exactly as long as it is being sent; a refusal comes before its first byte."""

    media_type = "text/event-stream"

    def __init__(self, streams: Streams, identity: Identity) -> None:
        super().__init__(headers=_NO_BUFFERS)
        del self.headers["content-length"]
        self._streams = streams
        self._identity = identity

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002  nothing of it is needed
        with self._streams.place(self._identity) as reader:
            leaving = asyncio.create_task(_end_when_the_client_leaves(reader, receive), name="stream's client")
            try:
                await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
                async for data in self._streams.events(reader):
                    await send({"type": "http.response.body", "body": data, "more_body": True})
                await send({"type": "http.response.body", "body": b"", "more_body": False})
            finally:
                leaving.cancel()
                await asyncio.gather(leaving, return_exceptions=True)


async def _end_when_the_client_leaves(reader: Reader, receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    reader.end()
