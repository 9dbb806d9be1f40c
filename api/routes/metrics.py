"""`/metrics`: figures for Prometheus."""

from typing import Annotated

from fastapi import Depends, Request, Security
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import Response

from api.openapi.document import problems
from api.requests.client_address import UNKNOWN, is_trusted
from api.routes.dependencies import Context, Facts, bearer, operator_only
from api.routes.router import resource

routes = resource(tags=["health"])
_FORWARDING = frozenset({b"x-forwarded-for", b"forwarded", b"x-real-ip", b"via"})


async def _may_look(request: Request, context: Context, facts: Facts, _: Annotated[object, Security(bearer)]) -> None:
    """Let in operators, and whoever connects from a named address with no proxy in between.

    Raises:
        AuthError, Forbidden: the caller is neither.
    """
    named = is_trusted(request.client.host if request.client else UNKNOWN, context.settings.metrics_from)
    if named and not any(name in _FORWARDING for name, _ in request.scope["headers"]):
        return
    operator_only(context, context.authenticator.identify(request.scope), facts)


@routes.get(
    "/metrics",
    responses={
        200: {"description": "The figures.", "content": {"text/plain": {"schema": {"type": "string"}}}},
        **problems(401, 403),
    },
    dependencies=[Depends(_may_look)],
)
async def metrics(context: Context) -> Response:
    """Figures in Prometheus' text form, for operators and for addresses named in POSTFLEET_METRICS_FROM."""
    return Response(context.metrics.text(), headers={"Content-Type": CONTENT_TYPE_LATEST, "Cache-Control": "no-store"})
