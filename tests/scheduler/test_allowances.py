"""Nobody posts more than their allowance, whatever races or dies; what was not sent is given back."""

import asyncio
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from bot.cycle.run import CycleControl, CycleRun, StopReason
from bot.pacing.budget import budget_of
from core.models import Allowance, Budget, Cycle, Delivery, DeliveryState, Grant, PostContent, PostType, Schedule, User
from core.settings import Settings
from data.journal import allowances
from data.journal import schema as journal_schema
from data.journal import writes as journal_work
from data.journal.journal import Journal
from data.journal.writes import CommitEffects, tell_nothing
from tests.support.clock import START, MovableClock
from tests.support.house import open_house

HUNDRED = Budget(day=date(2026, 3, 2), per_day=100, per_month=1000)
STATES = DeliveryState


def cycle(number: int, user: str = "alice") -> Cycle:
    return Cycle(id=number, user=user, post_type=PostType.TEXT, post_content=PostContent(text="Hi"), started_at=START)


def deliveries(number: int, count: int = 1, user: str = "alice") -> list[Delivery]:
    return [
        Delivery(user=user, cycle=number, group=f"@g{group}", session="s", random_id=1, planned_at=START)
        for group in range(count)
    ]


async def test_a_thousand_racing_reservations_against_a_hundred_grant_exactly_a_hundred(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path)
    plans = await asyncio.gather(
        *(journal.plan_cycle(cycle(number), deliveries(number), HUNDRED) for number in range(1000))
    )
    planned = [delivery for (delivery,) in plans if delivery.state is STATES.PLANNED]
    assert len(planned) == 100
    use = await journal.allowance("alice", HUNDRED)
    assert (use.reserved_today, use.spent_today, use.left) == (100, 0, 0)
    for delivery in planned[:30]:
        await journal.update(replace(delivery, state=STATES.DELIVERED, finished_at=START))
    for delivery in planned[30:50]:
        await journal.update(replace(delivery, state=STATES.FAILED, finished_at=START))
    use = await journal.allowance("alice", HUNDRED)
    assert (use.reserved_today, use.spent_today, use.left) == (50, 30, 20)
    assert (await journal.allowance("bob", HUNDRED)).left == 100
    await journal.close()


RACER = """
import asyncio, sys
from pathlib import Path
from msgspec.structs import replace
from core.models import DeliveryState
from data.journal.journal import Journal
from tests.scheduler.test_allowances import HUNDRED, cycle, deliveries
from tests.support.clock import START

async def one(journal, number):
    plan = await journal.plan_cycle(cycle(number), deliveries(number, 2), HUNDRED)
    for delivery in plan:
        print("planned", flush=True)
        if delivery.state is DeliveryState.PLANNED:
            await journal.update(replace(delivery, state=DeliveryState.SENDING))
            end = [DeliveryState.DELIVERED, DeliveryState.FAILED, DeliveryState.UNKNOWN][number % 3]
            await journal.update(replace(delivery, state=end, finished_at=START))
    await journal.finish_cycle("alice", number, START)

async def main():
    journal = Journal.open(Path(sys.argv[1]))
    for start in range(int(sys.argv[2]), 10**9, 20):
        await asyncio.gather(*(one(journal, number) for number in range(start, start + 20)))

asyncio.run(main())
"""


def test_after_kill_9_in_the_middle_the_books_balance(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    for round_ in range(4):
        racer = subprocess.Popen(
            [sys.executable, "-c", RACER, str(tmp_path), str(round_ * 10_000)], cwd=root, stdout=subprocess.PIPE
        )
        assert racer.stdout is not None
        for _ in range(9 * (round_ + 1)):
            racer.stdout.readline()
        racer.send_signal(signal.SIGKILL)
        racer.wait(10)
        racer.stdout.close()
        check_books(tmp_path)


def check_books(state: Path) -> None:
    """What is booked and spent is what the deliveries say, and never more than is allowed."""
    with closing(journal_schema.open_journal(state / "journal.sqlite3")) as connection:
        count = dict(connection.execute("SELECT state, COUNT(*) FROM deliveries GROUP BY state").fetchall())
        use = allowances.use_of(connection, "alice", HUNDRED)
        assert use.reserved_today == count.get("planned", 0) + count.get("sending", 0)
        assert use.spent_today == count.get("delivered", 0) + count.get("unknown", 0)
        assert use.uncounted == count.get("unknown", 0)
        assert use.spent_today + use.reserved_today <= 100


async def test_what_a_crash_left_reserved_in_a_cycle_nobody_goes_on_with_is_given_back(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path)
    await journal.plan_cycle(cycle(1), deliveries(1, 10), HUNDRED)
    (still_wanted, *_) = await journal.plan_cycle(cycle(2), deliveries(2, 5), HUNDRED)
    assert await journal.give_back_lost() == 10
    assert (await journal.allowance("alice", HUNDRED)).reserved_today == 5
    await journal.update(replace(still_wanted, state=STATES.DELIVERED, finished_at=START))
    assert await journal.give_back_lost() == 0
    await journal.close()


async def test_what_is_left_of_a_cycle_that_goes_on_the_next_day_is_of_that_day(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path)
    monday = Budget(day=date(2026, 3, 2), per_day=10, per_month=14)
    tuesday = replace(monday, day=date(2026, 3, 3))
    planned = await journal.plan_cycle(cycle(1), deliveries(1, 10), monday)
    for delivery in planned[:2]:
        await journal.update(replace(delivery, state=STATES.DELIVERED, finished_at=START))
    await journal.update(replace(planned[2], state=STATES.SENDING))
    resumed = await journal.resume_cycle(cycle(1), tuesday, START, tell_nothing)
    assert [one.state for one in resumed] == [STATES.DELIVERED] * 2 + [STATES.SENDING] + [STATES.PLANNED] * 7
    on_monday, on_tuesday = await journal.allowance("alice", monday), await journal.allowance("alice", tuesday)
    assert (on_monday.reserved_today, on_monday.spent_today) == (0, 2)
    assert (on_tuesday.reserved_today, on_tuesday.spent_today, on_tuesday.left) == (8, 0, 2)
    assert await journal.resume_cycle(cycle(1), tuesday, START, tell_nothing) == resumed
    for delivery in resumed[2:]:
        await journal.update(replace(delivery, state=STATES.DELIVERED, finished_at=START))
    assert [(spent.day.day, spent.spent) for spent in (await journal.allowance_history("alice"))[0]] == [(3, 8), (2, 2)]
    await journal.close()


async def test_a_cycle_that_goes_on_the_next_day_races_with_new_plans_within_that_days_allowance(
    tmp_path: Path,
) -> None:
    journal = Journal.open(tmp_path)
    tuesday = replace(HUNDRED, day=date(2026, 3, 3))
    await journal.plan_cycle(cycle(1), deliveries(1, 60), HUNDRED)
    plans = await asyncio.gather(
        *(journal.plan_cycle(cycle(number), deliveries(number), tuesday) for number in range(2, 42)),
        journal.resume_cycle(cycle(1), tuesday, START, tell_nothing),
        *(journal.plan_cycle(cycle(number), deliveries(number), tuesday) for number in range(42, 82)),
    )
    assert sum(delivery.state is STATES.PLANNED for plan in plans for delivery in plan) == 100
    use = await journal.allowance("alice", tuesday)
    assert (use.reserved_today, use.left) == (100, 0)
    assert (await journal.allowance("alice", HUNDRED)).reserved_today == 0
    await journal.close()


async def test_what_finds_no_room_on_the_day_a_cycle_goes_on_is_left_out_and_told(tmp_path: Path) -> None:
    clock = MovableClock()
    groups = ["@plaza01", "@plaza02", "@plaza03"]
    async with open_house(tmp_path, clock=clock) as house:
        await house.add_user("alice", groups, allowance=Allowance(per_day=3))
        control = CycleControl()
        control.end(StopReason.SHUTDOWN)
        await house.cycle("alice", control)
        clock.set_wall(86_400)
        await house.change_user("alice", allowance=Allowance(per_day=1))
        await house.cycle("alice")
        assert sum(len(house.texts(group)) for group in groups) == 1
        assert "2 of 3 posts are left out: your 1 posts of today are used up" in house.said("alice")
        await house.cycle("alice")
        assert sum(len(house.texts(group)) for group in groups) == 1, "Tuesday's post is made"


async def test_while_nothing_is_left_that_is_written_down_at_most_once_an_hour(tmp_path: Path) -> None:
    clock = MovableClock()
    async with open_house(tmp_path, clock=clock) as house:
        await house.add_user(
            "alice", ["@plaza01", "@plaza02"], allowance=Allowance(per_day=2), delay_between_cycles=0.0
        )
        seen: list[CycleRun] = []

        async def cycles(count: int) -> tuple[int, int]:
            """How many posts stand, and how many posts and lines the journal holds, after so many more cycles."""
            for _ in range(count):
                seen.append(await house.cycles.begin("alice", CycleControl()))
                await house.cycles.execute(seen[-1])
                await clock.advance(5)
            rows = len(await house.journal.deliveries("alice")) + len(house.events("alice"))
            return len(house.texts("@plaza01")) + len(house.texts("@plaza02")), rows

        await house.give_sessions("alice")
        posts, rows = await cycles(2)
        assert (posts, rows) == (2, 2 + 2 + 1 + 2 + 2)
        assert await cycles(10) == (2, rows)
        assert seen[-1].progress().delivered == 0, "the scheduler rests before it begins the next one"
        assert house.user("alice").cycles == 2, "posts that take turns do not go on"
        await clock.advance(3600)
        assert await cycles(10) == (2, rows + 4)
        await house.change_user("alice", allowance=Allowance(per_day=4))
        assert (await cycles(1))[0] == 4
        assert (await cycles(10))[1] == rows + 4 + 5 + 4
        clock.set_wall(86_400)
        assert (await cycles(10))[0] == 8


async def test_a_post_of_unknown_end_is_spent_and_reported_until_it_is_found_out(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path)
    first, second = await journal.plan_cycle(cycle(1), deliveries(1, 2), HUNDRED)
    for delivery in (first, second):
        await journal.update(replace(delivery, state=STATES.UNKNOWN, finished_at=START))
    use = await journal.allowance("alice", HUNDRED)
    assert (use.spent_today, use.uncounted, use.left) == (2, 2, 98)
    await journal.update(replace(first, state=STATES.DELIVERED, finished_at=START))
    await journal.update(replace(second, state=STATES.FAILED, finished_at=START))
    use = await journal.allowance("alice", HUNDRED)
    assert (use.spent_today, use.uncounted, use.left) == (1, 0, 99)
    await journal.close()


async def test_a_post_nothing_was_reserved_for_is_counted_and_reported_never_free(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path)
    (delivery,) = await journal.plan_cycle(cycle(1), deliveries(1))
    await journal.update(replace(delivery, state=STATES.DELIVERED, finished_at=START))
    use = await journal.allowance("alice", HUNDRED)
    assert (use.spent_today, use.uncounted) == (1, 1)
    await journal.close()


async def test_grants_of_a_month_add_to_it_and_a_new_month_begins_anew(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path)
    march = Budget(day=date(2026, 3, 31), per_day=10, per_month=15)
    await journal.plan_cycle(cycle(1), deliveries(1, 30), replace(march, day=date(2026, 3, 30)))
    plan = await journal.plan_cycle(cycle(2), deliveries(2, 30), march)
    assert sum(delivery.state is STATES.PLANNED for delivery in plan) == 5
    assert plan[-1].reason == "your 15 posts of this month are used up; a new month brings new ones"
    await journal.grant(Grant(user="alice", month="2026-03", posts=3, at=START, by="olga", note="fair"))
    plan = await journal.plan_cycle(cycle(3), deliveries(3, 30), march)
    assert sum(delivery.state is STATES.PLANNED for delivery in plan) == 3
    april = replace(march, day=date(2026, 4, 1))
    plan = await journal.plan_cycle(cycle(4), deliveries(4, 30), april)
    assert sum(delivery.state is STATES.PLANNED for delivery in plan) == 10
    assert plan[-1].reason == "your 10 posts of today are used up; tomorrow brings new ones"
    days, grants = await journal.allowance_history("alice")
    assert days == []
    assert [(given.posts, given.by, given.note) for given in grants] == [(3, "olga", "fair")]
    await journal.close()


@pytest.mark.parametrize(
    ("zone", "day"),
    [("UTC", "2026-03-31"), ("Pacific/Kiritimati", "2026-04-01"), ("America/Los_Angeles", "2026-03-31")],
)
def test_a_day_and_its_month_are_those_of_the_users_time_zone(zone: str, day: str) -> None:
    user = User(schedule=Schedule(timezone=zone))
    budget = budget_of(user, Settings(), datetime(2026, 3, 31, 23, 30, tzinfo=UTC))
    assert budget.day.isoformat() == day


def test_what_is_not_set_for_a_user_is_the_settings_default() -> None:
    defaults = Settings(posts_per_day=7, posts_per_month=70)
    assert budget_of(User(), defaults, START) == Budget(day=START.date(), per_day=7, per_month=70)
    own = User(allowance=Allowance(per_day=0))
    assert budget_of(own, defaults, START) == Budget(day=START.date(), per_day=0, per_month=70)


async def test_a_cycle_posts_as_far_as_the_allowance_goes_and_says_what_it_left_out(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        groups = ["@plaza01", "@plaza02", "@plaza03"]
        await house.add_user("alice", groups, allowance=Allowance(per_day=4))
        await house.cycle("alice")
        await house.cycle("alice")
        await house.cycle("alice")
        assert sum(len(house.texts(group)) for group in groups) == 4
        assert "2 of 3 posts are left out: your 4 posts of today are used up" in house.said("alice")


ends = st.sampled_from([STATES.DELIVERED, STATES.FAILED, STATES.SKIPPED, STATES.UNKNOWN])


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(1, 4), st.lists(ends, max_size=6)), max_size=12), st.integers(0, 15))
def test_whatever_happens_to_deliveries_the_books_say_what_they_say(
    cycles: list[tuple[int, list[DeliveryState]]], per_day: int
) -> None:
    budget = replace(HUNDRED, per_day=per_day)
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(journal_schema._SCHEMA + journal_schema._ALLOWANCES)
        for number, (count, moves) in enumerate(cycles):
            plan = journal_work.insert_plan(
                connection, cycle(number), deliveries(number, count), budget, CommitEffects()
            )
            opened = [delivery for delivery in plan if delivery.state is STATES.PLANNED]
            delivered: set[int] = set()
            for delivery, state in zip(opened * 2, moves, strict=False):
                if delivery.id in delivered:
                    continue  # it stands in the chat: nothing changes that any more
                delivered |= {delivery.id} if state is STATES.DELIVERED else set()
                moved = replace(delivery, state=state, finished_at=START)
                journal_work.move_delivery(connection, moved, CommitEffects())
            found = dict(connection.execute("SELECT state, COUNT(*) FROM deliveries GROUP BY state").fetchall())
            use = allowances.use_of(connection, "alice", budget)
            assert use.reserved_today == found.get("planned", 0)
            assert use.spent_today == found.get("delivered", 0) + found.get("unknown", 0)
            assert use.left == max(0, per_day - use.spent_today - use.reserved_today)
