"""The ledger of posts and the events a user's log shows."""

import asyncio
import json
import logging
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from core.errors import Conflict, InvalidInput, NotFound
from core.models import Delivery, DeliveryState, Event, Level, Stats
from data.disk.inventory import JOURNAL_FILE
from data.disk.sqlite_files import connect
from data.journal.journal import Journal
from data.journal.reads import deliveries, unfinished_cycle
from data.journal.schema import DELIVERY_COLUMNS, EVENT_COLUMNS
from tests.data.support import NOW, cycle, delivery, event, moved


def test_the_columns_are_the_fields_of_the_models() -> None:
    assert tuple(name.strip('" ') for name in DELIVERY_COLUMNS.split(",")) == Delivery.__struct_fields__
    assert tuple(name.strip('" ') for name in EVENT_COLUMNS.split(",")) == Event.__struct_fields__


async def test_a_planned_cycle_is_found_again_after_a_restart(state_dir: Path) -> None:
    journal = Journal.open(state_dir)
    planned = await journal.plan_cycle(cycle(), [delivery("@one"), delivery("@two")])
    assert all(item.id for item in planned)
    await journal.update(moved(planned[0], DeliveryState.DELIVERED, message_id=7))
    await journal.close()

    journal = Journal.open(state_dir)
    assert await journal.unfinished_cycle("alice") == (
        cycle(),
        [moved(planned[0], DeliveryState.DELIVERED, message_id=7), planned[1]],
    )
    await journal.finish_cycle("alice", 1, NOW)
    assert await journal.unfinished_cycle("alice") is None
    await journal.close()


async def test_the_newest_unfinished_cycle_is_the_one_to_resume(journal: Journal) -> None:
    for number in (1, 2, 3):
        await journal.plan_cycle(cycle(cycle_id=number), [])
    await journal.finish_cycle("alice", 3, NOW)
    found = await journal.unfinished_cycle("alice")
    assert found is not None
    assert found[0].id == 2
    assert await journal.unfinished_cycle("bob") is None


async def test_what_was_cut_off_is_found_without_going_through_all_that_was_not(
    journal: Journal, state_dir: Path
) -> None:
    for number in range(1, 501):
        await journal.plan_cycle(cycle(cycle_id=number), [])
        await journal.finish_cycle("alice", number, NOW)
    connection, steps = connect(state_dir / JOURNAL_FILE), []
    connection.set_progress_handler(lambda: steps.append(1), 1)
    assert unfinished_cycle(connection, "alice") is None
    assert len(steps) < 100
    connection.close()


async def test_a_cycle_is_planned_once_and_entirely_or_not_at_all(journal: Journal) -> None:
    await journal.plan_cycle(cycle(), [])
    with pytest.raises(Conflict, match="already has a cycle 1"):
        await journal.plan_cycle(cycle(), [delivery("@one")])
    with pytest.raises(InvalidInput, match="same user and cycle"):
        await journal.plan_cycle(cycle(cycle_id=2), [delivery("@one", user="bob")])
    assert await journal.deliveries("alice") == []
    assert await journal.deliveries("bob") == []


async def test_every_end_of_a_delivery_is_counted_once(journal: Journal) -> None:
    planned = await journal.plan_cycle(cycle(), [delivery(f"@{n}") for n in range(5)])
    await journal.update(moved(planned[0], DeliveryState.SENDING))
    assert journal.stats("alice") == Stats()
    for _ in range(2):
        await journal.update(moved(planned[0], DeliveryState.DELIVERED))
    await journal.update(moved(planned[1], DeliveryState.FAILED), moved(planned[2], DeliveryState.SKIPPED))
    await journal.update(moved(planned[3], DeliveryState.UNKNOWN))
    assert journal.stats("alice") == Stats(total_posts=3, total_success=1, total_failures=1, last_activity=NOW)
    await journal.update(moved(planned[3], DeliveryState.DELIVERED), messages=1)
    await journal.update(event=event("Told to wait"), floods=2)
    assert journal.stats("alice") == Stats(
        total_posts=3,
        total_success=2,
        total_failures=1,
        total_flood_waits=2,
        total_messages_sent=1,
        last_activity=NOW,
    )


async def test_a_delivery_that_is_over_stays_over(journal: Journal) -> None:
    (planned,) = await journal.plan_cycle(cycle(), [delivery("@one")])
    await journal.update(moved(planned, DeliveryState.DELIVERED))
    with pytest.raises(Conflict, match="cannot be sending again"):
        await journal.update(moved(planned, DeliveryState.SENDING))
    with pytest.raises(NotFound, match="no delivery 99"):
        await journal.update(moved(msgspec.structs.replace(planned, id=99), DeliveryState.DELIVERED))
    with pytest.raises(InvalidInput, match="whose counters"):
        await journal.update(messages=1)


async def test_a_failing_write_leaves_nothing_and_fails_no_other(journal: Journal) -> None:
    (planned,) = await journal.plan_cycle(cycle(), [delivery("@one")])
    unknown = msgspec.structs.replace(planned, id=99)
    answers = await asyncio.gather(
        journal.add_event(event("before")),
        journal.update(
            moved(planned, DeliveryState.DELIVERED), moved(unknown, DeliveryState.FAILED), event=event("not this")
        ),
        journal.add_event(event("after")),
        return_exceptions=True,
    )
    assert [type(answer) for answer in answers] == [type(None), NotFound, type(None)]
    assert [line.text for line in journal.last_events("alice")] == ["after", "before"]
    assert journal.stats("alice") == Stats()
    assert (await journal.deliveries("alice"))[0].state is DeliveryState.PLANNED


async def test_the_newest_events_come_first_for_each_user_alone(journal: Journal) -> None:
    assert journal.last_events("alice") == []
    assert journal.last_event_id("alice") == 0
    for number in range(120):
        await journal.add_event(event(f"line {number}"))
    await journal.add_event(event("of bob", user="bob"))
    assert [line.text for line in journal.last_events("alice", 2)] == ["line 119", "line 118"]
    assert len(journal.last_events("alice")) == 50
    assert len(journal.last_events("alice", 500)) == 120
    assert journal.last_event_id("alice") == journal.last_events("alice")[0].id == 120
    assert [line.text for line in journal.last_events("bob")] == ["of bob"]
    assert [line.id for line in await journal.events("alice", before=3)] == [2, 1]


async def test_events_go_to_the_log_with_their_facts(journal: Journal, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "postfleet.events"):
        await journal.add_event(
            Event(
                at=NOW,
                user="alice",
                action="flood_wait",
                text="Waits 5 s",
                level=Level.WARNING,
                session="a1",
                group="@n",
            )
        )
    (record,) = caplog.records
    assert (record.levelname, record.message) == ("WARNING", "Waits 5 s")
    assert {name: record.__dict__[name] for name in ("action", "user", "session", "group")} == {
        "action": "flood_wait",
        "user": "alice",
        "session": "a1",
        "group": "@n",
    }


async def test_history_is_filtered_by_group_and_day_and_paged(journal: Journal) -> None:
    for day in range(3):
        at = NOW + timedelta(days=day)
        await journal.plan_cycle(
            cycle(cycle_id=day),
            [msgspec.structs.replace(delivery(f"@{n}", cycle_id=day), planned_at=at) for n in range(4)],
        )
    assert [item.cycle for item in await journal.deliveries("alice", group="@1")] == [2, 1, 0]
    that_day = await journal.deliveries("alice", since=NOW + timedelta(days=1), until=NOW + timedelta(days=2))
    assert [(item.cycle, item.group) for item in that_day] == [(1, "@3"), (1, "@2"), (1, "@1"), (1, "@0")]
    page = await journal.deliveries("alice", limit=5)
    rest = await journal.deliveries("alice", limit=50, before=page[-1].id)
    assert [item.id for item in page + rest] == list(range(12, 0, -1))


async def test_a_page_of_a_long_history_is_read_without_the_rest_of_it(journal: Journal, state_dir: Path) -> None:
    for number in range(1, 11):
        await journal.plan_cycle(cycle(cycle_id=number), [delivery(f"@g{n}", cycle_id=number) for n in range(200)])
    connection, steps = connect(state_dir / JOURNAL_FILE), []
    connection.set_progress_handler(lambda: steps.append(1), 1)
    assert len(deliveries(connection, "alice", None, None, None, 1_500, 10)) == 10
    assert len(steps) < 1_000
    connection.close()


async def test_a_peer_is_remembered_for_its_account_alone(journal: Journal) -> None:
    await journal.put_peer("a1", "@news", b"one")
    await journal.put_peer("a1", "@news", b"two")
    assert await journal.peer("a1", "@news") == b"two"
    assert await journal.peer("a2", "@news") is None
    await journal.forget_peer("a1", "@news")
    assert await journal.peer("a1", "@news") is None


async def test_stats_json_holds_counters_alone_and_is_made_right_at_start(state_dir: Path) -> None:
    journal = Journal.open(state_dir)
    planned = await journal.plan_cycle(cycle(), [delivery("@one"), delivery("@two")])
    await journal.update(moved(planned[0], DeliveryState.DELIVERED), messages=1)
    await journal.close()
    after_one = (state_dir / "stats.json").read_bytes()
    assert json.loads(after_one)["users"]["alice"]["total_posts"] == 1

    journal = Journal.open(state_dir)
    await journal.update(moved(planned[1], DeliveryState.FAILED))
    right = journal.stats("alice")
    await journal.close()
    for stale in (after_one, None):
        if stale is None:
            (state_dir / "stats.json").unlink()
        else:
            (state_dir / "stats.json").write_bytes(stale)
        journal = Journal.open(state_dir)
        assert journal.stats("alice") == right
        assert json.loads((state_dir / "stats.json").read_bytes())["users"] == {"alice": msgspec.to_builtins(right)}
        await journal.close()
