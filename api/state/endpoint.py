"""`GET /api/sync/state`: the whole dashboard in one document, as a plain ASGI application beside FastAPI.

Dashboards poll it, which makes it the one hot path: a poll costs a scan of its headers, a look-up of its verified token
and the sending of kept bytes (`api.state.cache`). The server asks `at_once` before it makes a task of a request.

The one place that answers 304 to `If-None-Match`.
"""

import gzip
from functools import partial
from typing import NamedTuple
from urllib.parse import parse_qsl

from starlette.types import Receive, Scope, Send

from api.problems import HeadersTooLong
from api.requests.etags import is_named_in
from api.security.authentication import IDENTITY, Authenticator
from api.state.cache import Document, StateCache, dated
from core.errors import InvalidInput, check_all

MAX_HEADER_BYTES = 16_384
_GZIP_FROM_BYTES = 1024
_CACHING = [(b"cache-control", b"private, no-cache"), (b"vary", b"authorization, accept-encoding")]
_JSON = (b"content-type", b"application/json")
_GZIP = (b"content-encoding", b"gzip")
_EMPTY = {"type": "http.response.body", "body": b""}
_MORE = frozenset({b"content-length", b"transfer-encoding", b"expect", b"upgrade", b"origin"})

Headers = list[tuple[bytes, bytes]]
ReadyAnswer = tuple[int, Headers, bytes]
"""Status, headers and body."""


class SyncState:
    """Answers the path. The gateway before it makes the request's id, and turns what this raises into answers.

    `headers` are those of every response; `answered` counts the responses by status.
    """

    def __init__(
        self,
        cache: StateCache,
        authenticator: Authenticator,
        headers: Headers,
        answered: dict[int, int],
    ) -> None:
        self._cache = cache
        self._authenticator = authenticator
        self._answered = answered
        self._ok = [_JSON, *_CACHING, *headers]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002  it takes no body
        """Answer 200 with the document (or the fields changed `?since=`), or 304 when `If-None-Match` names it.

        Raises:
            AuthError, Forbidden, TooMany: as `Authenticator.identify_value` does.
            InvalidInput: a query parameter is unknown or no revision.
            HeadersTooLong: the headers together are too long.
            StateError: the document cannot be made.
        """
        wanted = _wanted(scope["headers"])
        identity = scope.get(IDENTITY) or self._authenticator.identify_value(wanted.authorization, scope)
        since = _since(scope["query_string"]) if scope["query_string"] else None
        document = self._cache.kept(identity.user_id) or await self._cache.of(identity.user_id)
        status, headers, body = self._answer(document, wanted, since, scope.get("request_id", "-"))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body} if scope["method"] == "GET" else _EMPTY)

    def at_once(self, scope: Scope) -> ReadyAnswer | None:
        """Return the response to a plain GET when its document is in memory; None when it takes more than that.

        Raises:
            AuthError, Forbidden, TooMany, HeadersTooLong: as the call does.
        """
        wanted = _wanted(scope["headers"])
        if wanted.more:
            return None
        # Kept for the call that follows when there is no response here: a request counts once.
        identity = scope[IDENTITY] = self._authenticator.identify_value(wanted.authorization, scope)
        document = self._cache.kept(identity.user_id)
        return None if document is None else self._answer(document, wanted, None, scope["request_id"])

    def _answer(self, document: Document, wanted: "_Wanted", since: int | None, request_id: str) -> ReadyAnswer:
        own = (b"x-request-id", request_id.encode())
        if wanted.if_none_match is not None and is_named_in(wanted.if_none_match, document.etag):
            self._answered[304] += 1
            return 304, [*_CACHING, (b"etag", document.etag), own], b""
        self._answered[200] += 1
        if since is not None or (wanted.accept_encoding is not None and _takes_gzip(wanted.accept_encoding)):
            return self._other(document, since, wanted.accept_encoding, own)
        return 200, [*self._ok, *document.about, own], dated(document.body, self._cache.time)

    def _other(
        self, document: Document, since: int | None, accept_encoding: bytes | None, own: tuple[bytes, bytes]
    ) -> ReadyAnswer:
        """Answer with less than the plain document: compressed, or changes alone."""
        time = self._cache.time
        body = dated(document.body if since is None else document.since(since), time)
        headers = [*self._ok, (b"etag", document.etag), own]
        if accept_encoding is not None and len(body) >= _GZIP_FROM_BYTES and _takes_gzip(accept_encoding):
            body = document.gzipped(time) if since is None else gzip.compress(body, compresslevel=6, mtime=0)
            headers.append(_GZIP)
        return 200, [*headers, (b"content-length", b"%d" % len(body))], body


class _Wanted(NamedTuple):
    authorization: bytes | None
    """None unless there is exactly one."""
    if_none_match: bytes | None
    accept_encoding: bytes | None
    more: bool
    """Whether the request has a body, or a header that `at_once` does not handle."""


def _wanted(headers: Headers) -> _Wanted:
    """Return what the headers of a request ask for.

    Raises:
        HeadersTooLong: together they are too long.
    """
    authorization = if_none_match = accept_encoding = None
    tokens = size = 0
    more = False
    for name, value in headers:
        size += len(name) + len(value)
        if name == b"authorization":
            authorization = value
            tokens += 1
        elif name == b"if-none-match":
            if_none_match = value
        elif name == b"accept-encoding":
            accept_encoding = value
        elif name in _MORE:
            more = True
    if size > MAX_HEADER_BYTES:
        raise HeadersTooLong
    return _Wanted(authorization if tokens == 1 else None, if_none_match, accept_encoding, more)


def _since(query: bytes) -> int | None:
    given = parse_qsl(query.decode("latin-1"), keep_blank_values=True)
    unknown = dict.fromkeys(name for name, _ in given if name != "since")
    check_all(partial(_refuse, name) for name in unknown)
    asked = [value for _, value in given]
    if not asked:
        return None
    if len(asked) > 1 or not asked[0].isascii() or not asked[0].isdigit() or len(asked[0]) > 18:
        raise InvalidInput("since", "give the revision of an earlier answer, a whole number, once")
    return int(asked[0])


def _refuse(name: str) -> None:
    raise InvalidInput(name[:100], "there is no such parameter; leave it out")


def _takes_gzip(accept_encoding: bytes) -> bool:
    for coding in accept_encoding.lower().split(b","):
        name, _, parameter = coding.partition(b";")
        if name.strip() == b"gzip":
            return parameter.replace(b" ", b"") not in (b"q=0", b"q=0.0", b"q=0.00", b"q=0.000")
    return False
