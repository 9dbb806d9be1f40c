"""Accounts that were quiet for long are asked how they are, and what they answer has its consequences."""

from datetime import timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace

from bot import health as health_module
from bot.health import MOST_A_ROUND, QUIET, Health
from core.models import SessionState
from tests.support.house import House, open_house


@pytest.fixture(autouse=True)
def _without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health_module, "PAUSE_SECONDS", 0.0)


async def seen(house: House, name: str, ago: timedelta) -> None:
    at = house.services.clock.now() - ago
    await house.store.transact(lambda tx: tx.put_session(name, replace(tx.session(name), last_used_at=at)))


async def test_a_round_asks_the_quiet_ones_and_leaves_the_others_alone(tmp_path: Path) -> None:
    async with open_house(tmp_path, accounts=4) as house:
        await seen(house, "acc01", QUIET + timedelta(hours=1))
        await seen(house, "acc02", timedelta(hours=1))
        await seen(house, "acc03", QUIET * 3)
        await seen(house, "acc04", QUIET * 2)
        until = house.services.clock.now() + timedelta(hours=1)
        await house.services.sessions.hold("acc04", until, "PEER_FLOOD", "limited")
        found = await Health.of(house.services, house.journal).round()
        assert [(checkup.name, checkup.alive) for checkup in found] == [("acc03", True), ("acc01", True)]
        assert await Health.of(house.services, house.journal).round() == [], "they are not quiet any more"
        assert MOST_A_ROUND < 100, "a round stays cheap"


async def test_what_a_round_finds_has_the_consequences_it_has_in_a_cycle(tmp_path: Path) -> None:
    async with open_house(tmp_path, accounts=4, sessions_at_start=3) as house:
        await house.add_user("alice", ["@plaza01", "@plaza02", "@plaza03"])
        await house.give_sessions("alice")
        for name in ("acc01", "acc02", "acc03"):
            await seen(house, name, QUIET * 2)
        house.sandbox.ban("acc01")
        house.sandbox.ban("acc02", "revoked")
        found = {checkup.name: checkup.alive for checkup in await Health.of(house.services, house.journal).round()}
        assert found == {"acc01": False, "acc02": False, "acc03": True}
        sessions = house.store.snapshot.sessions
        assert sessions["acc01"].state is SessionState.BANNED
        assert sessions["acc02"].state is SessionState.NEEDS_LOGIN
        assert house.user("alice").assigned_sessions == ("acc02", "acc03", "acc04"), "the banned one was replaced"
        assert "acc04 takes its place" in house.said("alice")
        assert "acc02" in house.said("alice")


async def test_an_outage_says_nothing_about_accounts(tmp_path: Path) -> None:
    async with open_house(tmp_path, accounts=1) as house:
        await seen(house, "acc01", QUIET * 2)
        house.sandbox.actions.drop(30)
        (checkup,) = await Health.of(house.services, house.journal).round()
        assert checkup.alive is None
        assert house.store.snapshot.sessions["acc01"].state is SessionState.READY
