"""The disk refuses one write in the middle of a cycle: no post is made twice, and no line of the log is lost."""

import sqlite3
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from bot.cycle import runner as cycle
from bot.cycle.run import CycleRun, CycleServices
from bot.cycle.worker import execute_session_cycle
from core.errors import StateNotWritten
from core.models import Delivery, DeliveryState, Event, Hold
from data.journal import writes as journal_work
from data.journal.writes import CommitEffects
from tests.support.house import House, open_house, until

SEND = "messages.sendMessage"
G1, G2, *_ = GROUPS = [f"@plaza{number:02}" for number in range(1, 7)]


def refuse_once(monkeypatch: pytest.MonkeyPatch, action: str) -> None:
    """The commit that holds the next line of that kind fails."""
    write, left = journal_work.insert_event, [1]

    def insert(connection: sqlite3.Connection, event: Event, effects: CommitEffects) -> None:
        if event.action == action and left:
            left.pop()
            raise sqlite3.OperationalError("database or disk is full")
        write(connection, event, effects)

    monkeypatch.setattr(journal_work, "insert_event", insert)


async def cycle_after_a_broken_one(house: House) -> list[str]:
    with pytest.raises(StateNotWritten):
        await house.cycle("alice")
    await house.cycle("alice")
    return [event.action for event in house.events("alice")]


async def test_a_cycle_whose_end_could_not_be_written_is_ended_later_and_not_posted_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_house(tmp_path) as house:
        await house.add_user("alice", [G1])
        refuse_once(monkeypatch, "cycle_finished")
        told = await cycle_after_a_broken_one(house)
        assert house.texts(G1) == ["Hello from alice"]
        assert told.count("cycle_finished") == 1


async def test_why_a_group_is_left_out_is_told_though_it_could_not_be_written_at_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_house(tmp_path, accounts=1) as house:
        hold = Hold(
            until=house.services.clock.now() + timedelta(hours=1), code="CHAT_WRITE_FORBIDDEN", reason="no posts"
        )
        await house.add_user("alice", [G1, G2], group_holds={G2: {"acc01": hold}})
        refuse_once(monkeypatch, "post_skipped")
        told = await cycle_after_a_broken_one(house)
        assert told.count("post_skipped") == 1
        assert (len(house.texts(G1)), len(house.texts(G2))) == (1, 0)


async def test_a_post_that_arrived_but_could_not_be_noted_is_no_failure_and_is_counted_once_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_house(tmp_path, accounts=1) as house:
        await house.add_user("alice", [G1, G2])
        refuse_once(monkeypatch, "post_delivered")
        told = await cycle_after_a_broken_one(house)
        assert (len(house.texts(G1)), len(house.texts(G2))) == (1, 1)
        assert {delivery.state for delivery in (await house.deliveries("alice")).values()} == {DeliveryState.DELIVERED}
        assert house.user("alice").group_holds == {}, "nobody but the disk refused anything"
        assert told.count("post_failed") == 0


async def test_a_cycle_that_breaks_off_does_not_wait_for_the_pauses_of_its_other_accounts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_house(tmp_path, sessions_at_start=2) as house:
        await house.add_user("alice", GROUPS, delay_between_posts=30.0)
        used = house.services.sessions.used

        async def refuse_the_first(name: str, self_id: int, **facts: Any) -> None:
            if name == "acc01":
                await until(lambda: any(house.texts(group) for group in GROUPS), "a post of the second")
                raise StateNotWritten("/srv/state/users.json could not be written (No space left on device)")
            await used(name, self_id, **facts)

        with monkeypatch.context() as full:
            full.setattr(house.services.sessions, "used", refuse_the_first)
            with pytest.raises(StateNotWritten):
                await house.cycle("alice")
        await house.change_user("alice", delay_between_posts=0.0)
        await house.cycle("alice")
        assert [len(house.texts(group)) for group in GROUPS] == [1] * len(GROUPS)


async def test_posts_are_not_given_up_because_the_account_could_not_be_written_down_as_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_house(tmp_path, accounts=1) as house:
        await house.add_user("alice", [G1, G2])
        used, left = house.services.sessions.used, [1]

        async def refuse_once_to_write(name: str, self_id: int, **facts: Any) -> None:
            if left:
                left.pop()
                raise StateNotWritten("/srv/state/users.json could not be written (No space left on device)")
            await used(name, self_id, **facts)

        monkeypatch.setattr(house.services.sessions, "used", refuse_once_to_write)
        told = await cycle_after_a_broken_one(house)
        assert (len(house.texts(G1)), len(house.texts(G2))) == (1, 1)
        assert told.count("post_failed") == 0
        assert "/srv" not in house.said("alice")


async def test_a_fault_of_one_account_that_could_not_be_told_cuts_no_other_off_and_is_told_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    share, left = execute_session_cycle, [1, 1]

    async def fault(parts: CycleServices, run: CycleRun, session: str, batch: list[Delivery]) -> list[Delivery]:
        if session == "acc01" and left:
            left.pop()
            raise RuntimeError("a fault")
        return await share(parts, run, session, batch)

    monkeypatch.setattr(cycle, "execute_session_cycle", fault)
    async with open_house(tmp_path, sessions_at_start=2) as house:
        await house.add_user("alice", GROUPS)
        refuse_once(monkeypatch, "session_cycle_failed")
        told = await cycle_after_a_broken_one(house)
        assert told.count("session_cycle_failed") == 1


@pytest.mark.parametrize("error", ["FLOOD_WAIT_600", "FROZEN_METHOD_INVALID"])
async def test_no_other_account_posts_for_one_that_rests_because_the_disk_was_full_when_it_was_told_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: str
) -> None:
    async with open_house(tmp_path, sessions_at_start=2) as house:
        house.sandbox.add_fault({"error": error, "method": SEND, "account": "acc01"})
        await house.add_user("alice", GROUPS)
        refuse_once(monkeypatch, "flood_wait" if error.startswith("FLOOD") else "session_frozen")
        with pytest.raises(StateNotWritten):
            await house.cycle("alice")
        given = {group: delivery.session for group, delivery in (await house.deliveries("alice")).items()}
        await house.cycle("alice")
        assert len(set(given.values())) == 2
        assert {group for group in GROUPS if house.texts(group)} == {
            group for group, session in given.items() if session == "acc02"
        }
