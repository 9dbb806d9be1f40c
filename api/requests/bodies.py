"""Bodies larger than others may be: their routes bound them, because the framework's limit is one for all."""

import asyncio
from collections.abc import AsyncIterator

from starlette.requests import Request

from core.errors import TooLarge, TooSlow

BOUND_BELOW = 2**62
"""A route's `max_body_size`, where the route itself looks at the size."""


def declared_size(request: Request) -> int | None:
    """What the request says of its body's size; None when it does not."""
    length = request.headers.get("content-length", "")
    return int(length) if length.isdigit() and len(length) < 20 else None


async def pieces_of(request: Request, patience: float) -> AsyncIterator[bytes]:
    """The body as it arrives.

    Raises:
        TooSlow: nothing came for `patience` seconds.
        ClientDisconnect: it did not arrive whole.
    """
    arriving = request.stream()
    while True:
        try:
            async with asyncio.timeout(patience):
                piece = await anext(arriving, None)
        except TimeoutError:
            raise TooSlow(f"Nothing arrived for {patience:g} seconds.") from None
        if piece is None:
            return
        yield piece


async def bounded_body(request: Request, most: int, patience: float) -> bytes:
    """The whole body.

    Raises:
        TooLarge: by what it declares, or as soon as it has become so.
        TooSlow, ClientDisconnect: as `pieces_of`.
    """
    too_large = TooLarge(f"The body is too large; at most {most:,} bytes are taken.")
    if (declared_size(request) or 0) > most:
        raise too_large
    body = bytearray()
    async for piece in pieces_of(request, patience):
        body += piece
        if len(body) > most:
            raise too_large
    return bytes(body)
