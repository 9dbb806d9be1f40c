"""The outermost layer: gives each request an id, sends it the right way, turns what escapes into a problem document.

Written as plain ASGI because every request passes through it, polls of the sync state above all.
"""

import itertools
import logging
import secrets

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.problems import internal_error, response_to
from core.errors import PostfleetError, StateError

log = logging.getLogger(__name__)

STATE_PATH = "/api/sync/state"
_ALIAS = "/api/v1/"
_SECURITY_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
]


class Shell:
    """Around the whole API; see the top of this file."""

    def __init__(self, app: ASGIApp, sync_state: ASGIApp) -> None:
        self._app = app
        self._sync_state = sync_state
        # The ids of one process share a random start, so that those of two never meet in a log.
        self._prefix = secrets.token_hex(4)
        self._count = itertools.count(1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection, request or lifespan event."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = f"{self._prefix}-{next(self._count):x}"
        scope["request_id"] = request_id
        path: str = scope["path"]
        if path.startswith(_ALIAS):
            path = scope["path"] = "/api/" + path[len(_ALIAS) :]
            scope["raw_path"] = path.encode()
        sending = _Sending(send, request_id)
        hot = path == STATE_PATH and scope["method"] in ("GET", "HEAD")
        try:
            await (self._sync_state if hot else self._app)(scope, receive, sending)
        except PostfleetError as error:
            # The sync state raises its refusals; those of the routes were answered by FastAPI's handlers.
            if isinstance(error, StateError):
                log.exception("Request %s met trouble with the state", request_id)
            await self._answer_instead(response_to(error, request_id), scope, receive, sending)
        except Exception:
            log.exception("Request %s failed", request_id, extra={"action": "request_failed", "path": path})
            await self._answer_instead(internal_error(request_id), scope, receive, sending)

    @staticmethod
    async def _answer_instead(answer: ASGIApp, scope: Scope, receive: Receive, sending: "_Sending") -> None:
        if not sending.started:
            await answer(scope, receive, sending)


class _Sending:
    """The server's `send`, adding to every answer what every answer carries."""

    __slots__ = ("_headers", "_send", "started")

    def __init__(self, send: Send, request_id: str) -> None:
        self._send = send
        self._headers: list[tuple[bytes, bytes]] = [(b"x-request-id", request_id.encode()), *_SECURITY_HEADERS]
        self.started = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            message["headers"] = [*message.get("headers", ()), *self._headers]
        await self._send(message)
