"""Allowances begin anew at midnight of each user's own time zone.

The journal counts by day and month, so nothing has to be reset. Users who had used up everything are told.
"""

import asyncio
from collections.abc import Iterable
from datetime import datetime
from zoneinfo import ZoneInfo

from bot.cycle.run import CycleServices
from bot.pacing.budget import budget_of
from core.models import Budget, Event

_USERS_AT_ONCE = 500
"""How many are looked up before others may read the journal."""


async def tell_of_new_days(services: CycleServices, since: datetime, now: datetime) -> str:
    """Tell the users whose day began in (since, now] and who had nothing left before. Return a summary."""
    begun = await asyncio.to_thread(_whose_day_began, services, since, now)
    renewed = 0
    for first in range(0, len(begun), _USERS_AT_ONCE):
        before = await services.journal.allowance_overview(
            _budgets(services, begun[first : first + _USERS_AT_ONCE], since)
        )
        empty = [user_id for user_id, use in before.items() if use.left == 0]
        for user_id, use in (await services.journal.allowance_overview(_budgets(services, empty, now))).items():
            if use.left > 0:
                text = f"A new day began: {use.left} posts may be made on {use.day}"
                await services.journal.add_event(Event(at=now, user=user_id, action="allowance_renewed", text=text))
                renewed += 1
    return f"{len(begun)} users began a new day; {renewed} of them had nothing left before it"


def _whose_day_began(services: CycleServices, since: datetime, now: datetime) -> list[str]:
    users = services.store.snapshot.users
    began = {
        zone: now.astimezone(ZoneInfo(zone)).date() > since.astimezone(ZoneInfo(zone)).date()
        for zone in {user.schedule.timezone for user in users.values()}
    }
    return [user_id for user_id, user in users.items() if began[user.schedule.timezone]]


def _budgets(services: CycleServices, user_ids: Iterable[str], at: datetime) -> dict[str, Budget]:
    users = services.store.snapshot.users
    return {user_id: budget_of(users[user_id], services.settings, at) for user_id in user_ids if user_id in users}
