"""Telegram's known rate limits, in worlds that turn them on."""

from collections.abc import Awaitable, Callable

import pytest
from telethon import errors, functions

from sandbox.errors import RpcError
from sandbox.limits import LIMITS, REFUSALS, Limits
from sandbox.world import AccountSpec, ChatSpec, World
from tests.sandbox.conftest import Clients, Starter


class ManualClock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.seconds = 1_000.0

    def __call__(self) -> float:
        return self.seconds


def waited(limits: Limits, chat: str = "plaza") -> int:
    """Send a message; return the seconds it must wait, 0 if it was accepted."""
    try:
        limits.sending("ann", chat, group=True)
    except RpcError as error:
        return int(error.name.removeprefix("FLOOD_WAIT_"))
    return 0


def test_a_steady_pace_is_never_refused() -> None:
    clock = ManualClock()
    limits = Limits(clock, on=True)
    for number in range(100):
        assert waited(limits, f"chat{number % 4}") == 0
        clock.seconds += 1


def test_more_than_twenty_a_minute_in_one_group_floods_and_impatience_makes_it_worse() -> None:
    clock = ManualClock()
    limits = Limits(clock, on=True)
    for _ in range(20):
        assert waited(limits) == 0
        clock.seconds += 1.5
    first = waited(limits)
    assert first >= LIMITS["group"].wait
    second = waited(limits)
    assert second >= 2 * first - 1
    clock.seconds += second
    assert waited(limits) == 0


def test_a_burst_over_many_chats_is_stopped_at_thirty_a_second() -> None:
    limits = Limits(ManualClock(), on=True)
    assert [waited(limits, f"chat{number}") for number in range(30)] == [0] * 30
    assert waited(limits, "one more") > 0


def test_many_refusals_end_in_peer_flood_until_the_account_is_reset() -> None:
    limits = Limits(ManualClock(), on=True)
    for _ in range(REFUSALS.calls + 1):
        limits.refused("ann", "CHAT_WRITE_FORBIDDEN")
    with pytest.raises(RpcError, match="PEER_FLOOD"):
        limits.sending("ann", "plaza", group=True)
    limits.reset("ann")
    limits.sending("ann", "plaza", group=True)


def test_an_open_world_limits_nothing() -> None:
    limits = Limits(ManualClock(), on=False)
    assert [waited(limits) for _ in range(200)] == [0] * 200


async def times(count: int, call: Callable[[], Awaitable[object]]) -> None:
    """Call `count` times, one after the other."""
    for _ in range(count):
        await call()


async def test_a_client_that_sends_too_fast_gets_a_flood_wait(start: Starter, clients: Clients) -> None:
    world = World(accounts=[AccountSpec("ann")], chats=[ChatSpec("plaza")], limits="realistic")
    sandbox = await start(world)
    client = await clients(sandbox, "ann")
    peer = await client.get_input_entity("plaza")
    with pytest.raises(errors.FloodWaitError) as flood:
        await times(5, lambda: client(functions.messages.SendMessageRequest(peer, "hurry")))
    assert flood.value.seconds >= 2
    assert sandbox.report()["floods"] == {"ann": 1}


async def test_resolving_hundreds_of_usernames_ends_in_a_long_wait(start: Starter, clients: Clients) -> None:
    world = World(accounts=[AccountSpec("ann")], chats=[ChatSpec("plaza")], limits="realistic")
    client = await clients(await start(world), "ann")
    with pytest.raises(errors.FloodWaitError) as flood:
        await times(LIMITS["resolve"].calls + 1, lambda: client(functions.contacts.ResolveUsernameRequest("plaza")))
    assert flood.value.seconds >= 3_600
