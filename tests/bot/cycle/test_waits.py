"""Waits in a cycle: which are waited out, which are left to a later one (by `bot.pacing.decide`)."""

from datetime import timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace

from bot.preflight.preflight import preflight
from core.models import DeliveryState, Hold
from sandbox.world import demo_world
from tests.support.house import open_house

G1, G2, G3 = "@plaza01", "@plaza02", "@plaza03"
SEND = "messages.sendMessage"


async def test_a_short_flood_wait_is_waited_out_and_counted(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        house.sandbox.add_fault({"error": "FLOOD_WAIT_1", "method": SEND, "count": 1})
        await house.add_user("alice", [G1])
        await house.cycle("alice")
        assert house.texts(G1) == ["Hello from alice"]
        assert house.journal.stats("alice").total_flood_waits == 1
        assert "rests until" in house.said("alice")
        refused, landed = house.sandbox.report()["refused"][0]["date"], house.messages(G1)[0]["date"]
        assert landed - refused >= 1.0


async def test_slow_mode_known_beforehand_is_waited_out_without_a_refusal(tmp_path: Path) -> None:
    world = demo_world(accounts=1, groups=1)
    world.chats[0].slow_mode = 2
    async with open_house(tmp_path, world) as house:
        await house.add_user("alice", [G1])
        await house.cycle("alice")
        await house.cycle("alice")
        first, second = (message["date"] for message in house.messages(G1))
        assert second - first >= 2
        assert house.sandbox.report()["refused"] == []


@pytest.mark.parametrize("told", ["beforehand", "by a refusal"])
async def test_a_slow_group_does_not_hold_up_the_next_cycle_of_all_the_others(tmp_path: Path, told: str) -> None:
    world = demo_world()
    if told == "beforehand":
        world.chats[0].slow_mode = 4
    async with open_house(tmp_path, world, wait_patience_seconds=10) as house:
        await house.add_user("alice", [G1, G2, G3], delay_between_cycles=10.0)
        await house.cycle("alice")
        if told == "by a refusal":
            house.sandbox.add_fault({"error": "SLOWMODE_WAIT_4", "method": SEND, "chat": "plaza01", "count": 1})
        await house.cycle("alice")
        assert [len(house.texts(group)) for group in (G1, G2, G3)] == [1, 2, 2]
        left_out = (await house.deliveries("alice"))[G1]
        assert left_out.state is DeliveryState.SKIPPED
        assert left_out.error == ("SLOW_MODE" if told == "beforehand" else "SLOWMODE_WAIT")
        await house.change_user("alice", groups=(G1,))
        await house.cycle("alice")
        assert len(house.texts(G1)) == 2, "with nobody else to keep waiting the slow group is waited for"


async def test_a_short_hold_that_runs_when_a_cycle_is_planned_is_waited_for(tmp_path: Path) -> None:
    async with open_house(tmp_path, accounts=1) as house:
        await house.add_user("alice", [G1, G2])
        await house.give_sessions("alice")
        now = house.services.clock.now()
        rest = Hold(until=now + timedelta(seconds=1), code="FLOOD_WAIT", reason="Telegram asked it to wait", since=now)
        await house.store.transact(lambda tx: tx.put_session("acc01", replace(tx.session("acc01"), hold=rest)))
        quiet = replace(rest, until=now + timedelta(seconds=2), code="SLOWMODE_WAIT", reason="slow")
        await house.change_user("alice", group_holds={G1: {"acc01": quiet}})
        await house.cycle("alice")
        assert [len(house.texts(group)) for group in (G1, G2)] == [1, 1]
        assert house.messages(G1)[0]["date"] >= quiet.until.timestamp()


@pytest.mark.parametrize(("seconds", "can_post"), [(2, True), (60, False)])
async def test_a_preview_waits_for_what_the_cycle_waits_for(tmp_path: Path, seconds: int, can_post: bool) -> None:
    async with open_house(tmp_path, accounts=1) as house:
        await house.add_user("alice", [G1])
        await house.give_sessions("alice")
        until = house.services.clock.now() + timedelta(seconds=seconds)
        hold = Hold(until=until, code="CHAT_WRITE_FORBIDDEN", reason="This account may not write in this group.")
        await house.change_user("alice", group_holds={G1: {"acc01": hold}})
        [group] = (await preflight(house.services, "alice", house.user("alice"))).groups
        [account] = group.accounts
        assert (account.can_post, account.not_before) == (can_post, until)
        assert (group.session is not None) == can_post


async def test_a_hold_that_outlasts_the_patience_is_left_to_a_later_cycle(tmp_path: Path) -> None:
    async with open_house(tmp_path, accounts=1) as house:
        await house.add_user("alice", [G1, G2])
        until = house.services.clock.now() + timedelta(seconds=60)
        hold = Hold(until=until, code="CHAT_WRITE_FORBIDDEN", reason="This account may not write in this group.")
        await house.change_user("alice", group_holds={G1: {"acc01": hold}})
        await house.cycle("alice")
        assert [len(house.texts(group)) for group in (G1, G2)] == [0, 1]
        assert (await house.deliveries("alice"))[G1].state is DeliveryState.SKIPPED
