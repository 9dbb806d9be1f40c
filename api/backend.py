"""The services below the API, which it is built on."""

from dataclasses import dataclass

from core.clock import Clock
from core.settings import Settings
from data.journal.journal import Journal
from data.users.data_manager import DataManager
from scheduler.bots import Bots
from sessions.account_services import AccountServices


@dataclass(frozen=True, kw_only=True)
class Backend:
    """The services that `create_app` is given. Its caller opens and closes them."""

    settings: Settings
    store: DataManager
    journal: Journal
    bots: Bots
    clock: Clock
    accounts: AccountServices | None = None
    """None: this API has no routes for accounts."""
