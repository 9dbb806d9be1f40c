"""One Telegram account is one session, whenever it becomes known who a session is."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from bot.health import Health
from core.errors import Conflict
from core.models import DeliveryState, Session, SessionState, User
from data.users.data_manager import DataManager
from sessions.imports import Terms, Verdict
from sessions.logins.logins import Logins, Wish
from sessions.roster import identity
from sessions.roster.admission import NOT_HERE
from sessions.roster.assignment import AssignmentRules
from tests.sessions.logins.test_logins import ANN, CODE
from tests.sessions.logins.test_logins import world as world_of_logins
from tests.sessions.test_imports import empty, importer, key_of, pyrogram_text, some_key, telethon_text
from tests.support.clock import START, MovableClock
from tests.support.house import House, open_house
from tests.support.sets import put


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    """Two accounts at Telegram, none here yet."""
    async with open_house(empty(tmp_path), accounts=2, groups=2, sessions_at_start=2) as opened:
        yield opened


def bring(house: House, account: str, number: int, owner: str | None = None) -> str:
    """Import a login of the account as a string; the name of its session."""
    text = telethon_text(key_of(house.sandbox, account, number))
    (report,) = importer(house).take(text, Terms(owner=owner))
    assert report.verdict is Verdict.TAKEN
    assert report.session is not None
    return report.session


def health(house: House) -> Health:
    return Health.of(house.services, house.journal)


def state_of(house: House, name: str) -> SessionState:
    return house.store.snapshot.sessions[name].state


async def test_an_account_that_two_users_bring_posts_for_the_first_alone(house: House) -> None:
    for user in ("alice", "bob"):
        await house.add_user(user, ["@plaza01"])
    first, second = bring(house, "acc01", 0, "alice"), bring(house, "acc01", 1, "bob")
    assert house.user("bob").assigned_sessions == (second,)
    await house.cycle("alice")
    await house.cycle("bob")
    assert house.texts("@plaza01") == ["Hello from alice"]
    assert state_of(house, second) is SessionState.DUPLICATE
    assert house.user("bob").assigned_sessions == ()
    assert f"{second} leaves the bot: {NOT_HERE}" in house.said("bob")
    assert first not in house.said("bob").replace(second, "")
    assert (await house.deliveries("bob"))["@plaza01"].state is DeliveryState.SKIPPED


async def test_a_cycle_goes_on_with_the_accounts_that_are_left(house: House) -> None:
    await house.add_user("alice", ["@plaza01"])
    await house.add_user("bob", ["@plaza01", "@plaza02"])
    bring(house, "acc01", 0, "alice")
    await house.cycle("alice")
    bring(house, "acc01", 1, "bob")
    other = bring(house, "acc02", 0, "bob")
    await house.cycle("bob")
    posted = await house.deliveries("bob")
    assert {one.state for one in posted.values()} == {DeliveryState.DELIVERED}
    assert {one.session for one in posted.values()} == {other}


async def test_two_bots_that_connect_at_the_same_moment_do_not_both_post(house: House) -> None:
    for user in ("alice", "bob"):
        await house.add_user(user, ["@plaza01"])
    bring(house, "acc01", 0, "alice")
    bring(house, "acc01", 1, "bob")
    await asyncio.gather(house.cycle("alice"), house.cycle("bob"))
    assert len(house.texts("@plaza01")) == 1
    ids = [session.telegram_id for session in house.store.snapshot.sessions.values()]
    assert ids.count(house.sandbox.centre.account("acc01").id) == 1


async def test_a_check_finds_the_same_account_and_says_nothing_of_whose_it_is(house: House) -> None:
    first, second = bring(house, "acc01", 0, "alice"), bring(house, "acc01", 1, "bob")
    assert (await health(house).check(first)).alive
    found = await health(house).check(second)
    assert (found.alive, found.reason, found.telegram_id) == (False, NOT_HERE, None)
    assert state_of(house, second) is SessionState.DUPLICATE
    own = bring(house, "acc01", 2, "alice")
    assert (await health(house).check(own)).reason == f"the same Telegram account as {first}"


async def test_a_look_before_posting_finds_the_same_account(house: House) -> None:
    await house.add_user("alice", ["@plaza01"])
    await health(house).check(bring(house, "acc01", 0))
    second = bring(house, "acc01", 1, "alice")
    found = await house.bots.preflight("alice", house.user("alice"))
    assert NOT_HERE in str(found)
    assert state_of(house, second) is SessionState.DUPLICATE


async def test_a_file_put_into_the_folder_is_no_second_account(house: House) -> None:
    first = bring(house, "acc01", 0, "alice")
    await health(house).check(first)
    folder = house.settings.state_dir / "sessions" / "available"
    house.sandbox.write_session("acc01", folder / "twin.session", 1)
    assert house.pool.take_in() == ["twin"]
    assert (await health(house).check("twin")).alive is False
    assert house.store.snapshot.sessions["twin"].telegram_id is None


async def test_a_session_that_lost_its_login_goes_on_with_the_later_one(house: House) -> None:
    await house.add_user("alice", ["@plaza01"])
    first = bring(house, "acc01", 0, "alice")
    await health(house).check(first)
    await house.services.sessions.set_label(first, "main")
    await house.services.sessions.set_state(first, SessionState.NEEDS_LOGIN, "revoked")
    later = bring(house, "acc01", 1, "alice")
    key = house.pool.credentials(later)
    assert (await health(house).check(later)).alive
    sessions = house.store.snapshot.sessions
    assert list(sessions) == [first]
    assert (sessions[first].state, sessions[first].label) == (SessionState.READY, "main")
    assert house.pool.credentials(first) == key
    assert sorted(path.name for path in (house.settings.state_dir / "sessions").glob("*/*.session")) == [
        f"{first}.session"
    ]
    await house.cycle("alice")
    assert house.texts("@plaza01") == ["Hello from alice"]


async def test_a_login_that_merges_in_a_cycle_posts_in_that_cycle(house: House) -> None:
    await house.add_user("alice", ["@plaza01"])
    first = bring(house, "acc01", 0, "alice")
    await health(house).check(first)
    await house.services.sessions.set_state(first, SessionState.NEEDS_LOGIN, "revoked")
    bring(house, "acc01", 1, "alice")
    await house.cycle("alice")
    assert house.texts("@plaza01") == ["Hello from alice"]
    assert list(house.store.snapshot.sessions) == [first]


async def test_nobody_gets_the_lost_account_of_somebody_else(house: House) -> None:
    first = bring(house, "acc01", 0, "alice")
    await health(house).check(first)
    await house.services.sessions.set_state(first, SessionState.NEEDS_LOGIN, "revoked")
    before = house.store.snapshot.sessions[first]
    second = bring(house, "acc01", 1, "bob")
    assert (await health(house).check(second)).alive is False
    assert house.store.snapshot.sessions[first] == before


async def test_what_was_refused_is_ready_once_the_first_is_gone(house: House) -> None:
    first, second = bring(house, "acc01", 0, "alice"), bring(house, "acc01", 1, "bob")
    await health(house).check(first)
    await health(house).check(second)
    await house.store.transact(lambda tx: tx.remove_session(first))
    assert (await health(house).check(second)).alive
    assert state_of(house, second) is SessionState.READY


async def test_a_made_up_file_keeps_nobody_from_logging_in(tmp_path: Path) -> None:
    (tmp_path / "state" / "sessions" / "available").mkdir(parents=True)
    async with open_house(tmp_path, world_of_logins()) as house:
        ann = house.sandbox.centre.account("ann").id
        (squat,) = importer(house).take(
            pyrogram_text(some_key(1), ann), Terms(owner="mallory", by_operator=False, our_dc=2)
        )
        assert squat.verdict is Verdict.TAKEN
        logins = Logins(house.services.sessions, house.services.clients, house.services.clock)
        begun = await logins.begin("alice", Wish(owner="alice"), ANN)
        done = await logins.code("alice", begun.id, CODE)
        await logins.close()
        assert done.session == f"tg{ann}"
        assert house.store.snapshot.sessions[done.session].owner == "alice"


async def test_of_two_sessions_that_an_older_version_let_be_the_older_one_stays(house: House) -> None:
    first, second = bring(house, "acc01", 0, "alice"), bring(house, "acc01", 1, "bob")
    ann = house.sandbox.centre.account("acc01").id

    async def as_before(name: str) -> None:
        await house.store.transact(lambda tx: tx.put_session(name, replace(tx.session(name), telegram_id=ann)))

    await as_before(first)
    await as_before(second)
    assert (await health(house).check(second)).alive is False
    assert (await health(house).check(first)).alive is True


def test_ids_that_only_files_told_are_forgotten_when_an_older_state_is_read(tmp_path: Path) -> None:
    sessions = {
        "file": {"telegram_id": 1},
        "seen": {"telegram_id": 2, "last_used_at": "2026-01-01T00:00:00Z"},
        "login": {"telegram_id": 3, "phone": "99966000001"},
    }
    path = tmp_path / "users.json"
    path.write_text(json.dumps({"version": 1, "revision": 1, "users": {}, "sessions": sessions}))
    store = DataManager.open(tmp_path, MovableClock())
    found = {name: session.telegram_id for name, session in store.snapshot.sessions.items()}
    asyncio.run(store.close())
    assert found == {"file": None, "seen": 2, "login": 3}


def meet(store: DataManager, name: str, account: int) -> None:
    """Telegram says who the session is, and what follows from that."""
    refused = store.transact_now(lambda tx: identity.recognise(tx, name, account, START))
    if refused is None:
        assert store.snapshot.sessions[name].telegram_id == account
        return
    assert store.snapshot.sessions[refused.first].telegram_id == account
    with contextlib.suppress(Conflict):
        store.transact_now(lambda tx: identity.merge(tx, name, refused.first, RULES))


RULES = AssignmentRules(api_ids=(11, 12), per_user=5, per_pair=3, replacements_per_day=2)
NAMES = ("a", "b", "c", "d")


@given(
    owners=st.lists(st.sampled_from([None, "u0", "u1"]), min_size=4, max_size=4),
    steps=st.lists(
        st.tuples(st.sampled_from(["meet", "meet", "lose"]), st.sampled_from(NAMES), st.integers(1, 2)), max_size=25
    ),
)
def test_no_order_of_meetings_gives_an_account_two_sessions(
    tmp_path_factory: pytest.TempPathFactory, owners: list[str | None], steps: list[tuple[str, str, int]]
) -> None:
    store = DataManager.open(tmp_path_factory.mktemp("state"), MovableClock())
    try:
        put(store, {"u0": User(), "u1": User()}, {})
        owned = zip(NAMES, owners, strict=True)
        put(store, {}, {name: Session(owner=owner, api_id=11, added_at=START) for name, owner in owned})
        for what, name, account in steps:
            if name not in store.snapshot.sessions:
                continue
            if what == "meet":
                meet(store, name, account)
            else:
                lost = replace(store.snapshot.sessions[name], state=SessionState.NEEDS_LOGIN)
                put(store, {}, {name: lost})
            ids = [one.telegram_id for one in store.snapshot.sessions.values() if one.telegram_id is not None]
            assert len(ids) == len(set(ids))
    finally:
        asyncio.run(store.close())
