"""What every resource's routes take."""

from typing import Annotated

from fastapi import Depends, Request

from api.parts import Parts


async def _parts(request: Request) -> Parts:
    parts: Parts = request.app.state.parts
    return parts


Rooms = Annotated[Parts, Depends(_parts)]
"""A route's parameter: the rooms below."""
