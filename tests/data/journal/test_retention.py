"""Forgetting what is old without losing a count, an id or a cycle to be resumed."""

import asyncio
import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import msgspec

from core.models import DeliveryState, Stats
from data.disk.inventory import JOURNAL_FILE
from data.journal.journal import Journal
from data.journal.retention import EVENTS_KEPT
from data.journal.schema import stamp
from tests.data.support import NOW, cycle, delivery, event, moved

DAY = timedelta(days=1)


async def a_day(journal: Journal, day: int, user: str = "alice", posts: int = 20) -> None:
    """A cycle of that many posts, each delivered with an event, then finished."""
    at = NOW + day * DAY
    planned = await journal.plan_cycle(
        msgspec.structs.replace(cycle(user, day), started_at=at),
        [msgspec.structs.replace(delivery(f"@{n}", user, day), planned_at=at) for n in range(posts)],
    )
    done = [msgspec.structs.replace(moved(item, DeliveryState.DELIVERED), finished_at=at) for item in planned]
    told = msgspec.structs.replace(event(f"day {day}", user), at=at)
    await asyncio.gather(*(journal.update(item, event=told, messages=1) for item in done))
    await journal.finish_cycle(user, day, at)


async def test_what_is_old_goes_and_what_is_young_stays(journal: Journal) -> None:
    for day in range(10):
        await a_day(journal, day)
    assert await journal.trim(NOW + 6 * DAY) > 0
    assert {item.cycle for item in await journal.deliveries("alice", limit=1000)} == {6, 7, 8, 9}
    assert len(await journal.events("alice", limit=1000)) == 80
    assert await journal.trim(NOW + 6 * DAY) == 0


async def test_a_quiet_user_keeps_the_newest_events_and_their_ids_do_not_go_back(state_dir: Path) -> None:
    journal = Journal.open(state_dir)
    for day in range(5):
        await a_day(journal, day)
        await a_day(journal, day, "bob", posts=1)
    newest = journal.last_event_id("alice")
    await journal.trim(NOW + 100 * DAY)
    assert len(await journal.events("alice", limit=1000)) == EVENTS_KEPT
    assert len(await journal.events("bob", limit=1000)) == 5
    await journal.close()
    journal = Journal.open(state_dir)
    assert journal.last_event_id("alice") == newest
    await journal.close()


async def test_counters_lose_nothing_and_can_still_be_counted_from_the_journal_alone(state_dir: Path) -> None:
    journal = Journal.open(state_dir)
    for day in range(6):
        await a_day(journal, day)
        await a_day(journal, day, "bob", posts=3)
        if day == 3:
            old_file = (state_dir / "stats.json").read_bytes()
    await journal.trim(NOW + 4 * DAY)
    old = "SELECT COUNT(*), SUM(posts) FROM tallies WHERE user = 'alice' AND at < ?"
    with closing(sqlite3.connect(state_dir / JOURNAL_FILE)) as connection:
        assert connection.execute(old, (stamp(NOW + 4 * DAY),)).fetchone() == (1, 80)
    right = {user: journal.stats(user) for user in ("alice", "bob")}
    assert right["alice"].total_posts == right["alice"].total_messages_sent == 120
    await journal.close()
    for file in (None, old_file):
        (state_dir / "stats.json").unlink()
        if file is not None:
            (state_dir / "stats.json").write_bytes(file)
        journal = Journal.open(state_dir)
        assert {user: journal.stats(user) for user in right} == right
        assert journal.stats("nobody") == Stats()
        await journal.close()


async def test_the_cycle_to_be_resumed_stays_however_old_and_older_unfinished_ones_go(journal: Journal) -> None:
    for number in (1, 2):
        await journal.plan_cycle(cycle(cycle_id=number), [delivery("@one", cycle_id=number)])
    await journal.trim(NOW + 100 * DAY)
    found = await journal.unfinished_cycle("alice")
    assert found is not None
    assert [item.cycle for item in found[1]] == [2]
    assert [item.cycle for item in await journal.deliveries("alice")] == [2]


async def test_others_write_on_while_old_rows_go_and_the_file_keeps_its_size(journal: Journal, state_dir: Path) -> None:
    sizes = []
    for day in range(0, 60, 2):
        await asyncio.gather(
            journal.trim(NOW + (day - 5) * DAY), a_day(journal, day, posts=100), a_day(journal, day, "bob", posts=100)
        )
        with closing(sqlite3.connect(state_dir / JOURNAL_FILE)) as connection:
            sizes.append(connection.execute("PRAGMA page_count").fetchone()[0])
    assert journal.stats("alice").total_posts == 3000
    assert max(sizes[10:]) <= 1.3 * max(sizes[:10])
