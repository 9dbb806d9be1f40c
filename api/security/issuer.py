"""Our own issuer, for services without one: password login, short access tokens, refresh tokens that rotate.

A refresh token is `family.secret.proof`, and only the newest of its family is good. When an older one comes back, both
the user and a thief have it, and nobody can tell them apart: the family ends, and both have to log in again. The proof
tells an older token from an invented one, because a family's id is no secret.
"""

import asyncio
import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from api.requests.client_address import counted_as
from api.requests.rate_limits import Rate, Rates
from api.security.audit_log import SecurityLog
from api.security.derived_keys import derived_key
from api.security.passwords import Passwords
from api.security.revocations import Revocations
from api.security.tokens import Identity, TokenRules, check_user_id, issue_token
from core.clock import Clock
from core.errors import AuthError, InvalidInput
from core.settings import Settings
from data.auth_store import AuthStore, Family, Password, Refresh

WRONG = "User or password is wrong"
NOT_GOOD = "The refresh token is not valid; log in again"
_LONGEST_ACCESS_SECONDS = 86_400.0 + 1
"""No access token lives longer, whatever the settings were when it was issued."""


@dataclass(frozen=True)
class Grant:
    """The tokens of a login or a refresh."""

    access_token: str
    expires_in: float
    refresh_token: str


class Issuer:
    """Issues tokens for passwords and refresh tokens, and ends them."""

    def __init__(
        self,
        settings: Settings,
        rules: TokenRules,
        auth_store: AuthStore,
        revocations: Revocations,
        rates: Rates,
        security: SecurityLog,
        clock: Clock,
    ) -> None:
        self._secret = settings.jwt_secret.get_secret_value()
        self._proof_key = derived_key(self._secret, "refresh tokens")
        self._lifetime = timedelta(minutes=settings.access_token_minutes)
        self._family_lifetime = timedelta(days=settings.refresh_token_days)
        self._rules = rules
        self._auth_store = auth_store
        self._revocations = revocations
        self._rates = rates
        self._security = security
        self._clock = clock
        self._passwords = Passwords()

    async def log_in(self, user_id: str, password: str, about: dict[str, str]) -> Grant:
        """Check the password and begin a family.

        Raises:
            AuthError: the user is unknown or the password wrong, in the same words.
            TooMany: there were too many failures for this user or from this address.
            Busy: too many passwords wait to be checked.
        """
        # First, so that a refused address uses up nothing of the user's limit.
        self._rates.spend(Rate.LOGIN_ADDRESS, counted_as(about["address"]))
        kept = await self._checked(user_id, password, "A login failed", about)
        now = self._clock.now()
        family = Family(secrets.token_urlsafe(12), user_id, kept.roles, (now + self._family_lifetime).timestamp())
        secret = self._new_secret(family.id)
        if not await self._auth_store.begin_family(family, _digest(secret), kept.hash, now.timestamp()):
            self._security.refusal("login_failed", "The password was changed meanwhile", user=user_id, **about)
            raise AuthError(WRONG)
        self._security.note("login", "A user logged in", user=user_id, **about)
        return self._grant(family, secret, now)

    async def refresh(self, token: str, about: dict[str, str]) -> Grant:
        """Exchange a refresh token, which is good once, for new tokens.

        Raises:
            AuthError: it is unknown, over, or was used before, which ends its family with all its tokens.
        """
        family_id, _, secret = token.partition(".")
        following = self._new_secret(family_id)
        now = self._clock.now()
        access_ends = now.timestamp() + _LONGEST_ACCESS_SECONDS
        made_here = self._made_here(family_id, secret)
        outcome, family = await self._auth_store.rotate(
            family_id,
            _digest(secret),
            _digest(following),
            now.timestamp(),
            made_here=made_here,
            access_ends=access_ends,
        )
        if outcome is Refresh.ROTATED and family is not None:
            return self._grant(family, following, now)
        if outcome is Refresh.REUSED and family is not None:
            self._revocations.family_was_ended(family.id, family.user, access_ends)
            text = "A refresh token came back after it was used: its family is ended"
            self._security.refusal("token_reused", text, user=family.user, **about)
        else:
            self._security.refusal("refresh_failed", "A refresh token was refused", **about)
        raise AuthError(NOT_GOOD)

    async def log_out(self, caller: Identity, about: dict[str, str], *, everywhere: bool) -> None:
        """End the caller's login with its tokens, or their one token when it comes from no login of ours.

        `everywhere` ends all logins and tokens of the caller.

        Raises:
            InvalidInput: the token has no id, so it can only be ended together with all others.
        """
        if everywhere:
            await self._revocations.log_out_everywhere(caller.user_id)
        else:
            access_ends = self._clock.now().timestamp() + _LONGEST_ACCESS_SECONDS
            ended = caller.family is not None and await self._revocations.end_family(
                caller.family, caller.user_id, access_ends
            )
            if caller.token_id is not None:
                await self._revocations.revoke(caller.token_id, caller.expires_at)
            elif not ended:
                raise InvalidInput("token", "has no jti, so it cannot be ended alone; log out everywhere")
        text = "A user logged out everywhere" if everywhere else "A user logged out"
        self._security.note("logout", text, user=caller.user_id, **about)

    async def set_password(self, user_id: str, password: str, roles: frozenset[str]) -> None:
        """Set a user's password, and end every login and token from before.

        Raises:
            InvalidInput: the id or the password cannot be used.
        """
        check_user_id(user_id)
        kept = Password(await self._passwords.hash(password, user_id=user_id), roles)
        await self._auth_store.set_password(user_id, kept, self._clock.now().timestamp())
        await self._revocations.log_out_everywhere(user_id)

    async def change_password(self, user_id: str, old: str, new: str, about: dict[str, str]) -> None:
        """Change a user's password on their own request.

        Raises:
            AuthError: the old password is wrong.
            InvalidInput: the new one is weak.
            TooMany, Busy: as `log_in` does.
        """
        kept = await self._checked(user_id, old, "A change of password failed", about)
        await asyncio.shield(self.set_password(user_id, new, kept.roles))
        self._security.note("password_changed", "A user changed their password", user=user_id, **about)

    async def _checked(self, user_id: str, password: str, failure: str, about: dict[str, str]) -> Password:
        """Return what is stored of the user whose password it is. Raises AuthError, TooMany, Busy."""
        kept = await self._auth_store.password(user_id)
        # No await until the count: whoever finds no place is not counted as a wrong guess.
        self._passwords.refuse_when_busy()
        network = counted_as(about["address"])
        self._rates.spend(Rate.LOGIN_USER, user_id, network)
        self._rates.spend(Rate.LOGIN_ANYWHERE, user_id)
        if not await self._passwords.fits(kept.hash if kept else None, password) or kept is None:
            self._security.refusal("login_failed", failure, user=user_id, **about)
            raise AuthError(WRONG)
        self._rates.clear(Rate.LOGIN_USER, user_id, network)
        self._rates.clear(Rate.LOGIN_ANYWHERE, user_id)
        return kept

    def _new_secret(self, family_id: str) -> str:
        secret = secrets.token_urlsafe(32)
        return f"{secret}.{self._proof(family_id, secret)}"

    def _made_here(self, family_id: str, secret: str) -> bool:
        """Return whether we issued this refresh token, however long ago."""
        nonce, _, proof = secret.partition(".")
        return hmac.compare_digest(_bytes(proof), self._proof(family_id, nonce).encode())

    def _proof(self, family_id: str, secret: str) -> str:
        return hmac.digest(self._proof_key, _bytes(f"{family_id}.{secret}"), "sha256").hex()[:32]

    def _grant(self, family: Family, secret: str, now: datetime) -> Grant:
        """Return the tokens as of `now`, a moment before the store was asked: a logout meanwhile covers them."""
        access = issue_token(
            self._secret,
            family.user,
            now=now,
            lifetime=self._lifetime,
            roles=family.roles,
            rules=self._rules,
            family=family.id,
        )
        return Grant(access, self._lifetime.total_seconds(), f"{family.id}.{secret}")


def _digest(secret: str) -> str:
    # The secret is 256 random bits, so a fast digest is as good as a slow one.
    return hashlib.sha256(_bytes(secret)).hexdigest()


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
