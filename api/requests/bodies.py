"""Bodies that may be larger than others. Their routes bound them, because the framework has one limit for all."""

import asyncio
from collections.abc import AsyncIterator

from starlette.requests import Request

from core.errors import TooLarge, TooSlow

BOUND_BELOW = 2**62
"""`max_body_size` of a route that bounds the size itself."""


def declared_size(request: Request) -> int | None:
    """Return the size of the body that the request declares, in bytes; None when it declares none."""
    length = request.headers.get("content-length", "")
    return int(length) if length.isdigit() and len(length) < 20 else None


async def pieces_of(request: Request, patience: float) -> AsyncIterator[bytes]:
    """Yield the pieces of the body as they arrive.

    Raises:
        TooSlow: nothing arrived for `patience` seconds.
        ClientDisconnect: the client left before the end.
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
    """Return the whole body.

    Raises:
        TooLarge: it declares more than `most` bytes, or more than that have arrived.
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
