"""What Telegram refused was not sent: the journal says so at once, whatever happens next."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.cycle.run import CycleControl, StopReason
from core.models import DeliveryState
from sandbox.server import Sandbox
from sandbox.world import demo_world
from tests.support.house import House, house_on, open_house, until

SEND = "messages.sendMessage"
GROUPS = [f"@plaza{number:02}" for number in range(1, 5)]
LOST = ("AUTH_KEY_UNREGISTERED", "SESSION_REVOKED", "USER_DEACTIVATED_BAN", "API_ID_INVALID")


@contextlib.asynccontextmanager
async def refusing_one_account(folder: Path, code: str) -> AsyncIterator[House]:
    """A house in which Telegram refuses every post of alice's first account, and her second one posts slowly."""
    async with open_house(folder, accounts=2, groups=4, sessions_at_start=2) as house:
        await house.add_user("alice", GROUPS)
        await house.give_sessions("alice")
        house.sandbox.add_fault({"error": code, "method": SEND, "account": "acc01"})
        house.sandbox.add_fault({"do": "delay", "seconds": 0.5, "method": SEND, "account": "acc02"})
        yield house


async def end_after_a_refusal(house: House, why: StopReason) -> None:
    """Run a cycle of alice's and end it for that reason once Telegram refused a post."""
    control = CycleControl()
    cycle = asyncio.create_task(house.cycle("alice", control))
    await until(lambda: house.sandbox.report()["refused"], "a refusal")
    control.end(why)
    await cycle


@pytest.mark.parametrize("code", LOST)
async def test_a_refused_post_is_made_by_another_account_after_a_restart(tmp_path: Path, code: str) -> None:
    async with refusing_one_account(tmp_path, code) as house:
        await end_after_a_refusal(house, StopReason.SHUTDOWN)
        await house.cycle("alice")
        assert [len(house.texts(group)) for group in GROUPS] == [1, 1, 1, 1]
        ends = await house.deliveries("alice")
        assert {delivery.state for delivery in ends.values()} == {DeliveryState.DELIVERED}


async def test_a_refused_post_is_made_by_another_account_after_a_crash(tmp_path: Path) -> None:
    sandbox = Sandbox(demo_world(accounts=2, groups=2), folder=tmp_path / "centre")
    await sandbox.start()
    try:
        async with house_on(tmp_path, sandbox, sessions_at_start=2) as house:
            await house.add_user("alice", GROUPS[:2])
            await house.give_sessions("alice")
            sandbox.add_fault({"error": "SESSION_REVOKED", "method": SEND, "account": "acc01"})
            sandbox.add_fault({"do": "ignore", "method": SEND, "account": "acc02"})
            cycle = asyncio.create_task(house.cycle("alice"))
            await until(lambda: house.store.snapshot.sessions["acc01"].state.value == "needs_login", "the refusal")
            cycle.cancel()
            await asyncio.gather(cycle, return_exceptions=True)
        sandbox.clear_faults()
        async with house_on(tmp_path, sandbox, sessions_at_start=2) as house:
            await house.cycle("alice")
            assert [len(house.texts(group)) for group in GROUPS[:2]] == [1, 1]
    finally:
        await sandbox.stop()


@pytest.mark.parametrize("code", LOST)
async def test_a_stop_calls_no_refused_post_unknown(tmp_path: Path, code: str) -> None:
    async with refusing_one_account(tmp_path, code) as house:
        await end_after_a_refusal(house, StopReason.STOPPED)
        states = {delivery.state for delivery in (await house.deliveries("alice")).values()}
        assert states <= {DeliveryState.DELIVERED, DeliveryState.SKIPPED}
        assert "Could not find out" not in house.said("alice")


async def test_a_wave_of_bans_calls_no_refused_post_unknown(tmp_path: Path) -> None:
    async with open_house(tmp_path, accounts=1, groups=1, ban_wave_in_10_minutes=1) as house:
        await house.add_user("alice", GROUPS[:1])
        house.sandbox.add_fault({"error": "USER_DEACTIVATED_BAN", "method": SEND})
        await house.cycle("alice")
        (end,) = (await house.deliveries("alice")).values()
        assert end.state is DeliveryState.SKIPPED


@pytest.mark.parametrize("code", ["FLOOD_WAIT_20", "SLOWMODE_WAIT_20"])
async def test_a_refusal_is_remembered_over_a_restart(tmp_path: Path, code: str) -> None:
    async with open_house(tmp_path, accounts=1, groups=1, wait_patience_seconds=30) as house:
        await house.add_user("alice", GROUPS[:1])
        await house.give_sessions("alice")
        house.sandbox.add_fault({"error": code, "method": SEND, "count": 1})
        await end_after_a_refusal(house, StopReason.SHUTDOWN)
        again = CycleControl()
        again.end(StopReason.STOPPED)
        await house.cycle("alice", again)
        (end,) = (await house.deliveries("alice")).values()
        assert end.state is DeliveryState.SKIPPED
        assert house.texts(GROUPS[0]) == []


@pytest.mark.parametrize("code", ["FLOOD_WAIT_300", "PEER_FLOOD"])
async def test_nobody_posts_for_a_limited_account_after_a_restart(tmp_path: Path, code: str) -> None:
    async with refusing_one_account(tmp_path, code) as house:
        await end_after_a_refusal(house, StopReason.SHUTDOWN)
        theirs = [one.group for one in (await house.deliveries("alice")).values() if one.session == "acc01"]
        assert theirs
        await house.cycle("alice")
        assert [house.texts(group) for group in theirs] == [[] for _ in theirs]
