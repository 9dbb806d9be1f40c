"""What the API shows of accounts and API pairs, beside what `sessions` itself says of them."""

from api.views import View
from sessions.accounts import Account
from sessions.api_pairs import ApiPairView
from sessions.enrol import Login


class AccountsView(View, frozen=True, kw_only=True):
    """Accounts, by name."""

    accounts: list[Account]


class RepairView(View, frozen=True, kw_only=True):
    """What a repair of the session folders found and did."""

    taken_in: list[str]
    moved: list[str]
    missing: list[str]
    unknown: list[str]


class ExportView(View, frozen=True, kw_only=True):
    """A session as text. Whoever has it is the account."""

    format: str
    session: str
    warning: str


class PairsView(View, frozen=True, kw_only=True):
    """Every API pair."""

    pairs: list[ApiPairView]
    need_login: list[str]
    """Accounts that a change just made left without a pair: they need a new login."""


SHOWN = (AccountsView, Account, Login, RepairView, ExportView, PairsView)
