"""Who sends a request: a verified JWT in the Authorization header says it, and nothing else.

Every token that is worth nothing is refused in one place, `Authenticator._refuse`, with the same words.
"""

from collections import OrderedDict
from typing import NoReturn

from starlette.types import Scope as ASGIScope

from api.requests.client_address import address_of, counted_as
from api.requests.rate_limits import Rates
from api.security.audit_log import SecurityLog, facts_of
from api.security.keys import Keys
from api.security.revocations import Revocations
from api.security.tokens import BadToken, Identity, Scope, TokenRules, read_token
from core.clock import Clock
from core.errors import AuthError, Forbidden, TooMany

CACHED_TOKENS = 10_000
NOTED_EVERY_SECONDS = 900.0
IDENTITY = "postfleet.identity"
"""The key of the caller in a request's scope. A request is verified, and counted, once."""
_PREFIX = b"bearer "


class Authenticator:
    """Turns a request into an Identity, counts it, and writes refusals to the security log.

    It remembers at most `known_limit` verified tokens, and forgets the oldest first. Each use checks the token's end.
    """

    def __init__(
        self,
        keys: Keys,
        rules: TokenRules,
        clock: Clock,
        rates: Rates,
        security: SecurityLog,
        revocations: Revocations,
    ) -> None:
        self.known_limit = CACHED_TOKENS
        self._keys = keys
        self._generation = keys.generation
        self._rules = rules
        self._revocations = revocations
        revocations.on_change(self.forget)
        self._clock = clock
        self._rates = rates
        self._security = security
        # A plain dict takes longer to find its oldest entry the more were removed before.
        self._known: OrderedDict[bytes, Identity] = OrderedDict()
        self._noted: dict[tuple[str, str], float] = {}

    @property
    def remembered(self) -> int:
        """The number of verified tokens in memory."""
        return len(self._known)

    def forget(self) -> None:
        """Verify every token again, after keys changed or something was revoked."""
        self._known.clear()

    def identify(self, scope: ASGIScope) -> Identity:
        """Return who sent this request. Two tokens count as none. Raises as `identify_value` does."""
        known: Identity | None = scope.get(IDENTITY)
        if known is not None:
            return known
        found = [value for name, value in scope["headers"] if name == b"authorization"]
        identity = scope[IDENTITY] = self.identify_value(found[0] if len(found) == 1 else None, scope)
        return identity

    def identify_value(self, value: bytes | None, scope: ASGIScope) -> Identity:
        """Return who sent this Authorization header (None: there was not exactly one).

        Raises:
            AuthError: the token does not verify; the error never says why.
            Forbidden: the token's scopes do not cover the request.
            TooMany: the user asks too often, or the address sent too many tokens that do not verify.
        """
        now = self._clock.now().timestamp()
        self._keys.look(now)
        if self._keys.generation != self._generation:
            self._generation = self._keys.generation
            self.forget()
        identity = self._known.get(value) if value is not None else None
        if identity is None or identity.expires_at <= now:
            identity = self._verify(value, now, scope)
        self._rates.users.spend(identity.user_id)
        if identity.scopes is not None:
            self._check_scopes(identity, scope)
        return identity

    def is_good(self, identity: Identity) -> bool:
        """Return whether a token that was verified before still counts: not over, not revoked, its key still there."""
        now = self._clock.now().timestamp()
        self._keys.look(now)
        return (
            identity.expires_at > now
            and not self._revocations.covers(identity)
            and self._keys.key(identity.key_id) is not None
        )

    def _check_scopes(self, identity: Identity, scope: ASGIScope) -> None:
        needed = Scope.READ if scope["method"] in ("GET", "HEAD") else Scope.WRITE
        if not identity.may(needed):
            text = f"The token's scopes do not cover this; it needs '{needed}'"
            self._security.refusal("denied", text, user=identity.user_id, **facts_of(scope))
            raise Forbidden(text)

    def _verify(self, value: bytes | None, now: float, scope: ASGIScope) -> Identity:
        address = address_of(scope)
        network = counted_as(address)
        try:
            self._rates.refused_tokens.check(network)
        except TooMany:
            self._security.refusal("auth_limited", "Too many refused tokens from one address", **facts_of(scope))
            raise
        identity = self._read(value, now)
        if value is None or identity is None:
            self._refuse(value, network, scope)
        if len(self._known) >= self.known_limit:
            self._known.popitem(last=False)
        self._known[value] = identity
        self._note(identity.user_id, address, scope)
        return identity

    def _read(self, value: bytes | None, now: float) -> Identity | None:
        """Return the identity that the header proves, None when it proves none."""
        if value is None or value[:7].lower() != _PREFIX:
            return None
        try:
            identity = read_token(value[7:].strip(), self._keys, self._rules, now)
        except BadToken:
            return None
        return None if self._revocations.covers(identity) else identity

    def _refuse(self, value: bytes | None, network: str, scope: ASGIScope) -> NoReturn:
        """Refuse the request in the same words whatever is wrong, so that an attacker learns nothing."""
        if value is not None:
            self._known.pop(value, None)
            self._rates.refused_tokens.spend(network)
        self._security.refusal("auth_failed", "A token was refused", **facts_of(scope))
        raise AuthError("Send a valid token: Authorization: Bearer TOKEN")

    def _note(self, user_id: str, address: str, scope: ASGIScope) -> None:
        """Log a user and address once in a quarter of an hour: a line for each token would bury the rest."""
        now = self._clock.monotonic()
        who = (user_id, address)
        if now >= self._noted.get(who, now):
            if len(self._noted) >= self.known_limit:
                self._noted.clear()
            self._noted[who] = now + NOTED_EVERY_SECONDS
            self._security.note("auth_ok", "A token was verified", user=user_id, **facts_of(scope))
