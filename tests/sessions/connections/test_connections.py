"""Connections: opened on demand, kept while they are of use, one a key, and never one too many."""

import asyncio
import os
from pathlib import Path

import pytest

from core.errors import SessionInUse
from sessions.connections.client import Clients, PostingClient
from sessions.connections.lease import Leases
from tests.support.house import SOON, House, open_house, until


def connections(house: House) -> dict[str, int]:
    """By the data centre's own count."""
    accounts = house.sandbox.report()["accounts"]
    return {name: account["connections"] for name, account in accounts.items() if account["connections"]}


async def use(house: House, name: str) -> int:
    async with house.services.clients.connected(name, 1001) as client:
        return client.self_id


async def test_an_idle_connection_is_used_again_and_closed_when_nobody_needs_it(tmp_path: Path) -> None:
    async with open_house(tmp_path, idle_connection_seconds=0.3) as house:
        first = await use(house, "acc01")
        assert connections(house) == {"acc01": 1}
        assert await use(house, "acc01") == first
        asked = house.sandbox.report()["rpc"]["users.getUsers"]
        assert asked == {"acc01": 1}, "the second use opened no connection"
        await until(lambda: not connections(house), "the idle connection to be closed")
        assert house.services.clients.open == 0


async def test_an_idle_connection_that_the_server_closed_is_opened_anew(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        await use(house, "acc01")
        house.sandbox.kick()
        kept = house.services.clients._idle["acc01"].client
        await until(lambda: not connections(house) and not kept.is_connected(), "both sides to notice the kick")
        assert await use(house, "acc01")
        assert connections(house) == {"acc01": 1}


async def test_a_use_that_fails_closes_the_connection(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        with pytest.raises(ZeroDivisionError):
            async with house.services.clients.connected("acc01", 1001):
                raise ZeroDivisionError
        await until(lambda: not connections(house), "the connection to be closed")


async def test_racing_users_of_one_session_never_have_two_connections(tmp_path: Path) -> None:
    async with open_house(tmp_path, idle_connection_seconds=0.01) as house:
        most = 0

        async def one() -> None:
            nonlocal most
            async with house.services.clients.connected("acc01", 1001):
                most = max(most, connections(house).get("acc01", 0))
            await asyncio.sleep(0.01)

        for _ in range(5):
            await asyncio.gather(*(one() for _ in range(4)))
        assert most == 1


async def test_idle_connections_give_way_before_there_are_more_than_the_limit(tmp_path: Path) -> None:
    async with open_house(tmp_path, max_concurrent_sessions=2) as house:
        for name in ("acc01", "acc02", "acc01", "acc03"):
            await use(house, name)
        assert set(connections(house)) == {"acc01", "acc03"}, "acc02 was idle for longest"


async def test_racing_openings_stay_within_the_limit_of_connections(tmp_path: Path) -> None:
    async with open_house(tmp_path, accounts=8, max_concurrent_sessions=3) as house:
        most = 0
        at_work = asyncio.Semaphore(3)

        async def one(name: str) -> None:
            nonlocal most
            async with at_work, house.services.clients.connected(name, 1001):
                most = max(most, sum(connections(house).values()))

        names = [f"acc{number:02}" for number in range(1, 9)]
        await asyncio.gather(*(one(name) for _ in range(6) for name in names))
        assert most == 3
        assert house.services.clients.open == 3


async def test_to_make_room_nobody_waits_for_an_account_that_is_just_being_taken_again(tmp_path: Path) -> None:
    async with open_house(tmp_path, max_concurrent_sessions=1) as house:
        done = asyncio.Event()

        async def work_for_long() -> None:
            async with house.services.clients.connected("acc01", 1001):
                await done.wait()

        async with house.services.clients.connected("acc01", 1001):
            following = asyncio.create_task(work_for_long())
            await until(lambda: house.services.clients._wanted["acc01"] == 2, "the next one to wait for acc01")
            other = asyncio.create_task(use(house, "acc02"))  # looks for room before the next one is woken
        await asyncio.wait_for(other, SOON)
        done.set()
        await following


async def test_a_session_that_another_opening_of_the_state_holds_is_left_alone(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        other = Clients(house.settings, house.pool)
        async with house.services.clients.connected("acc01", 1001):
            with pytest.raises(SessionInUse, match="acc01"):
                async with other.connected("acc01", 1001):
                    pass
            async with other.connected("acc02", 1001):
                pass
        await other.close()


@pytest.mark.parametrize("when", ["while it closes", "while it opens"])
async def test_who_is_cancelled_leaves_the_session_taken_until_its_connection_is_really_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    closing, may_close = asyncio.Event(), asyncio.Event()
    disconnect = PostingClient._disconnect_coro

    async def slow(client: PostingClient) -> None:
        closing.set()
        await may_close.wait()
        await disconnect(client)

    async with open_house(tmp_path, idle_connection_seconds=0) as house:
        if when == "while it opens":
            house.sandbox.add_fault({"error": "INTERDC_1_CALL_ERROR", "method": "users.getUsers", "count": 1})
        monkeypatch.setattr(PostingClient, "_disconnect_coro", slow)
        leaving = asyncio.create_task(use(house, "acc01"))
        await asyncio.wait_for(closing.wait(), SOON)
        for _ in range(2):
            leaving.cancel()
            await asyncio.sleep(0)
        await asyncio.wait({leaving}, timeout=SOON)
        assert leaving.cancelled(), "who is cancelled need not wait"
        monkeypatch.undo()
        with pytest.raises(SessionInUse), Leases(house.settings.state_dir).held("acc01"):
            pass
        assert house.services.clients.at_work("acc01")
        assert house.services.clients.open == 1
        following = asyncio.create_task(use(house, "acc01"))
        await until(lambda: house.services.clients._wanted["acc01"], "the next use to wait")
        assert house.services.clients.open == 1, "it waits"
        may_close.set()
        assert await asyncio.wait_for(following, SOON)
        assert house.services.clients.open == 0
        with Leases(house.settings.state_dir).held("acc01"):
            pass


def test_hundreds_of_leases_cost_one_file_descriptor(tmp_path: Path) -> None:
    leases = Leases(tmp_path)
    with leases.held("first"):
        before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208  only the number counts
        held = [leases.held(f"session{number}") for number in range(300)]
        for lease in held:
            lease.__enter__()
        assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208
        for lease in held:
            lease.__exit__(None, None, None)
    leases.close()
