"""What every resource's routes take."""

from typing import Annotated

from fastapi import Depends, Request

from api.context import Parts
from core.errors import NotReady
from sessions.account_services import AccountRooms


async def _parts(request: Request) -> Parts:
    parts: Parts = request.app.state.parts
    return parts


Rooms = Annotated[Parts, Depends(_parts)]
"""A route's parameter: the rooms below."""


async def _accounts(rooms: Rooms) -> AccountRooms:
    if rooms.accounts is None:
        raise NotReady("this API was started without accounts")
    return rooms.accounts


Accounts = Annotated[AccountRooms, Depends(_accounts)]
"""A route's parameter: everything about accounts."""
