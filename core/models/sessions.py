"""The accounts that post: their logins, and how long one rests."""

from datetime import datetime
from enum import StrEnum

import msgspec

from core.models.base import Model, Moment


class Hold(Model, frozen=True, kw_only=True):
    """Nothing is done before `until`; `reason` tells the user why. `count` grows with each refusal in a row."""

    until: Moment
    code: str
    reason: str
    count: int = 1
    since: Moment | None = None
    """When the wait began; None: not known."""

    def as_of(self, now: datetime) -> "Hold":
        """Return a hold that fits a clock that was set back since: as long as the wait was, beginning now."""
        if self.since is None or self.since <= now:
            return self
        return msgspec.structs.replace(self, until=now + (self.until - self.since), since=now)


class SessionState(StrEnum):
    """Whether an account can post, or why it cannot."""

    READY = "ready"
    NEEDS_LOGIN = "needs_login"
    FROZEN = "frozen"
    BANNED = "banned"
    DUPLICATE = "duplicate"
    """Telegram says that the account has another session here; this one never posts."""


class Session(Model, frozen=True, kw_only=True):
    """The login of one account. Its key lives in its file, never here."""

    api_id: int | None = None
    """The API pair it runs on; kept until it is given another one."""
    taken_on: int | None = None
    """The API pair of the last connection or login that Telegram accepted."""
    telegram_id: int | None = None
    """Who Telegram says it is; None: Telegram was not asked yet. No two sessions have the same."""
    dc_id: int | None = None
    owner: str | None = None
    """The only user who may have it; None: spare for everyone."""
    label: str = ""
    phone: str | None = None
    """Digits only. Shown whole to its owner alone."""
    premium: bool | None = None
    """Whether the account had Telegram Premium when it was last seen; None: never seen."""
    key_id: str | None = None
    """Identifies the auth key without revealing it: two files of one login have the same."""
    state: SessionState = SessionState.READY
    state_reason: str | None = None
    hold: Hold | None = None
    """Until then the whole account rests."""
    added_at: Moment | None = None
    last_used_at: Moment | None = None
