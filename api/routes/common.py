"""What every resource's routes take."""

from typing import Annotated

from fastapi import Depends, Request

from api.context import ApiContext
from core.errors import NotReady
from sessions.account_services import AccountServices


async def _parts(request: Request) -> ApiContext:
    parts: ApiContext = request.app.state.parts
    return parts


Context = Annotated[ApiContext, Depends(_parts)]
"""A route's parameter: the rooms below."""


async def _accounts(rooms: Context) -> AccountServices:
    if rooms.accounts is None:
        raise NotReady("this API was started without accounts")
    return rooms.accounts


Accounts = Annotated[AccountServices, Depends(_accounts)]
"""A route's parameter: everything about accounts."""
