"""Changes that conflict with the present state."""

from typing import Literal

from core.errors.base import PostfleetError

LoginCode = Literal[
    "account_banned",
    "account_deleted",
    "api_pair_refused",
    "code_expired",
    "login_busy",
    "login_lost",
    "login_not_possible",
    "login_over",
    "login_refused",
    "login_step",
    "login_used",
    "telegram_unreachable",
]
"""Why an account cannot be logged in."""


class Conflict(PostfleetError):
    """The change conflicts with the present state."""

    code = "conflict"


class QuotaUsedUp(Conflict):
    """A user's files would be too many, or too much together."""

    code = "media_quota_used_up"


class FileInUse(Conflict):
    """A post names the file; the text says which."""

    code = "media_in_use"


class LoginRefused(Conflict):
    """An account cannot be logged in, or not in this way; each reason has a `code` of its own."""

    code: str = "login_refused"

    def __init__(self, code: LoginCode, text: str) -> None:
        super().__init__(text)
        self.code = code


class SessionInUse(Conflict):
    """Another process on the same STATE_DIR uses the session; its key must not be used twice."""

    code = "session_in_use"


class AccountRefused(Conflict):
    """A Telegram account has a session here already. The text tells only its owner which."""

    code = "account_refused"

    def __init__(self, text: str, first: str) -> None:
        super().__init__(text)
        self.first = first
        """The session that has the account; never shown to users."""


class PairNotChecked(Conflict):
    """Telegram could not be asked about an API pair. Whoever is sure of the pair may use it unchecked."""

    code = "pair_not_checked"
