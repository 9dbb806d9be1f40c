"""Who is asking: a verified JWT in the Authorization header and nothing else."""

from collections.abc import Iterable
from typing import Annotated

from fastapi import Depends, Request, Security
from fastapi.security import HTTPBearer

from api.tokens import Identity, read_token, refused
from core.clock import Clock

CACHED_TOKENS = 10_000
_PREFIX = b"bearer "

bearer = HTTPBearer(
    auto_error=False, bearerFormat="JWT", description="A JWT with `user_id` or `sub`, and `exp`.", scheme_name="jwt"
)


class Authenticator:
    """Turns request headers into an Identity.

    Verified tokens are remembered (at most CACHED_TOKENS, oldest out first); their end is checked at every use.
    """

    def __init__(self, secret: str, clock: Clock) -> None:
        self.known_limit = CACHED_TOKENS
        self._secret = secret.encode()
        self._clock = clock
        self._known: dict[bytes, Identity] = {}

    @property
    def remembered(self) -> int:
        """How many verified tokens are in memory."""
        return len(self._known)

    def identify(self, headers: Iterable[tuple[bytes, bytes]]) -> Identity:
        """Who sent these (raw, lower-case) headers.

        Raises:
            AuthError: no token, more than one, or one that does not verify.
        """
        found = [value for name, value in headers if name == b"authorization"]
        if len(found) != 1:
            raise refused()
        return self.identify_value(found[0])

    def identify_value(self, value: bytes) -> Identity:
        """Who sent this value of an Authorization header. Raises AuthError."""
        now = self._clock.now().timestamp()
        known = self._known.get(value)
        if known is not None:
            if known.expires_at > now:
                return known
            del self._known[value]
            raise refused()
        if value[:7].lower() != _PREFIX:
            raise refused()
        identity = read_token(value[7:].strip(), self._secret, now)
        if len(self._known) >= self.known_limit:
            del self._known[next(iter(self._known))]
        self._known[value] = identity
        return identity


async def _caller(request: Request, _: Annotated[object, Security(bearer)]) -> Identity:
    authenticator: Authenticator = request.app.state.authenticator
    return authenticator.identify(request.scope["headers"])


Caller = Annotated[Identity, Depends(_caller)]
"""A route's parameter: the verified caller."""
