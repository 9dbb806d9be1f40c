"""The one place that puts the rooms together: for the daemon, the tests and the benches.

Commands that need accounts alone use `sessions.account_services.open_accounts`, on which this stands.
"""

import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from bot.cycle.run import CycleServices
from bot.cycle.runner import CycleRunner
from core.clock import Clock
from core.settings import Settings
from data.disk.files import Disk
from data.journal.journal import Journal
from scheduler.bots import Bots
from scheduler.housekeeping import Housekeeping
from scheduler.scheduler import Scheduler
from sessions.account_services import AccountServices, open_accounts
from sessions.files.pool import Pool
from sessions.session_manager import SessionManager


@dataclass(frozen=True, kw_only=True)
class Services:
    """Everything below the API. Nothing ticks yet."""

    accounts: AccountServices
    journal: Journal
    cycle: CycleServices
    cycles: CycleRunner
    scheduler: Scheduler
    housekeeping: Housekeeping
    bots: Bots


@contextlib.asynccontextmanager
async def open_services(
    settings: Settings,
    clock: Clock,
    *,
    disk: Disk | None = None,
    pool_class: type[Pool] = Pool,
    manager_class: type[SessionManager] = SessionManager,
    runner: Callable[[CycleServices], CycleRunner] = CycleRunner,
) -> AsyncIterator[Services]:
    """Open the state folder and everything that works on it; close it at the end.

    Tests and benches put parts of their own in place of the disk, the pool, the session manager or the runner.

    Raises:
        StateError: the state cannot be read.
    """
    async with open_accounts(
        settings, clock, disk=disk, pool_class=pool_class, manager_class=manager_class
    ) as accounts:
        journal = Journal.open(settings.state_dir, disk=disk)
        try:
            cycle = CycleServices.over(settings, accounts.store, journal, accounts.sessions, accounts.clients, clock)
            cycles = runner(cycle)
            scheduler, housekeeping = Scheduler(cycle, cycles), Housekeeping(cycle)
            yield Services(
                accounts=accounts,
                journal=journal,
                cycle=cycle,
                cycles=cycles,
                scheduler=scheduler,
                housekeeping=housekeeping,
                bots=Bots(cycle, scheduler, housekeeping),
            )
        finally:
            await journal.close()
