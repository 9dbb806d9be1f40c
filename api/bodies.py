"""Bodies larger than others may be: their routes bound them, because the framework's limit is one for all."""

from starlette.requests import Request

from core.errors import TooLarge

BOUND_BELOW = 2**62
"""A route's `max_body_size`, where the route itself looks at the size."""


def declared_size(request: Request) -> int | None:
    """What the request says of its body's size; None when it does not."""
    length = request.headers.get("content-length", "")
    return int(length) if length.isdigit() and len(length) < 20 else None


async def bounded_body(request: Request, most: int) -> bytes:
    """The whole body.

    Raises:
        TooLarge: by what it declares, or as soon as it has become so.
        ClientDisconnect: it did not arrive whole.
    """
    too_large = TooLarge(f"The body is too large; at most {most:,} bytes are taken.")
    if (declared_size(request) or 0) > most:
        raise too_large
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > most:
            raise too_large
    return bytes(body)
