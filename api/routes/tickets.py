"""`/api/auth/tickets`: one-time tickets for addresses a browser opens without headers."""

from starlette.responses import Response

from api.openapi.document import json_answer, problems, shows
from api.routes.dependencies import Caller, Context
from api.routes.router import RequestBody, resource
from api.security.tickets import LIFETIME_SECONDS, Purpose
from api.views.base import TicketView

routes = resource("/api/auth", tags=["auth"])


class TicketRequest(RequestBody):
    """What the ticket is to open."""

    purpose: Purpose = Purpose.STREAM


@routes.post(
    "/tickets",
    status_code=201,
    responses={201: shows(TicketView, "A ticket, good once."), **problems(401, 403, 422)},
)
async def give(caller: Caller, context: Context, wish: TicketRequest | None = None) -> Response:
    """Get a ticket for the caller, good once within 30 seconds: `GET /api/sync/stream?ticket=…`."""
    ticket = context.tickets.give(caller, wish.purpose if wish else Purpose.STREAM)
    view = TicketView(ticket=ticket, expires_in=LIFETIME_SECONDS)
    return json_answer(view, 201, {"Cache-Control": "no-store"})
