"""API pairs that Telegram is asked about, accounts that get another one, and pairs that go."""

from collections.abc import AsyncIterator
from dataclasses import replace as copied
from pathlib import Path

import pytest
from pydantic import SecretStr

from core.errors import (
    Conflict,
    InvalidInput,
    LoginRefused,
    NoRoomOnApiPairs,
    NotFound,
    PairNotChecked,
    SessionInUse,
    UnknownSession,
)
from core.models import SessionState
from sandbox.world import demo_world
from sessions.keys.api_pairs import PairState
from sessions.logins.logins import Logins, Wish
from sessions.logins.pair_care import add_pair, check_pair, give_pair
from tests.sessions.logins.test_logins import ANN, CODE
from tests.sessions.logins.test_logins import world as world_of_logins
from tests.support.house import API_PAIRS, House, open_house

GROUP = "@plaza01"
REAL = {int(pair.split(":")[0]): pair.split(":")[1] for pair in API_PAIRS.split(",")} | {1003: "ab" * 16}
GOOD, MISTYPED = SecretStr(REAL[1003]), SecretStr("ba" * 16)


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    """A Telegram that takes the two pairs of the settings, and 1003."""
    world = copied(demo_world(accounts=2, groups=2), api_pairs=dict(REAL))
    async with open_house(tmp_path, world, sessions_at_start=1) as opened:
        yield opened


def pairs_of(house: House) -> dict[int, PairState]:
    return {pair.api_id: pair.state for pair in house.services.sessions.pairs.every()}


async def add(house: House, api_id: int, api_hash: SecretStr, *, unchecked: bool = False) -> None:
    await add_pair(house.services.clients, house.services.sessions, api_id, api_hash, unchecked=unchecked)


async def give(house: House, name: str, api_id: int, *, unchecked: bool = False) -> None:
    await give_pair(house.services.clients, house.services.sessions, name, api_id, unchecked=unchecked)


def only(house: House, *api_ids: int) -> None:
    """Further accounts are put on these pairs alone."""
    pairs = house.services.sessions.pairs
    for api_id in pairs_of(house):
        state = PairState.ENABLED if api_id in api_ids else PairState.DISABLED
        pairs.set_state(api_id, state, None, house.services.clock.now())


async def test_a_pair_that_telegram_takes_is_added_and_no_number_is_bothered(house: House) -> None:
    await add(house, 1003, GOOD)
    assert pairs_of(house)[1003] is PairState.ENABLED
    assert house.services.clients.open == 0


@pytest.mark.parametrize("api_id", [1003, 1004])
async def test_a_mistyped_pair_is_refused_and_not_added(house: House, api_id: int) -> None:
    with pytest.raises(InvalidInput, match="Telegram does not take this pair"):
        await add(house, api_id, MISTYPED)
    assert set(pairs_of(house)) == {1001, 1002}


async def test_a_mistyped_hash_does_not_take_the_place_of_a_right_one(house: House) -> None:
    await add(house, 1003, GOOD)
    with pytest.raises(InvalidInput):
        await add(house, 1003, MISTYPED)
    found = house.services.sessions.pairs.hash_of(1003)
    assert found is not None
    assert found.get_secret_value() == GOOD.get_secret_value()


async def test_a_pair_that_cannot_be_checked_is_added_only_unchecked(house: House) -> None:
    house.sandbox.actions.drop(60)
    with pytest.raises(PairNotChecked, match="could not be checked"):
        await add(house, 1003, GOOD)
    assert 1003 not in pairs_of(house)
    await add(house, 1003, GOOD, unchecked=True)
    assert pairs_of(house)[1003] is PairState.ENABLED


async def test_a_pair_that_was_quarantined_may_be_used_once_it_is_added_anew(house: House) -> None:
    await add(house, 1003, MISTYPED, unchecked=True)
    house.services.sessions.close_pair(1003, "refused")
    await add(house, 1003, GOOD)
    assert pairs_of(house)[1003] is PairState.ENABLED


async def test_a_mistyped_pair_of_the_settings_is_found_by_a_check(tmp_path: Path) -> None:
    world = copied(demo_world(accounts=1, groups=1), api_pairs=dict(REAL))
    wrong = f"{API_PAIRS},1003:{MISTYPED.get_secret_value()}"
    async with open_house(tmp_path, world, api_pairs=wrong) as house:
        await check_pair(house.services.clients, 1001)
        with pytest.raises(InvalidInput, match=r"my\.telegram\.org"):
            await check_pair(house.services.clients, 1003)


async def test_a_healthy_account_that_was_given_a_mistyped_pair_posts_on_another_one(house: House) -> None:
    await add(house, 1004, MISTYPED, unchecked=True)
    await house.add_user("alice", [GROUP])
    only(house, 1004)
    (name,) = await house.give_sessions("alice")
    only(house, 1001, 1004)
    await house.cycle("alice")
    session = house.store.snapshot.sessions[name]
    assert (session.state, session.api_id, house.user("alice").api_pairs) == (SessionState.READY, 1001, (1001,))
    assert house.texts(GROUP) == ["Hello from alice"]
    assert pairs_of(house)[1004] is PairState.QUARANTINED


async def test_an_account_whose_own_pair_is_refused_needs_a_login_or_another_pair(house: House) -> None:
    await house.add_user("alice", [GROUP])
    only(house, 1001)
    (name,) = await house.give_sessions("alice")
    await house.cycle("alice")
    only(house, 1001, 1002)
    lost = await house.services.sessions.quarantine_pair(1001, "leaked")
    assert lost == {name: "alice"}
    assert house.store.snapshot.sessions[name].state is SessionState.NEEDS_LOGIN
    await give(house, name, 1002)
    session = house.store.snapshot.sessions[name]
    assert (session.state, session.api_id, house.user("alice").api_pairs) == (SessionState.READY, 1002, (1002,))
    await house.cycle("alice")
    assert house.texts(GROUP) == ["Hello from alice"] * 2


async def test_a_pair_that_telegram_does_not_take_is_given_to_nobody(house: House) -> None:
    await add(house, 1004, MISTYPED, unchecked=True)
    await house.add_user("alice", [GROUP])
    only(house, 1001)
    (name,) = await house.give_sessions("alice")
    await house.cycle("alice")
    only(house, 1001, 1004)
    before = house.store.snapshot.sessions[name]
    with pytest.raises(InvalidInput, match="does not take this pair"):
        await give(house, name, 1004)
    assert house.store.snapshot.sessions[name] == before
    await house.cycle("alice")
    assert len(house.texts(GROUP)) == 2


async def test_who_needs_a_new_login_on_the_other_pair_is_told_so(house: House) -> None:
    house.sandbox.ban("acc01", "revoked")
    before = house.store.snapshot.sessions["acc01"]
    with pytest.raises(LoginRefused, match="log the account in again on pair 1002") as refused:
        await give(house, "acc01", 1002)
    assert refused.value.code == "login_lost"
    assert house.store.snapshot.sessions["acc01"] == before


async def test_without_telegram_a_pair_is_given_only_unchecked(house: House) -> None:
    house.sandbox.actions.drop(60)
    with pytest.raises(PairNotChecked, match="nothing was changed"):
        await give(house, "acc01", 1002)
    assert house.store.snapshot.sessions["acc01"].api_id is None
    await give(house, "acc01", 1002, unchecked=True)
    assert house.store.snapshot.sessions["acc01"].api_id == 1002


async def test_what_cannot_be_given_is_named(house: House) -> None:
    with pytest.raises(NotFound, match="no API pair 7"):
        await give(house, "acc01", 7)
    with pytest.raises(UnknownSession):
        await give(house, "nobody", 1001)
    only(house, 1001)
    with pytest.raises(Conflict, match="1002 is not enabled"):
        await give(house, "acc01", 1002)
    async with house.services.clients.connected("acc01", 1001):
        with pytest.raises(SessionInUse, match="at work just now"):
            await give(house, "acc01", 1001)


async def test_a_full_pair_is_given_to_nobody(tmp_path: Path) -> None:
    async with open_house(tmp_path, accounts=2, groups=2, sessions_at_start=1, max_sessions_per_api_pair=1) as house:
        for user in ("alice", "bob"):
            await house.add_user(user, [GROUP])
            await house.give_sessions(user)
        alices, bobs = (house.user(user).assigned_sessions[0] for user in ("alice", "bob"))
        taken = house.store.snapshot.sessions[bobs].api_id
        assert taken is not None
        with pytest.raises(NoRoomOnApiPairs):
            await give(house, alices, taken)
        await give(house, bobs, taken)


async def test_a_pair_goes_once_no_account_works_on_it(house: House) -> None:
    await add(house, 1003, GOOD)
    await give(house, "acc01", 1003)
    await give(house, "acc02", 1003)
    await house.services.sessions.set_state("acc02", SessionState.NEEDS_LOGIN, "revoked")
    with pytest.raises(Conflict, match=r"1 account\(s\) run on API pair 1003: acc01; give them another pair first"):
        await house.services.sessions.remove_pair(1003)
    assert pairs_of(house)[1003] is PairState.ENABLED
    await give(house, "acc01", 1001)
    assert await house.services.sessions.remove_pair(1003) == ["acc02"]
    assert 1003 not in pairs_of(house)
    assert house.store.snapshot.sessions["acc02"].api_id is None
    with pytest.raises(NotFound):
        await house.services.sessions.remove_pair(1003)
    with pytest.raises(InvalidInput, match="POSTFLEET_API_PAIRS names it"):
        await house.services.sessions.remove_pair(1001)


async def test_a_hash_that_a_login_finds_wrong_takes_no_account_from_its_pair(tmp_path: Path) -> None:
    (tmp_path / "state" / "sessions" / "available").mkdir(parents=True)
    world = world_of_logins(api_pairs=dict(REAL))
    wrong = f"1001:{MISTYPED.get_secret_value()},1002:{REAL[1002]}"
    async with open_house(tmp_path, world, api_pairs=wrong) as house:
        house.sandbox.write_session("bob", tmp_path / "state" / "sessions" / "available" / "bob.session")
        house.pool.take_in()
        await give(house, "bob", 1001)
        only(house, 1001)
        logins = Logins(house.services.sessions, house.services.clients, house.services.clock)
        with pytest.raises(LoginRefused, match="API pair"):
            await logins.begin("alice", Wish(owner="alice"), ANN)
        assert pairs_of(house)[1001] is PairState.QUARANTINED
        assert house.store.snapshot.sessions["bob"].state is SessionState.READY
        await logins.close()


async def test_an_account_is_logged_in_on_the_pair_that_is_named(tmp_path: Path) -> None:
    (tmp_path / "state" / "sessions" / "available").mkdir(parents=True)
    async with open_house(tmp_path, world_of_logins()) as house:
        logins = Logins(house.services.sessions, house.services.clients, house.services.clock)
        with pytest.raises(NotFound):
            await logins.begin("alice", Wish(owner="alice", api_id=7), ANN)
        for api_id in (1002, 1001):
            begun = await logins.begin("alice", Wish(owner="alice", api_id=api_id), ANN)
            done = await logins.code("alice", begun.id, CODE)
            assert house.store.snapshot.sessions[done.session or ""].api_id == api_id
        await logins.close()
