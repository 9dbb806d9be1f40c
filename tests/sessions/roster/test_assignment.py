"""Who gets which session, over random histories and in single cases."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import NoRoomOnApiPairs, NoSpareSession
from core.models import Hold, Session, SessionState, User
from data.users.data_manager import DataManager, Snapshot
from sessions.foreign.credentials import Credentials
from sessions.roster.admission import Newcomer, admit
from sessions.roster.assignment import BAN_WAVE, AssignmentRules, Replacement, assign, retire
from tests.support.clock import START, MovableClock
from tests.support.sets import put

RULES = AssignmentRules(api_ids=(11, 12), per_user=7, per_pair=7, replacements_per_day=2)
HOUR = timedelta(hours=1)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[DataManager]:
    store = DataManager.open(tmp_path, MovableClock())
    yield store
    asyncio.run(store.close())


def give(store: DataManager, user: str, wanted: int, rules: AssignmentRules = RULES) -> tuple[str, ...]:
    return store.transact_now(lambda tx: assign(tx, user, wanted, rules, START))


def ban(store: DataManager, user: str, name: str, hours: float = 0.0, rules: AssignmentRules = RULES) -> Replacement:
    return store.transact_now(lambda tx: retire(tx, user, name, "banned", rules, START + hours * HOUR))


def spares(*names: str) -> dict[str, Session]:
    return {name: Session() for name in names}


def test_sessions_are_spread_over_the_least_used_api_pairs(store: DataManager) -> None:
    put(store, {"alice": User()}, spares("a", "b", "c", "d"))
    assert give(store, "alice", 4) == ("a", "b", "c", "d")
    pairs = Counter(store.snapshot.sessions[name].api_id for name in "abcd")
    assert pairs == {11: 2, 12: 2}
    assert store.snapshot.users["alice"].api_pairs == (11, 12)


def test_a_user_gets_what_is_there_when_the_pool_has_less_than_wanted(store: DataManager) -> None:
    put(store, {"alice": User(), "bob": User()}, spares("a", "b"))
    assert give(store, "alice", 5) == ("a", "b")
    with pytest.raises(NoSpareSession, match="sessions/available"):
        give(store, "bob", 1)
    assert store.snapshot.users["bob"].assigned_sessions == ()


def test_never_more_than_seven_sessions_on_a_pair_over_all_users(store: DataManager) -> None:
    one_pair = AssignmentRules(api_ids=(11,), per_user=7, per_pair=7, replacements_per_day=2)
    put(store, {"alice": User(), "bob": User()}, spares(*(f"s{number:02d}" for number in range(12))))
    assert len(give(store, "alice", 5, one_pair)) == 5
    assert len(give(store, "bob", 5, one_pair)) == 2
    put(store, {"carol": User()})
    with pytest.raises(NoRoomOnApiPairs, match="POSTFLEET_API_PAIRS"):
        give(store, "carol", 1, one_pair)


def test_a_session_keeps_the_pair_it_was_logged_in_with(store: DataManager) -> None:
    put(store, {"alice": User()}, {"a": Session(api_id=12), "b": Session(api_id=12)})
    give(store, "alice", 2)
    assert {store.snapshot.sessions[name].api_id for name in "ab"} == {12}


def test_banned_held_foreign_and_logged_out_sessions_are_not_given(store: DataManager) -> None:
    held = Hold(until=START + HOUR, code="PEER_FLOOD", reason="limited")
    unfit = {
        "banned": Session(state=SessionState.BANNED),
        "foreign": Session(owner="bob"),
        "held": Session(hold=held),
        "out": Session(state=SessionState.NEEDS_LOGIN),
    }
    put(store, {"alice": User()}, unfit | {"own": Session(owner="alice")} | spares("a-spare"))
    assert give(store, "alice", 5) == ("own", "a-spare")


def test_a_ban_takes_the_session_and_gives_a_spare_in_one_commit(store: DataManager) -> None:
    put(store, {"alice": User()}, spares("a", "b", "c"))
    give(store, "alice", 2)
    revision = store.snapshot.revision
    assert ban(store, "alice", "a").spare == "c"
    user = store.snapshot.users["alice"]
    assert store.snapshot.revision == revision + 1
    assert user.assigned_sessions == ("b", "c")
    assert [(gone.name, gone.replaced_by) for gone in user.banned_sessions] == [("a", "c")]
    assert store.snapshot.sessions["a"].state is SessionState.BANNED


def test_the_same_ban_reported_twice_spends_one_spare(store: DataManager) -> None:
    put(store, {"alice": User()}, spares("a", "b", "c"))
    give(store, "alice", 1)
    assert ban(store, "alice", "a").spare == "b"
    assert ban(store, "alice", "a").spare is None
    assert store.snapshot.users["alice"].assigned_sessions == ("b",)


def test_two_bans_within_ten_minutes_are_a_wave_and_spend_no_second_spare(store: DataManager) -> None:
    put(store, {"alice": User()}, spares(*"abcdef"))
    give(store, "alice", 3)
    assert ban(store, "alice", "a").spare == "d"
    wave = ban(store, "alice", "b", hours=0.1)
    assert (wave.spare, wave.wave) == (None, True)
    assert store.snapshot.users["alice"].status_reason == BAN_WAVE


def test_what_counts_as_a_wave_can_be_set(store: DataManager) -> None:
    patient = AssignmentRules(api_ids=(11,), per_user=7, per_pair=7, replacements_per_day=5, waves=((HOUR, 3),))
    put(store, {"alice": User()}, spares(*"abcdef"))
    give(store, "alice", 3, patient)
    assert [ban(store, "alice", name, 0, patient).wave for name in "abc"] == [False, False, True]


def test_bans_a_day_apart_are_no_wave(store: DataManager) -> None:
    put(store, {"alice": User()}, spares(*"abcdef"))
    give(store, "alice", 3)
    outcomes = [ban(store, "alice", name, hours=hours) for name, hours in (("a", 0), ("b", 25), ("c", 50))]
    assert [outcome.spare for outcome in outcomes] == ["d", "e", "f"]


def test_no_more_than_the_allowed_replacements_a_day(store: DataManager) -> None:
    thrifty = AssignmentRules(api_ids=(11,), per_user=7, per_pair=7, replacements_per_day=1)
    put(store, {"alice": User()}, spares(*"abcd"))
    give(store, "alice", 2, thrifty)
    assert ban(store, "alice", "a", 0, thrifty).spare == "c"
    second = ban(store, "alice", "b", 2, thrifty)
    assert second.spare is None
    assert "within 24 hours" in (second.why_not or "")


def test_a_new_login_on_a_full_pair_does_not_overfill_it(store: DataManager) -> None:
    tight = AssignmentRules(api_ids=(11, 12), per_user=7, per_pair=2, replacements_per_day=2)
    put(store, {"alice": User(), "bob": User()}, spares("a", "b", "c"))
    give(store, "alice", 3, tight)
    on_11 = [name for name in "abc" if store.snapshot.sessions[name].api_id == 11]
    (other,) = set("abc") - set(on_11)
    key = Credentials(2, "127.0.0.1", 443, bytes(range(256)))
    put(store, {}, {other: Session(api_id=12, telegram_id=7)})
    renewed = Newcomer(credentials=key, telegram_id=7, api_id=11)
    done = store.transact_now(lambda tx: admit(tx, other, renewed, tight, START))
    assert done.assigned_to is None
    check_invariants(store.snapshot, tight)


def check_invariants(snapshot: Snapshot, rules: AssignmentRules) -> None:
    """What must be true after any history."""
    assigned = [name for user in snapshot.users.values() for name in user.assigned_sessions]
    assert len(assigned) == len(set(assigned)), "a session with two users"
    on_pairs = Counter(snapshot.sessions[name].api_id for name in assigned)
    assert all(count <= rules.per_pair for count in on_pairs.values()), "a pair over its limit"
    assert None not in on_pairs, "an assigned session without a pair"
    for user_id, user in snapshot.users.items():
        assert len(user.assigned_sessions) <= rules.per_user
        assert set(user.api_pairs) == {snapshot.sessions[name].api_id for name in user.assigned_sessions}
        for name in user.assigned_sessions:
            assert snapshot.sessions[name].state is not SessionState.BANNED
            assert snapshot.sessions[name].owner in {None, user_id}


@settings(max_examples=40)
@given(
    owners=st.lists(st.sampled_from([None, None, "u0", "u1"]), min_size=1, max_size=24),
    steps=st.lists(
        st.tuples(st.booleans(), st.integers(0, 3), st.integers(0, 6), st.floats(0, 80)), min_size=1, max_size=40
    ),
)
def test_no_history_of_starts_and_bans_breaks_an_invariant(
    tmp_path_factory: pytest.TempPathFactory,
    owners: list[str | None],
    steps: list[tuple[bool, int, int, float]],
) -> None:
    rules = AssignmentRules(api_ids=(11, 12), per_user=5, per_pair=4, replacements_per_day=2)
    store = DataManager.open(tmp_path_factory.mktemp("state"), MovableClock())
    sessions = {f"s{number:02d}": Session(owner=owner) for number, owner in enumerate(owners)}
    put(store, {f"u{number}": User() for number in range(4)}, sessions)
    for starts, number, which, hours in steps:
        user_id = f"u{number}"
        mine = store.snapshot.users[user_id].assigned_sessions
        if starts:
            try:
                give(store, user_id, which, rules)
            except (NoSpareSession, NoRoomOnApiPairs):
                assert not mine
        elif mine:
            ban(store, user_id, mine[which % len(mine)], hours, rules)
        check_invariants(store.snapshot, rules)
        assert set(store.snapshot.sessions) == set(sessions), "no session is ever lost"
    asyncio.run(store.close())


async def test_racing_starts_over_few_spares_never_assign_one_twice(tmp_path: Path) -> None:
    store = DataManager.open(tmp_path, MovableClock())
    put(store, {f"u{number:02d}": User() for number in range(20)}, spares(*(f"s{number:02d}" for number in range(30))))
    rules = AssignmentRules(api_ids=tuple(range(1, 9)), per_user=7, per_pair=7, replacements_per_day=2)

    async def start(number: int) -> int:
        user_id = f"u{number % 20:02d}"
        try:
            return len(await store.transact(lambda tx: assign(tx, user_id, 3, rules, START)))
        except NoSpareSession:
            return 0

    given_out = await asyncio.gather(*(start(number) for number in range(100)))
    assert sum(given_out) == 30
    check_invariants(store.snapshot, rules)
    await store.close()
