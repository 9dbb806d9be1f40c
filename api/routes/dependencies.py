"""The parameters that routes of every resource take."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Path, Query, Request, Security
from fastapi.security import HTTPBearer

from api.context import ApiContext
from api.security.audit_log import SecurityLog, facts_of
from api.security.tickets import Purpose
from api.security.tokens import Identity
from core.errors import AuthError, Forbidden, NotReady
from sessions.account_services import AccountServices

bearer = HTTPBearer(
    auto_error=False, bearerFormat="JWT", description="A JWT with `user_id` or `sub`, and `exp`.", scheme_name="jwt"
)
UserId = Annotated[str, Path(min_length=1, max_length=128)]


async def _context(request: Request) -> ApiContext:
    context: ApiContext = request.app.state.context
    return context


Context = Annotated[ApiContext, Depends(_context)]
"""Everything the route works with."""


async def _accounts(context: Context) -> AccountServices:
    if context.accounts is None:
        raise NotReady("this API was started without accounts")
    return context.accounts


Accounts = Annotated[AccountServices, Depends(_accounts)]
"""Everything about Telegram accounts."""


async def _facts(request: Request) -> dict[str, str]:
    return facts_of(request.scope)


Facts = Annotated[dict[str, str], Depends(_facts)]
"""What the security log says of the request."""


async def _caller(request: Request, context: Context, _: Annotated[object, Security(bearer)]) -> Identity:
    return context.authenticator.identify(request.scope)


Caller = Annotated[Identity, Depends(_caller)]
"""The verified caller."""


StreamTicket = Annotated[str, Query(max_length=200, description="From `POST /api/auth/tickets`.")]
DownloadTicket = Annotated[
    str, Query(max_length=200, description='From `POST /api/auth/tickets` with `{"purpose": "download"}`.')
]


def redeem(context: ApiContext, ticket: str, purpose: Purpose, facts: dict[str, str]) -> Identity:
    """Consume the ticket and return whom it was given to.

    Raises:
        AuthError: the ticket is not valid; the security log notes it.
    """
    try:
        return context.tickets.take(ticket, purpose)
    except AuthError:
        context.security.refusal("ticket_refused", "A ticket was refused", **facts)
        raise


def operator_only(context: ApiContext, caller: Identity, facts: dict[str, str]) -> Identity:
    """Return the caller when they are an operator.

    Raises:
        Forbidden: they are none; the security log notes it.
    """
    if not caller.operator:
        context.security.refusal("denied", "An operator's address was refused", user=caller.user_id, **facts)
        raise Forbidden("Only an operator may do this")
    return caller


@dataclass(frozen=True)
class OperatorAction:
    """An operator at work, whose every change the security log notes."""

    operator: Identity
    security: SecurityLog
    facts: dict[str, str]

    def note(self, what: str, about: str, *, before: object = None, after: object = None) -> None:
        """Note what was done to what, as it was before and as it is now."""
        details: dict[str, object] = {"target": about, "before": before, "after": after}
        self.security.note(
            f"operator_{what}",
            f"An operator did: {what}",
            user=self.operator.user_id,
            **self.facts,
            **details,  # type: ignore[arg-type]  # values of any type, under none of the named parameters
        )


async def _acting(context: Context, caller: Caller, facts: Facts) -> OperatorAction:
    return OperatorAction(caller, context.security, facts)


Acting = Annotated[OperatorAction, Depends(_acting)]
"""The caller, where only an operator can reach what they do to others."""


async def _admin(context: Context, acting: Acting) -> OperatorAction:
    operator_only(context, acting.operator, acting.facts)
    return acting


Admin = Annotated[OperatorAction, Depends(_admin)]
"""The operator who calls the route."""
