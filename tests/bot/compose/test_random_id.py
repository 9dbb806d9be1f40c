"""The key of a delivery is what was written down, whatever version of Postfleet wrote it."""

import asyncio
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from bot.compose.random_id import new_random_id, random_id_of
from bot.cycle.run import CycleControl, StopReason
from core.models import Cycle, Delivery, DeliveryState, Media, PostContent, PostType
from tests.support.clock import START
from tests.support.house import House, open_house, until
from tests.support.pictures import png

G1 = "@plaza01"
DERIVED = Delivery(
    user="alice", cycle=1772442000000, group="@news", session="acc01", random_id=6256339592637778370, planned_at=START
)
"""Planned when keys were still derived from what a delivery is."""
WRITTEN = st.integers(-(2**63), 2**63 - 1).filter(bool)


def taken_by_telegram(key: int) -> bool:
    return key != 0 and -(2**63) <= key < 2**63


@given(WRITTEN)
def test_keys_follow_from_what_was_written_alone(written: int) -> None:
    keys = [random_id_of(replace(DERIVED, random_id=written), part) for part in range(10)]
    other = replace(DERIVED, random_id=written, user="bob", cycle=1, group="@other", session="acc02")
    if written != DERIVED.random_id:
        assert [random_id_of(other, part) for part in range(10)] == keys
    assert keys[0] == written
    assert len(set(keys)) == 10
    assert all(map(taken_by_telegram, keys))


def test_drawn_keys_differ_and_leave_room_for_the_parts_of_an_album() -> None:
    drawn = [new_random_id() for _ in range(1000)]
    keys = {random_id_of(replace(DERIVED, random_id=key), part) for key in drawn for part in range(10)}
    assert len(keys) == 10_000
    assert all(map(taken_by_telegram, keys))


def test_an_album_that_was_planned_when_keys_were_derived_goes_on_under_the_same_ones() -> None:
    assert [random_id_of(DERIVED, part) for part in range(3)] == [
        6256339592637778370,
        1192525357353493305,
        6023489708197380104,
    ]


async def planned_elsewhere(house: House, cycle: Cycle) -> None:
    """As a version of Postfleet that makes keys in another way would have planned it."""
    await house.add_user("alice", [G1])
    await house.give_sessions("alice")
    delivery = Delivery(
        user="alice", cycle=cycle.id, group=G1, session="acc01", random_id=-42, planned_at=cycle.started_at
    )
    await house.journal.plan_cycle(cycle, [delivery])


@pytest.mark.parametrize("parts", [1, 3])
async def test_what_an_earlier_version_left_in_flight_is_sent_under_its_own_keys_and_not_doubled(
    tmp_path: Path, parts: int
) -> None:
    async with open_house(tmp_path, sessions_at_start=1, send_timeout_seconds=0.5) as house:
        folder = house.settings.state_dir / "media" / "alice"
        folder.mkdir(parents=True)
        (folder / "cat.png").write_bytes(png())
        album = PostContent(text="Hello", media=(Media(file="cat.png"),) * parts)
        content = PostContent(text="Hello") if parts == 1 else album
        kind = PostType.TEXT if parts == 1 else PostType.ALBUM
        now = house.services.clock.now()
        await planned_elsewhere(house, Cycle(id=1, user="alice", post_type=kind, post_content=content, started_at=now))
        house.sandbox.add_fault({"do": "silent", "method": "messages.send*"})
        control = CycleControl()
        cycle = asyncio.create_task(house.cycle("alice", control))
        await until(lambda: house.texts(G1), "the post to arrive")
        control.end(StopReason.SHUTDOWN)
        await cycle
        house.sandbox.clear_faults()
        await house.cycle("alice")
        assert [message["random_id"] for message in house.messages(G1)] == [-42 + part for part in range(parts)]
        assert (await house.deliveries("alice"))[G1].state is DeliveryState.DELIVERED
