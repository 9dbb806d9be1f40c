"""`/api/sync`: the state and its stream.

The gateway lets `api.state.endpoint` answer polls of the state before they reach a route; the route does the same.
"""

import asyncio
from typing import Annotated

from fastapi import Query
from starlette.responses import Response, StreamingResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from api.openapi.document import problems, shows
from api.requests.paths import STATE_PATH, STREAM_PATH
from api.routes.dependencies import Caller, Context, Facts, StreamTicket, redeem
from api.routes.router import resource
from api.security.tickets import Purpose
from api.security.tokens import Identity
from api.state.streams import Reader, Streams
from api.views.state import StateView

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
    responses={
        200: shows(StateView, "The state, with an ETag; with `since`, only the fields that changed."),
        304: {"description": "Nothing moved since the ETag in `If-None-Match`."},
        **problems(401, 403, 422, 503),
    },
)
async def state(
    _: Caller,
    context: Context,
    since: Annotated[int | None, Query(ge=0, lt=10**18, description="The revision of an earlier answer.")] = None,  # noqa: ARG001  documented here, read by the endpoint
) -> Response:
    """Everything a dashboard needs in one call."""
    return _Delegated(context.sync_state)


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
async def stream(context: Context, facts: Facts, ticket: StreamTicket) -> Response:
    """The state as server-sent events, opened with a one-time ticket."""
    return _Stream(context.streams, redeem(context, ticket, Purpose.STREAM, facts))


class _Delegated(Response):
    """Lets another ASGI application answer."""

    def __init__(self, app: ASGIApp) -> None:
        super().__init__()
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)


class _Stream(Response):
    """A stream that holds its place as long as it is sent. A refusal comes before its first byte."""

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
