"""Views of accounts and API pairs, beside those that `sessions` has itself."""

from api.views.base import View
from sessions.foreign.formats import Format
from sessions.imports import Verdict
from sessions.keys.api_pairs import ApiPairView
from sessions.roster.accounts import Account


class AccountsView(View, frozen=True, kw_only=True):
    """Accounts, by name."""

    accounts: list[Account]


class RepairView(View, frozen=True, kw_only=True):
    """What a repair of the session folders found and did."""

    taken_in: list[str]
    moved: list[str]
    missing: list[str]
    unknown: list[str]


class ImportedView(View, frozen=True, kw_only=True):
    """One session of an import, and what became of it."""

    source: str
    """Which session: the file in the zip, or the line of the text."""
    verdict: Verdict
    session: str | None
    """The session's name here, or the name under which its account is here already."""
    format: Format | None
    reason: str | None


class ImportView(View, frozen=True, kw_only=True):
    """What became of each session that was sent."""

    sessions: list[ImportedView]


class CheckView(View, frozen=True, kw_only=True):
    """What Telegram says of an account now."""

    name: str
    alive: bool | None
    """Null: that could not be found out now."""
    reason: str | None
    telegram_id: int | None
    display_name: str | None
    two_step: bool | None
    """Whether it has a two-step password."""
    other_sessions: int | None
    """Logins of the account besides this one."""


class ExportView(View, frozen=True, kw_only=True):
    """A session as text. Whoever has it is the account."""

    format: str
    session: str
    warning: str


class PairsView(View, frozen=True, kw_only=True):
    """Every API pair."""

    pairs: list[ApiPairView]
    need_login: list[str]
    """Accounts that this change left without a pair. They need a new login."""


class FarewellView(View, frozen=True, kw_only=True):
    """A deleted account."""

    name: str
    logged_out: bool
    """Whether Telegram ended its login."""
    reason: str | None
    """Why Telegram did not."""
