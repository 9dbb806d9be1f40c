"""Slow mode that a group's admins change: what was remembered of it is not believed for ever."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from core.models import DeliveryState
from sandbox.state.peers import Chat
from sandbox.world import demo_world
from tests.support.house import House, open_house

SLOW, OTHER = "@plaza01", "@plaza02"
LOOK = "channels.getChannels"


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    """The account has posted in a group whose slow mode is an hour."""
    world = demo_world(accounts=1, groups=2)
    world.chats[0].slow_mode = 3600
    async with open_house(tmp_path, world) as opened:
        await opened.add_user("alice", [SLOW, OTHER])
        await opened.cycle("alice")
        yield opened


def slow_chat(house: House) -> Chat:
    return house.sandbox.centre.chat("plaza01")


def posts(house: House) -> list[int]:
    return [len(house.texts(group)) for group in (SLOW, OTHER)]


def looks(house: House) -> int:
    return int(house.sandbox.report()["rpc"].get(LOOK, {}).get("acc01", 0))


@pytest.mark.parametrize("seconds", [0, 2])
async def test_a_group_whose_slow_mode_was_turned_off_or_down_gets_the_next_post(house: House, seconds: int) -> None:
    slow_chat(house).slow_mode = seconds
    slow_chat(house).changed()
    await house.cycle("alice")
    assert posts(house) == [2, 2]
    assert house.sandbox.report()["refused"] == []


async def test_an_account_that_became_admin_does_not_wait_for_slow_mode(house: House) -> None:
    chat = slow_chat(house)
    chat.members[house.sandbox.centre.account("acc01").id].role = "admin"
    chat.changed()
    await house.cycle("alice")
    assert posts(house) == [2, 2]


async def test_slow_mode_that_is_still_on_is_asked_about_once_an_hour(house: House) -> None:
    before = looks(house)
    for _ in range(3):
        await house.cycle("alice")
    left_out = (await house.deliveries("alice"))[SLOW]
    assert (left_out.state, left_out.error) == (DeliveryState.SKIPPED, "SLOW_MODE")
    assert (posts(house), looks(house) - before) == ([1, 4], 1)


async def test_a_connection_that_breaks_in_the_look_is_made_again(house: House) -> None:
    slow_chat(house).slow_mode = 0
    slow_chat(house).changed()
    house.sandbox.add_fault({"do": "drop_before", "method": LOOK, "count": 1})
    await house.cycle("alice")
    assert posts(house) == [2, 2]


async def test_a_look_that_telegram_refuses_costs_that_post_alone(house: House) -> None:
    house.sandbox.add_fault({"error": "CHANNEL_PRIVATE", "method": LOOK, "count": 1})
    house.sandbox.add_fault({"error": "CHANNEL_PRIVATE", "method": "contacts.resolveUsername", "count": 1})
    await house.cycle("alice")
    assert posts(house) == [1, 2]
