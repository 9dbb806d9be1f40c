"""Tokens that are refused before their end: one by one, by login, or all of a user."""

import math
from collections.abc import Callable

from api.security.tokens import LEEWAY_SECONDS, Identity
from core.clock import Clock
from data.auth_store import EVERYONE, AuthStore


class Revocations:
    """The revocations of `AuthStore`, kept in memory for the check at every request."""

    def __init__(self, auth_store: AuthStore, clock: Clock) -> None:
        self._auth_store = auth_store
        self._clock = clock
        revoked = auth_store.revoked_now(clock.now().timestamp())
        self._tokens, self._families, self._cutoffs = revoked.tokens, revoked.families, revoked.cutoffs
        self._callbacks: list[Callable[[], None]] = []

    def on_change(self, callback: Callable[[], None]) -> None:
        """Call `callback` after each revocation."""
        self._callbacks.append(callback)

    def covers(self, identity: Identity) -> bool:
        """Return whether the token behind this identity was revoked."""
        if identity.token_id is not None and identity.token_id in self._tokens:
            return True
        if identity.family is not None and (identity.user_id, identity.family) in self._families:
            return True
        cutoff = max(self._cutoffs.get(identity.user_id, -math.inf), self._cutoffs.get(EVERYONE, -math.inf))
        # Another issuer's clock may be ahead: a token from before the logout may claim a later time.
        return identity.issued_at <= cutoff + (0.0 if identity.made_here else LEEWAY_SECONDS)

    async def revoke(self, token_id: str, ends: float) -> None:
        """Refuse one token from now until its end. Durable on return. Raises StateNotWritten."""
        now = self._clock.now().timestamp()
        await self._auth_store.revoke(token_id, ends, now)
        self._tokens = {name: end for name, end in self._tokens.items() if end > now} | {token_id: ends}
        self._changed()

    async def end_family(self, family_id: str, user_id: str, access_ends: float) -> bool:
        """End a login of ours with its access tokens. Return whether it was there. Durable. Raises StateNotWritten."""
        ended = await self._auth_store.end_family(family_id, user_id, access_ends, self._clock.now().timestamp())
        if ended:
            self.family_was_ended(family_id, user_id, access_ends)
        return ended

    def family_was_ended(self, family_id: str, user_id: str, access_ends: float) -> None:
        """Refuse the access tokens of a login that the store has ended already."""
        now = self._clock.now().timestamp()
        self._families = {one: end for one, end in self._families.items() if end > now}
        self._families[user_id, family_id] = access_ends
        self._changed()

    async def log_out_everywhere(self, user_id: str) -> None:
        """Refuse every token of the user made until now, refresh tokens included. Durable. Raises StateNotWritten."""
        now = self._clock.now().timestamp()
        await self._auth_store.log_out_everywhere(user_id, now)
        self._cutoffs[user_id] = now
        self._changed()

    def _changed(self) -> None:
        for callback in self._callbacks:
            callback()
