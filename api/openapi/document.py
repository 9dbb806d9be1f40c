"""The OpenAPI document: how our structs and problems appear in it."""

from typing import Any

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from starlette.responses import Response

from api.openapi import examples
from api.openapi.descriptions import describe_fields
from api.openapi.details import complete
from api.openapi.shared import share_problems
from api.problems import CODES, MEDIA_TYPE, Problem
from api.services import media
from api.views import admin as admin_views
from api.views import base as views
from api.views import groups as group_views
from api.views import history as history_views
from api.views import limits as limit_views
from api.views import sessions as session_views
from api.views import state as state_views
from bot.preflight.report import Preflight
from sessions.logins.logins import Login

_REF = "#/components/schemas/{name}"
_SHOWN = (
    *(
        kind
        for module in (views, state_views, history_views, session_views, admin_views, group_views, limit_views, media)
        for kind in vars(module).values()
        if isinstance(kind, type) and issubclass(kind, views.View) and kind is not views.View
    ),
    Login,
    Problem,
    Preflight,
)
_SAID = {
    400: "The request cannot be read.",
    401: "No valid token. The answer never says what is wrong with it.",
    403: "The caller may not do this.",
    404: "There is nothing of that name, or it is not the caller's.",
    408: "The request was not over in time.",
    409: "Not possible in the present state; `code` says why.",
    412: "It has changed since the version in `If-Match`.",
    413: "The body is too large.",
    415: "The file is none of the kinds that are taken.",
    422: "A field or parameter cannot be used, or is not known here; `errors` names each.",
    429: "Too often; `Retry-After` says when it goes on.",
    431: "The headers are too long.",
    500: "A defect here; the log tells more under the request's id.",
    503: "The state cannot be read or written just now, or too much is under way; nothing was changed.",
}


def json_answer(view: msgspec.Struct, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Return a struct as a JSON response."""
    return Response(msgspec.json.encode(view), status, headers=headers, media_type="application/json")


def shows(view: type[msgspec.Struct], description: str) -> dict[str, Any]:
    """Return the documentation of a response with this struct."""
    schema = {"$ref": _REF.format(name=view.__name__)}
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the documentation of a route's problem documents, by status."""
    schema = {"$ref": _REF.format(name="Problem")}
    return {
        status: {
            "description": _SAID[status],
            "content": {
                MEDIA_TYPE: {"schema": schema, "example": examples.problem(status, CODES[status], _SAID[status])}
            },
        }
        for status in statuses
    }


def describe(app: FastAPI) -> None:
    """Make `app.openapi()` describe our structs and problems."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = get_openapi(
                title=app.title,
                version=app.version,
                description=app.description,
                routes=app.routes,
                servers=[{"url": "/", "description": "The daemon that serves this document."}],
            )
            _, schemas = msgspec.json.schema_components(_SHOWN, ref_template=_REF)
            known = document.setdefault("components", {}).setdefault("schemas", {})
            for name, schema in schemas.items():
                known.setdefault(name, schema)
            _everywhere(document)
            examples.fill_in(document)
            # FastAPI's own shape of errors, which no route uses.
            known.pop("HTTPValidationError", None)
            known.pop("ValidationError", None)
            complete(document)
            describe_fields(known)
            share_problems(document)
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way to extend the document


def _everywhere(document: dict[str, Any]) -> None:
    """Add the problems that every path may respond with."""
    for operations in document["paths"].values():
        for operation in operations.values():
            for status, said in problems(
                408, 422, 429, 431, 500, *((400, 413) if "requestBody" in operation else ())
            ).items():
                operation["responses"].setdefault(str(status), said)
