"""Accounts that are deleted: logged out at Telegram, forgotten here, and no cycle breaks."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace

from core.errors import Conflict, SessionInUse, UnknownSession
from core.models import DeliveryState, SessionState
from sessions.logins.farewell import Farewell, delete
from sessions.roster import admission as changes
from sessions.roster.admission import Newcomer
from tests.sessions.test_imports import some_key
from tests.support.house import House, open_house, until

GROUPS = ["@plaza01", "@plaza02", "@plaza03", "@plaza04"]


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with open_house(tmp_path, accounts=2, groups=4, sessions_at_start=2) as opened:
        yield opened


def gone(house: House, name: str, *, log_out: bool = True) -> "asyncio.Future[Farewell]":
    return asyncio.ensure_future(delete(house.services.clients, house.services.sessions, name, log_out=log_out))


def login_at_telegram(house: House, account: str) -> list[str]:
    centre = house.sandbox.centre
    return [login.state for login in centre.keys.logins_of(centre.account(account))]


def files(house: House) -> set[str]:
    return {path.name for path in (house.settings.state_dir / "sessions").glob("*/*.session")}


async def test_a_deleted_account_is_logged_out_and_nothing_of_it_is_left(house: House) -> None:
    await house.add_user("alice", GROUPS)
    await house.cycle("alice")
    done = await gone(house, "acc01")
    assert done == Farewell("acc01", "alice", True, None)
    assert "ok" not in login_at_telegram(house, "acc01")
    assert (set(house.store.snapshot.sessions), files(house)) == ({"acc02"}, {"acc02.session"})
    assert house.user("alice").assigned_sessions == ("acc02",)
    house.pool.repair()
    assert set(house.store.snapshot.sessions) == {"acc02"}
    await house.cycle("alice")
    assert {one.state for one in (await house.deliveries("alice")).values()} == {DeliveryState.DELIVERED}
    with pytest.raises(UnknownSession):
        await gone(house, "acc01")


async def test_a_login_that_is_used_elsewhere_is_kept_when_asked_for(house: House) -> None:
    done = await gone(house, "acc01", log_out=False)
    assert (done.logged_out, done.reason) == (False, "it was not asked for")
    assert login_at_telegram(house, "acc01") == ["ok"]
    assert "acc01" not in house.store.snapshot.sessions


async def test_an_account_is_deleted_without_telegram_too_and_says_what_is_left(house: House) -> None:
    house.sandbox.actions.drop(60)
    done = await gone(house, "acc01")
    assert not done.logged_out
    assert "its login may still be open: end it in a Telegram app" in (done.reason or "")
    assert "acc01" not in house.store.snapshot.sessions


@pytest.mark.parametrize(("how", "says"), [("revoked", "does not know its login"), ("ban", "has banned it")])
async def test_what_telegram_has_ended_already_is_deleted(house: House, how: str, says: str) -> None:
    house.sandbox.ban("acc01", how)
    if how == "ban":
        await house.services.sessions.set_state("acc01", SessionState.BANNED, "banned")
    done = await gone(house, "acc01")
    assert says in (done.reason or "")
    assert files(house) == {"acc02.session"}


async def test_an_account_whose_key_is_lost_is_deleted(house: House) -> None:
    (house.settings.state_dir / "sessions" / "available" / "acc01.session").unlink()
    done = await gone(house, "acc01")
    assert not done.logged_out
    assert "acc01" not in house.store.snapshot.sessions


async def test_an_account_at_work_is_left_alone(house: House) -> None:
    async with house.services.clients.connected("acc01", 1001):
        with pytest.raises(SessionInUse, match="at work just now"):
            await gone(house, "acc01")
    assert "acc01" in house.store.snapshot.sessions
    assert login_at_telegram(house, "acc01") == ["ok"]


async def test_an_account_that_is_deleted_while_it_rests_in_a_cycle_leaves_its_posts_to_others(house: House) -> None:
    await house.add_user("alice", GROUPS)
    await house.give_sessions("alice")
    soon = house.services.clock.now() + timedelta(seconds=2)
    await house.services.sessions.hold("acc01", soon, "FLOOD_WAIT", "Telegram asked for a pause")
    cycle = asyncio.create_task(house.cycle("alice"))
    await until(lambda: any(house.texts(group) for group in GROUPS), "the posts of the other account")
    assert not house.services.clients.at_work("acc01")
    await gone(house, "acc01")
    await cycle
    posted = await house.deliveries("alice")
    assert {(one.state, one.session) for one in posted.values()} == {(DeliveryState.DELIVERED, "acc02")}
    assert "acc01 leaves the bot: it was deleted" in house.said("alice")


async def test_a_deletion_does_not_take_the_key_of_a_new_login(house: House) -> None:
    before = house.store.snapshot.sessions["acc01"]
    known = replace(before, telegram_id=77)
    await house.store.transact(lambda tx: tx.put_session("acc01", known))
    newcomer = Newcomer(credentials=some_key(9), telegram_id=77, by_operator=True)

    async def removed_while_logged_in() -> None:
        async with house.pool.removing("acc01"):
            assert (await house.services.sessions.admit(newcomer)).name == "acc01"
            await house.store.transact(
                lambda tx: changes.remove(tx, "acc01", before.key_id, house.services.clock.now())
            )

    async with house.services.clients.set_aside("acc01"):
        with pytest.raises(Conflict, match="logged in anew meanwhile"):
            await removed_while_logged_in()
    assert house.pool.credentials("acc01") == some_key(9)


async def test_a_look_before_posting_goes_on_when_an_account_is_deleted_meanwhile(house: House) -> None:
    await house.add_user("alice", GROUPS)
    await house.give_sessions("alice")
    as_it_was = house.user("alice")
    await gone(house, "acc01")
    found = await house.bots.preflight("alice", as_it_was)
    assert {account.session for account in found.accounts} == {"acc02"}
