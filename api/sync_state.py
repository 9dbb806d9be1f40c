"""`GET /api/sync/state`: the whole dashboard in one document, as a plain ASGI application beside FastAPI.

Dashboards poll it, so it is the one hot path: a poll costs a header scan, a look-up of the verified token and two
sends of bytes that are kept (`api.state_documents`).
"""

import gzip
from urllib.parse import parse_qsl

from starlette.types import Receive, Scope, Send

from api.auth import Authenticator
from api.problems import HeadersTooLong
from api.state_documents import Document, StateDocuments
from core.errors import InvalidInput

MAX_HEADER_BYTES = 16_384
_GZIP_FROM_BYTES = 1024
_CACHING = [(b"cache-control", b"private, no-cache"), (b"vary", b"authorization, accept-encoding")]
_JSON = (b"content-type", b"application/json")
_GZIP = (b"content-encoding", b"gzip")
_EMPTY = {"type": "http.response.body", "body": b""}


class SyncState:
    """Answers the path; the shell in front has made the request's id and answers for what is raised.

    `headers` are those every answer of ours carries; `answered` counts the answers by status.
    """

    def __init__(
        self,
        documents: StateDocuments,
        authenticator: Authenticator,
        headers: list[tuple[bytes, bytes]],
        answered: dict[int, int],
    ) -> None:
        self._documents = documents
        self._authenticator = authenticator
        self._answered = answered
        self._ok = [_JSON, *_CACHING, *headers]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002  it takes no body
        """Answer 200 with the document (or the parts changed `?since=`), or 304 when `If-None-Match` names it.

        Raises:
            AuthError, InvalidInput, HeadersTooLong, StateError.
        """
        authorization, if_none_match, accept_encoding = _wanted(scope["headers"])
        identity = self._authenticator.identify_value(authorization, scope)
        since = _since(scope["query_string"]) if scope["query_string"] else None
        user_id = identity.user_id
        document = self._documents.kept(user_id) or await self._documents.of(user_id)
        request_id = (b"x-request-id", scope["request_id"].encode())
        if if_none_match is not None and _names(if_none_match, document.etag):
            self._answered[304] += 1
            headers = [*_CACHING, (b"etag", document.etag), request_id]
            await send({"type": "http.response.start", "status": 304, "headers": headers})
            await send(_EMPTY)
            return
        body, headers = document.body, [*self._ok, *document.about, request_id]
        if since is not None or (accept_encoding is not None and _takes_gzip(accept_encoding)):
            body, headers = self._other(document, since, accept_encoding, request_id)
        self._answered[200] += 1
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body} if scope["method"] == "GET" else _EMPTY)

    def _other(
        self, document: Document, since: int | None, accept_encoding: bytes | None, request_id: tuple[bytes, bytes]
    ) -> tuple[bytes, list[tuple[bytes, bytes]]]:
        """Body and headers for whoever wants less than the plain document."""
        body = document.body if since is None else document.since(since)
        headers = [*self._ok, (b"etag", document.etag), request_id]
        if accept_encoding is not None and len(body) >= _GZIP_FROM_BYTES and _takes_gzip(accept_encoding):
            body = _gzipped(document, body)
            headers.append(_GZIP)
        return body, [*headers, (b"content-length", b"%d" % len(body))]


def _wanted(headers: list[tuple[bytes, bytes]]) -> tuple[bytes | None, bytes | None, bytes | None]:
    """Authorization (None unless there is exactly one), If-None-Match and Accept-Encoding.

    Raises:
        HeadersTooLong.
    """
    authorization = if_none_match = accept_encoding = None
    tokens = size = 0
    for name, value in headers:
        size += len(name) + len(value)
        if name == b"authorization":
            authorization = value
            tokens += 1
        elif name == b"if-none-match":
            if_none_match = value
        elif name == b"accept-encoding":
            accept_encoding = value
    if size > MAX_HEADER_BYTES:
        raise HeadersTooLong
    return authorization if tokens == 1 else None, if_none_match, accept_encoding


def _since(query: bytes) -> int | None:
    asked = [value for name, value in parse_qsl(query.decode("latin-1"), keep_blank_values=True) if name == "since"]
    if not asked:
        return None
    if len(asked) > 1 or not asked[0].isascii() or not asked[0].isdigit() or len(asked[0]) > 18:
        raise InvalidInput("since", "give the revision of an earlier answer, a whole number, once")
    return int(asked[0])


def _gzipped(document: Document, body: bytes) -> bytes:
    return document.gzipped() if body is document.body else gzip.compress(body, compresslevel=6, mtime=0)


def _takes_gzip(accept_encoding: bytes) -> bool:
    for coding in accept_encoding.lower().split(b","):
        name, _, parameter = coding.partition(b";")
        if name.strip() == b"gzip":
            return parameter.replace(b" ", b"") not in (b"q=0", b"q=0.0", b"q=0.00", b"q=0.000")
    return False


def _names(if_none_match: bytes, etag: bytes) -> bool:
    if if_none_match == etag:
        return True
    return any(tag.strip().removeprefix(b"W/") in (etag, b"*") for tag in if_none_match.split(b","))
