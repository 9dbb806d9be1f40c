"""Every error as `application/problem+json` (RFC 9457): a stable `code`, words for people, the request's id."""

import math
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import msgspec
from fastapi import Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from core.errors import (
    AuthError,
    Conflict,
    Forbidden,
    InvalidInput,
    NotFound,
    NotRead,
    NotReady,
    PostfleetError,
    StateError,
    TooLarge,
    TooMany,
    TooSlow,
    Unreadable,
    UnsupportedMedia,
)

MEDIA_TYPE = "application/problem+json"


class HeadersTooLong(PostfleetError):
    """The headers together are longer than anybody needs."""

    code = "headers_too_large"

    def __init__(self) -> None:
        super().__init__("The headers are too long.")


class Busy(TooMany):
    """The service is busy. The caller has not sent too many requests."""

    code = "busy"

    def __init__(self, retry_after: float) -> None:
        super().__init__("Too much is under way here just now; nothing was done. Try again in a moment", retry_after)


class PreconditionFailed(Conflict):
    """The document has changed since the version the caller knows."""

    code = "precondition_failed"

    def __init__(self) -> None:
        super().__init__("It has changed since the version in If-Match; read it again and repeat your change")


class KeyReused(InvalidInput):
    """An idempotency key that was used for another request."""

    code = "idempotency_key_reused"

    def __init__(self) -> None:
        super().__init__("Idempotency-Key", "was used for another request; take a new key for each")


class KeyInUse(Conflict):
    """The first request with this idempotency key is still in progress."""

    code = "idempotency_key_in_use"

    def __init__(self) -> None:
        super().__init__("The first request with this Idempotency-Key is not answered yet; repeat in a moment")


class AnswerNotKept(Conflict):
    """The request with this idempotency key was done; its response was not stored."""

    code = "idempotency_answer_not_kept"

    def __init__(self, status: int) -> None:
        super().__init__(
            f"This was done with this Idempotency-Key before, and answered with {status}; the answer held secrets or "
            "was too long to be kept. Read what came of it, or take a new key to do it again"
        )


class FieldError(msgspec.Struct, frozen=True, kw_only=True):
    """One field that cannot be used, and how to fix it."""

    field: str
    message: str


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """What went wrong. `code` is for machines and stays; `detail` is for people."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    request_id: str
    errors: list[FieldError] | msgspec.UnsetType = msgspec.UNSET


CODES = {
    400: "bad_request",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    408: "timed_out",
    409: "conflict",
    412: "precondition_failed",
    413: "too_large",
    415: "unsupported_media_type",
    422: "invalid_input",
    429: "too_many_requests",
    431: "headers_too_large",
    500: "internal_error",
    503: "not_available",
}
"""The code of a problem of that status, unless a more specific one is known."""
# The first matching class decides. The text of a StateError may name files: it goes to the log, not to the caller.
_STATUSES: Sequence[tuple[type[PostfleetError], int]] = (
    (AuthError, 401),
    (Forbidden, 403),
    (Busy, 503),
    (TooMany, 429),
    (HeadersTooLong, 431),
    (TooSlow, 408),
    (TooLarge, 413),
    (UnsupportedMedia, 415),
    (NotFound, 404),
    (InvalidInput, 422),
    (Unreadable, 422),
    (NotRead, 503),
    (NotReady, 409),
    (PreconditionFailed, 412),
    (Conflict, 409),
    (StateError, 503),
)


def problem_response(
    request_id: str,
    status: int,
    *,
    detail: str,
    code: str | None = None,
    errors: Sequence[FieldError] = (),
    headers: dict[str, str] | None = None,
) -> Response:
    """Return a problem document, ready to send."""
    code = code or CODES.get(status, "error")
    problem = Problem(
        type=f"urn:postfleet:problem:{code}",
        title=HTTPStatus(status).phrase,
        status=status,
        code=code,
        detail=detail,
        request_id=request_id,
        errors=list(errors) or msgspec.UNSET,
    )
    return Response(msgspec.json.encode(problem), status, headers=headers, media_type=MEDIA_TYPE)


def status_of(kind: type[PostfleetError]) -> int:
    """Return the status of responses to errors of this kind."""
    return next((status for known, status in _STATUSES if issubclass(kind, known)), 500)


def response_to(error: PostfleetError, request_id: str) -> Response:
    """Return the response to one of our own errors."""
    status = status_of(type(error))
    if status == 401:
        return problem_response(
            request_id, 401, detail=str(error), headers={"WWW-Authenticate": 'Bearer realm="postfleet"'}
        )
    if isinstance(error, TooMany):
        headers = {"Retry-After": str(math.ceil(error.retry_after))}
        return problem_response(request_id, status, code=error.code, detail=str(error), headers=headers)
    if isinstance(error, TooLarge):
        # Nobody reads the rest of the body. Without this header the server would read and discard it.
        return problem_response(request_id, 413, detail=str(error), headers={"Connection": "close"})
    if status == 503:
        state = "The state cannot be read or written just now; nothing was changed. Try again in a moment."
        detail = f"{error}." if isinstance(error, NotRead) else state
        return problem_response(request_id, 503, code=error.code, detail=detail, headers={"Retry-After": "2"})
    if status == 500:
        return internal_error(request_id)
    faults = error.faults if isinstance(error, InvalidInput) else ()
    errors = [FieldError(field=fault.field, message=fault.fix) for fault in faults]
    return problem_response(request_id, status, code=error.code, detail=str(error), errors=errors)


def internal_error(request_id: str) -> Response:
    """Return a response that does not name the cause. The log does, under the request's id."""
    return problem_response(
        request_id, 500, detail=f"Something went wrong here. The log tells more under request id {request_id}."
    )


def request_id_of(request: Request) -> str:
    """Return the id that the gateway gave this request."""
    return str(request.scope.get("request_id", "-"))


async def on_own_error(request: Request, error: Exception) -> Response:
    """Handle a PostfleetError."""
    assert isinstance(error, PostfleetError)  # noqa: S101  narrows what the framework passes on
    return response_to(error, request_id_of(request))


async def on_defect(request: Request, error: Exception) -> Response:  # noqa: ARG001  the gateway logs the error
    """Handle an unexpected error. The framework raises it again afterwards, up to the gateway, which logs it."""
    return internal_error(request_id_of(request))


_DETAILS = {
    404: "There is nothing at this address.",
    405: "This address does not take that method.",
    413: "The body is too large.",
}


async def on_http_error(request: Request, error: Exception) -> Response:
    """Handle a refusal of the framework itself."""
    assert isinstance(error, HTTPException)  # noqa: S101  narrows what the framework passes on
    detail = _DETAILS.get(error.status_code, str(error.detail))
    return problem_response(
        request_id_of(request), error.status_code, detail=detail, headers=dict(error.headers or {}) or None
    )


async def on_invalid_request(request: Request, error: Exception) -> Response:
    """Handle a body or parameters that do not fit. The response names every wrong field."""
    assert isinstance(error, RequestValidationError)  # noqa: S101  narrows what the framework passes on
    errors = [one for item in error.errors() for one in _faults(item, request)]
    detail = "; ".join(f"{item.field}: {item.message}" for item in errors[:5])
    return problem_response(request_id_of(request), 422, detail=detail, errors=errors)


def _faults(item: dict[str, Any], request: Request) -> list[FieldError]:
    """Return what is wrong there: one fault, or all faults of a field that is read as a whole."""
    if tuple(item["loc"]) == ("body",) and item["type"] != "missing" and not _is_json(request):
        return [FieldError(field="Content-Type", message=_AS_JSON)]
    name = _field(item["loc"])
    below: Sequence[tuple[str, str]] = item.get("ctx", {}).get("faults", ())
    if below:
        return [FieldError(field=(name + where).removeprefix("body."), message=fix) for where, fix in below]
    return [FieldError(field=name, message=_message(item))]


_AS_JSON = "send the body as JSON, with the header Content-Type: application/json"


def _is_json(request: Request) -> bool:
    """Return whether the body was read as JSON, which its header decides."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    return kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json"))


def _field(where: Sequence[str | int]) -> str:
    """Return `config.groups[2]` for pydantic's tuple, and `body` for the body as a whole."""
    source, *path = where
    if not path or (source == "body" and isinstance(path[0], int)):
        return str(source)
    name = str(path[0])
    for part in path[1:]:
        name += f"[{part}]" if isinstance(part, int) else f".{part}"
    return name


def _message(item: dict[str, Any]) -> str:
    kind = item["type"]
    if kind == "extra_forbidden":
        what = "parameter" if item["loc"][0] == "query" else "field"
        return f"there is no such {what}; leave it out"
    if kind == "json_invalid":
        return "the body is not valid JSON"
    if kind == "missing":
        return f"it is missing; {_AS_JSON}" if tuple(item["loc"]) == ("body",) else "it is missing"
    return str(item["msg"]).removeprefix("Value error, ")
