"""Tokens that are worth nothing before their end: revoked one by one, or all of a user's by a logout everywhere."""

from collections.abc import Callable

from api.tokens import Identity
from core.clock import Clock
from data.auth_store import AuthStore


class Revocations:
    """What `AuthStore` remembers, kept in memory for every look."""

    def __init__(self, memory: AuthStore, clock: Clock) -> None:
        self._memory = memory
        self._clock = clock
        self._tokens, self._cutoffs = memory.revoked_now(clock.now().timestamp())
        self._callbacks: list[Callable[[], None]] = []

    def on_change(self, callback: Callable[[], None]) -> None:
        """Call back after something was revoked."""
        self._callbacks.append(callback)

    def covers(self, identity: Identity) -> bool:
        """Whether the token behind this identity was revoked."""
        if identity.token_id is not None and identity.token_id in self._tokens:
            return True
        return identity.issued_at <= self._cutoffs.get(identity.user_id, -1.0)

    async def revoke(self, token_id: str, ends: float) -> None:
        """Durable before it answers. Raises StateNotWritten."""
        now = self._clock.now().timestamp()
        await self._memory.revoke(token_id, ends, now)
        self._tokens = {name: end for name, end in self._tokens.items() if end > now} | {token_id: ends}
        self._changed()

    async def log_out_everywhere(self, user_id: str) -> None:
        """Every token of the user made until now, refresh tokens included. Durable. Raises StateNotWritten."""
        now = self._clock.now().timestamp()
        await self._memory.log_out_everywhere(user_id, now)
        self._cutoffs[user_id] = now
        self._changed()

    def _changed(self) -> None:
        for callback in self._callbacks:
            callback()
