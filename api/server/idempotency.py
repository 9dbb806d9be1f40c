"""`Idempotency-Key`: a change that is sent again is not made again, and gets the first response once more.

Keys belong to their user. The newest thousand are remembered for a day. The response is stored after the change and
before it is sent; a crash in between leaves the key taken for a minute, and free after that. A response that holds
secrets (its route says `no-store`) or is very long is not stored: a repeated request then learns that it was done.

The digest of a request is made with a key that is not in the file. A body may hold a password, which trying could find
from a plain digest.
"""

import hmac
import json
from collections.abc import Sequence

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.context import ApiContext
from api.problems import AnswerNotKept, KeyInUse, KeyReused
from api.requests.paths import UPLOAD_PATHS
from api.security.derived_keys import derived_key
from core.errors import InvalidInput
from data.auth_store import KeptAnswer

REMEMBERED_SECONDS = 86_400.0
CLAIMED_SECONDS = 60.0
MAX_KEY_LENGTH = 200
LONGEST_KEPT_BYTES = 65_536
"""The longest body that is stored. A longer one can be read again."""
_KEPT_HEADERS = frozenset({b"content-type", b"etag", b"cache-control", b"retry-after"})
# These routes hand out secrets, which are never stored. Two logins or two tickets are simply two.
_NOT_FOR = "/api/auth/"
_NOT_FOR_LAST = "/export"


class Idempotency:
    """Stands before FastAPI, and acts on requests that carry a key."""

    def __init__(self, app: ASGIApp, context: ApiContext) -> None:
        settings = context.settings
        self._app = app
        self._max_body = settings.max_body_bytes
        self._digest_key = derived_key(settings.jwt_secret.get_secret_value(), "idempotency")
        self._auth_store = context.auth_store
        self._authenticator = context.authenticator
        self._clock = context.clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the stored response, or pass the request on and store its response.

        Raises:
            AuthError: as without a key.
            InvalidInput, KeyReused, KeyInUse: the key cannot be used for this request.
            AnswerNotKept: the request was done before, and its response was not stored.
        """
        keys = [value for name, value in scope["headers"] if name == b"idempotency-key"]
        if not keys or scope["method"] in ("GET", "HEAD", "OPTIONS") or needs_none(scope["path"]):
            await self._app(scope, receive, send)
            return
        key = _checked(keys)
        user_id = self._authenticator.identify(scope).user_id
        body = await _whole(receive, self._max_body)
        if body is None:
            return
        now = self._clock.now().timestamp()
        request = self._digest(scope, body)
        before = await self._auth_store.claim_answer(user_id, key, request, now, now + CLAIMED_SECONDS)
        if before is not None:
            await _replay(before, request, send)
            return
        await self._first(scope, body, user_id, key, send)

    async def _first(self, scope: Scope, body: bytes, user_id: str, key: str, send: Send) -> None:
        messages: list[Message] = []

        async def receive_again() -> Message:
            return {"type": "http.request", "body": body, "more_body": False}

        async def keep(message: Message) -> None:
            messages.append(message)

        try:
            await self._app(scope, receive_again, keep)
        finally:
            start = messages[0] if messages else None
            if start is None or start["status"] >= 500 or start["status"] in (401, 408, 429):
                await self._auth_store.forget_answer(user_id, key)
            else:
                headers = [pair for pair in start["headers"] if pair[0].lower() in _KEPT_HEADERS]
                await self._auth_store.keep_answer(
                    user_id,
                    key,
                    start["status"],
                    json.dumps([[name.decode("latin-1"), value.decode("latin-1")] for name, value in headers]),
                    _body_to_keep(messages),
                    self._clock.now().timestamp() + REMEMBERED_SECONDS,
                )
        for message in messages:
            await send(message)

    def _digest(self, scope: Scope, body: bytes) -> str:
        about = f"{scope['method']} {scope['path']} {scope['query_string'].decode('latin-1')}\n"
        return hmac.digest(self._digest_key, about.encode() + body, "sha256").hex()


def _body_to_keep(messages: Sequence[Message]) -> bytes | None:
    """Return the body of a response, None when it holds secrets or is very long."""
    if any(name.lower() == b"cache-control" and b"no-store" in value for name, value in messages[0]["headers"]):
        return None
    body = b"".join(message.get("body", b"") for message in messages[1:])
    return body if len(body) <= LONGEST_KEPT_BYTES else None


def needs_none(path: str) -> bool:
    """Return whether keys mean nothing at this path. Uploads need none: their content tells whether they are new."""
    return path.startswith(_NOT_FOR) or path.endswith(_NOT_FOR_LAST) or path in UPLOAD_PATHS


async def _replay(before: KeptAnswer, request: str, send: Send) -> None:
    if before.request != request:
        raise KeyReused
    if before.status is None:
        raise KeyInUse
    if before.body is None:
        raise AnswerNotKept(before.status)
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in json.loads(before.headers)]
    headers += [(b"idempotent-replay", b"true"), (b"content-length", b"%d" % len(before.body))]
    await send({"type": "http.response.start", "status": before.status, "headers": headers})
    await send({"type": "http.response.body", "body": before.body})


def _checked(keys: Sequence[bytes]) -> str:
    key = keys[0].decode("latin-1")
    if len(keys) > 1 or not 0 < len(key) <= MAX_KEY_LENGTH or not key.isascii() or not key.isprintable():
        raise InvalidInput("Idempotency-Key", f"one key of 1 to {MAX_KEY_LENGTH} printable ASCII characters")
    return key


async def _whole(receive: Receive, most: int) -> bytes | None:
    """Return the body, None when the client left. Raises HTTPException (413) when it is too large."""
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > most:
            raise HTTPException(413, f"The body is too large; at most {most} bytes are taken.")
        if not message.get("more_body", False):
            return b"".join(parts)
