"""The outermost layer, which every request passes.

It gives the request an id, bounds it (headers, time, requests per address), passes it on, adds the headers that every
answer carries, and turns errors from below into problem documents. It is plain ASGI, because thousands of polls of the
sync state pass it.
"""

import asyncio
import itertools
import logging
import secrets
from typing import Any

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.context import ApiContext
from api.problems import HeadersTooLong, internal_error, problem_response, response_to
from api.requests.client_address import address_of, counted_as
from api.requests.counts import ONE_IN
from api.requests.paths import STATE_PATH, STREAM_PATH, UPLOAD_PATHS
from api.requests.response_headers import headers_of
from api.state.endpoint import MAX_HEADER_BYTES, ReadyAnswer
from core.errors import PostfleetError, StateError
from core.settings import Settings

log = logging.getLogger(__name__)

_ALIAS = "/api/v1/"
_AT_ONCE = frozenset({STATE_PATH.encode(), STATE_PATH.replace("/api/", _ALIAS).encode()})
_UNKEPT = (b"cache-control", b"private, no-store")
"""The header of responses that say nothing about caching themselves: they are for their caller alone."""


class Gateway:
    """Wraps the whole API. Requests go to `changes`, which passes them on to `app`."""

    def __init__(
        self,
        app: FastAPI,
        changes: ASGIApp,
        context: ApiContext,
    ) -> None:
        settings = context.settings
        self.context = context
        self._app = app
        self._changes = changes
        self._sync_state = context.sync_state
        self._rates = context.rates
        self._requests = context.counts
        self._polls = 0
        self._proxies = settings.trusted_proxies
        self._max_body = settings.max_body_bytes
        self._seconds = settings.request_timeout_seconds
        self._upload_seconds = settings.upload_timeout_seconds
        self._headers = headers_of(settings)
        self._inner: ASGIApp = self._way
        self._sync_state_alone = not settings.cors_origins
        if settings.cors_origins:
            self._inner = _with_cors(self._way, settings)
        # The ids of one process share a random start, so that those of two never meet in a log.
        self._prefix = secrets.token_hex(4)
        self._count = itertools.count(1)

    def openapi(self) -> dict[str, Any]:
        """Return the OpenAPI document."""
        return self._app.openapi()

    def end_streams(self) -> None:
        """End every stream within a second, and begin no new one: the daemon is stopping."""
        self.context.streams.close()

    async def close(self) -> None:
        """Close the API's files, when nothing is served any more."""
        await self.context.close()

    def at_once(self, scope: Scope, target: bytes) -> ReadyAnswer | None:
        """Return the response to a GET of this target if that needs no task; None: call the gateway as usual."""
        if target not in _AT_ONCE:
            return None
        request_id = scope["request_id"] = self._new_id()
        scope["trusted_proxies"] = self._proxies
        scope["path"] = STATE_PATH
        self._polls += 1
        began = None if self._polls % ONE_IN else self._requests.now()
        try:
            answer = self._sync_state.at_once(scope)
        except Exception as error:  # noqa: BLE001  as below
            instead = _answer_to(error, request_id, STATE_PATH)
            self._requests.add(scope, instead.status_code, None)
            own = (b"x-request-id", request_id.encode())
            return instead.status_code, [*instead.raw_headers, _UNKEPT, own, *self._headers], bytes(instead.body)
        if began is not None and answer is not None:
            self._requests.took(STATE_PATH, self._requests.now() - began, ONE_IN)
        return answer

    def refusal(self, status: int, detail: str, headers: dict[str, str]) -> Response:
        """Return a response for the server to send before there is a request, with the headers of every response."""
        request_id = self._new_id()
        answer = problem_response(request_id, status, detail=detail, headers=headers)
        answer.raw_headers += [_UNKEPT, (b"x-request-id", request_id.encode()), *self._headers]
        return answer

    def _new_id(self) -> str:
        return f"{self._prefix}-{next(self._count):08x}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection, request or lifespan event."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1000})
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = scope.get("request_id") or self._new_id()
        scope["request_id"] = request_id
        scope["trusted_proxies"] = self._proxies
        path: str = scope["path"]
        if path.startswith(_ALIAS):
            path = scope["path"] = "/api/" + path[len(_ALIAS) :]
            scope["raw_path"] = path.encode()
        # The sync state takes no body, bounds its headers and adds ours itself. It counts per user, and per address
        # where a token does not verify.
        if path == STATE_PATH and self._sync_state_alone and scope["method"] in ("GET", "HEAD"):
            self._polls += 1
            began = None if self._polls % ONE_IN else self._requests.now()
            try:
                await self._sync_state(scope, receive, send)
            except Exception as error:  # noqa: BLE001  the outermost place, as below
                sending = _Sending(send, request_id, self._headers, None)
                await self._answer_instead(_answer_to(error, request_id, path), scope, receive, sending)
                self._requests.add(scope, sending.status, None)
            if began is not None:
                self._requests.took(STATE_PATH, self._requests.now() - began, ONE_IN)
            return
        is_stream = path == STREAM_PATH
        sending = _Sending(send, request_id, self._headers, self._seconds if is_stream else None)
        began = self._requests.now()
        try:
            await self._serve(scope, receive, sending, path)
        finally:
            self._requests.add(scope, sending.status, None if is_stream else self._requests.now() - began)

    async def _serve(self, scope: Scope, receive: Receive, sending: "_Sending", path: str) -> None:
        """Serve everything but polls of the sync state."""
        request_id = scope["request_id"]
        is_stream = path == STREAM_PATH
        is_upload = path in UPLOAD_PATHS and scope["method"] == "POST"
        seconds = self._upload_seconds if is_upload else self._seconds
        try:
            self._rates.addresses.spend(counted_as(address_of(scope)))
            self._check_size(scope, body=not is_upload)
            if is_stream:
                await self._inner(scope, receive, sending)
            else:
                async with asyncio.timeout(seconds) as bound:
                    sending.bound_pieces(bound, self._seconds)
                    await self._inner(scope, receive, sending)
        except TimeoutError:
            log.warning("Request %s took too long", request_id, extra={"action": "request_timed_out", "path": path})
            late = problem_response(
                request_id,
                408,
                detail=f"The request was not over within {seconds:g} seconds.",
                headers={"Connection": "close"},
            )
            await self._answer_instead(late, scope, receive, sending)
        except Exception as error:  # noqa: BLE001  the outermost place: it logs every error and answers
            await self._answer_instead(_answer_to(error, request_id, path), scope, receive, sending)

    def _check_size(self, scope: Scope, *, body: bool) -> None:
        """Refuse a request that declares too much. FastAPI stops a body that grows too large.

        `body` False: the route bounds the body itself.

        Raises:
            HeadersTooLong: the headers together are too long.
            HTTPException: 413, the declared body is too large.
        """
        size = 0
        for name, value in scope["headers"]:
            size += len(name) + len(value)
            if body and name == b"content-length" and value.isdigit() and int(value[:20]) > self._max_body:
                raise HTTPException(413, f"The body is too large; at most {self._max_body} bytes are taken.")
        if size > MAX_HEADER_BYTES:
            raise HeadersTooLong

    async def _way(self, scope: Scope, receive: Receive, send: Send) -> None:
        hot = scope["path"] == STATE_PATH and scope["method"] in ("GET", "HEAD")
        await (self._sync_state if hot else self._changes)(scope, receive, send)

    @staticmethod
    async def _answer_instead(answer: ASGIApp, scope: Scope, receive: Receive, sending: "_Sending") -> None:
        if not sending.status:
            await answer(scope, receive, sending)


def _answer_to(error: Exception, request_id: str, path: str) -> Response:
    """Log an error that came up from below, and return the response to it."""
    if isinstance(error, PostfleetError):
        # The sync state raises its refusals. FastAPI's handlers answer those of the routes.
        if isinstance(error, StateError):
            log.error("Request %s met trouble with the state", request_id, exc_info=error)
        return response_to(error, request_id)
    if isinstance(error, HTTPException):
        return problem_response(request_id, error.status_code, detail=error.detail)
    extra = {"action": "request_failed", "path": path}
    log.error("Request %s failed", request_id, exc_info=error, extra=extra)
    return internal_error(request_id)


def _with_cors(app: ASGIApp, settings: Settings) -> ASGIApp:
    return CORSMiddleware(
        app,
        allow_origins=settings.cors_origins,
        allow_methods=["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"],
        allow_headers=["Authorization", "Content-Type", "If-Match", "If-None-Match", "Idempotency-Key"],
        expose_headers=["ETag", "X-Request-Id", "Retry-After", "Date", "Idempotent-Replay"],
        max_age=600,
    )


class _Sending:
    """The server's `send`, which adds the headers of every response.

    `seconds` bounds each single send: a stream has no time limit, but a client that does not read must not hold it.
    """

    __slots__ = ("_bound", "_headers", "_piece_seconds", "_request_id", "_seconds", "_send", "status")

    def __init__(self, send: Send, request_id: str, headers: list[tuple[bytes, bytes]], seconds: float | None) -> None:
        self._send = send
        self._request_id = request_id
        self._headers = headers
        self._seconds = seconds
        self._bound: asyncio.Timeout | None = None
        self._piece_seconds = 0.0
        self.status = 0
        """The status of the response that was begun, 0 before one is."""

    def bound_pieces(self, bound: asyncio.Timeout, seconds: float) -> None:
        """Renew the time limit with each piece of a response, because a long table or file may take long."""
        self._bound = bound
        self._piece_seconds = seconds

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = message.get("headers", ())
            own = (b"x-request-id", self._request_id.encode())
            # The sync state has added them itself.
            if own not in headers:
                unkept = () if any(name == b"cache-control" for name, _ in headers) else (_UNKEPT,)
                message["headers"] = [*headers, *unkept, own, *self._headers]
        if self._seconds is None:
            await self._send(message)
            if self._bound is not None and message.get("more_body"):
                self._bound.reschedule(asyncio.get_running_loop().time() + self._piece_seconds)
            return
        async with asyncio.timeout(self._seconds):
            await self._send(message)
