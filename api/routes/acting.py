"""Who acts in `/api/admin`, and how what they do is written down."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Path, Request

from api.security.audit_log import SecurityLog
from api.security.authentication import Operator, request_facts
from api.security.tokens import Identity

UserId = Annotated[str, Path(min_length=1, max_length=128)]


@dataclass(frozen=True)
class OperatorAction:
    """An operator at work."""

    operator: Identity
    request: Request

    def note(self, what: str, about: str, *, before: object = None, after: object = None) -> None:
        """Write to the security log what was done to what, as it was and as it is."""
        security: SecurityLog = self.request.app.state.security
        facts: dict[str, object] = {"target": about, "before": before, "after": after}
        security.note(
            f"operator_{what}",
            f"An operator did: {what}",
            user=self.operator.user_id,
            **request_facts(self.request.scope),
            **facts,  # type: ignore[arg-type]  # facts of any kind, none of the named ones
        )


async def _acting(operator: Operator, request: Request) -> OperatorAction:
    return OperatorAction(operator, request)


Admin = Annotated[OperatorAction, Depends(_acting)]
"""A route's parameter: the operator who calls it."""
