"""The bundle of rooms the API's routes work with."""

from dataclasses import dataclass

from core.clock import Clock
from core.settings import Settings
from data.journal.journal import Journal
from data.users.data_manager import DataManager
from scheduler.bots import Bots
from sessions.account_services import AccountServices


@dataclass(frozen=True)
class ApiContext:
    """The rooms below, as the API was given them."""

    settings: Settings
    store: DataManager
    journal: Journal
    bots: Bots
    clock: Clock
    accounts: AccountServices | None = None
    """None: this API does not speak about accounts."""
