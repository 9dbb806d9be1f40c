"""What the API shows of accounts and logins."""

from datetime import datetime

from api.views import View
from sessions.accounts import Account, AccountState
from sessions.api_pairs import ApiPairView, PairState
from sessions.enrol import Login, Step


class AccountView(View, frozen=True, kw_only=True):
    """An account and how it is."""

    name: str
    label: str
    state: AccountState
    reason: str | None
    until: datetime | None
    user: str | None
    """Whose bot posts with it."""
    owner: str | None
    """The only user who may have it; none: a spare one for everyone."""
    phone: str | None
    """Whole for its owner, masked for everybody else."""
    telegram_id: int | None
    api_id: int | None
    added_at: datetime | None
    last_used_at: datetime | None
    posts_today: int
    """Since midnight UTC."""


class AccountsView(View, frozen=True, kw_only=True):
    """Accounts, by name."""

    accounts: list[AccountView]


class LoginView(View, frozen=True, kw_only=True):
    """How far a login has come."""

    id: str
    step: Step
    """What it waits for."""
    expires_at: datetime
    sent: str | None
    """Where the code went, in words."""
    qr_url: str | None
    """What the QR code to scan says; it changes about twice a minute."""
    hint: str | None
    """What the account's owner wrote to remember the two-step password by."""
    session: str | None
    """The account's session, once the login is done."""
    assigned_to: str | None
    reason: str | None
    """Why it is over."""


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


class PairView(View, frozen=True, kw_only=True):
    """An API pair; its hash is never shown."""

    api_id: int
    state: PairState
    reason: str | None
    since: datetime | None
    in_settings: bool


class PairsView(View, frozen=True, kw_only=True):
    """Every API pair."""

    pairs: list[PairView]
    need_login: list[str]
    """Accounts that a change just made left without a pair: they need a new login."""


SHOWN = (AccountsView, AccountView, LoginView, RepairView, ExportView, PairsView)


def account_view(account: Account) -> AccountView:
    """An account."""
    return AccountView(**{name: getattr(account, name) for name in AccountView.__struct_fields__})


def login_view(login: Login) -> LoginView:
    """A login."""
    return LoginView(**{name: getattr(login, name) for name in LoginView.__struct_fields__})


def pair_view(pair: ApiPairView) -> PairView:
    """A pair."""
    return PairView(**{name: getattr(pair, name) for name in PairView.__struct_fields__})
