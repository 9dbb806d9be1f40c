"""An account that Telegram asked to rest goes on resting, whichever login it comes back with."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from core.models import Hold, Session, SessionState, User
from data.users.data_manager import DataManager
from data.users.document import read_document
from sessions.imports import Terms
from sessions.logins.farewell import delete
from sessions.roster import admission, assignment, identity
from sessions.roster.admission import Newcomer
from sessions.roster.assignment import AssignmentRules
from tests.sessions.test_imports import importer, key_of, some_key, telethon_text
from tests.support.clock import START, MovableClock
from tests.support.house import House, open_house
from tests.support.sets import put

GROUP = "@plaza01"
DAY = timedelta(hours=24)
RULES = AssignmentRules(api_ids=(11,), per_user=5, per_pair=7, replacements_per_day=2)
LIMITED = Hold(until=START + DAY, code="PEER_FLOOD", reason="Telegram limited it", since=START)
ACC01 = 7


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with open_house(tmp_path, accounts=1, groups=1) as opened:
        await opened.add_user("alice", [GROUP])
        opened.sandbox.add_fault({"error": "PEER_FLOOD", "method": "messages.sendMessage", "count": 1})
        await opened.cycle("alice")
        yield opened


@pytest.fixture
def store(tmp_path: Path) -> DataManager:
    return DataManager.open(tmp_path, MovableClock())


def bring_again(house: House) -> str:
    """Import another login of the account."""
    reports = importer(house).take(telethon_text(key_of(house.sandbox, "acc01", 1)), Terms(owner="alice"))
    return str(reports[0].session)


async def forget(house: House, name: str) -> None:
    await delete(house.services.clients, house.services.sessions, name, log_out=False)


def remove(store: DataManager, name: str, after: timedelta = timedelta()) -> None:
    key_id = store.snapshot.sessions[name].key_id
    store.transact_now(lambda tx: admission.remove(tx, name, key_id, START + after))


def recognise(store: DataManager, name: str, after: timedelta = timedelta()) -> Any:
    return store.transact_now(lambda tx: identity.recognise(tx, name, ACC01, START + after))


def hold_of(store: DataManager, name: str) -> Hold | None:
    return store.snapshot.sessions[name].hold


def on_disk(store: DataManager, folder: Path) -> Any:
    return json.loads((folder / "users.json").read_text())


async def test_a_limited_account_that_is_deleted_and_brought_again_does_not_post(house: House) -> None:
    limited = house.store.snapshot.sessions["acc01"].hold
    later = bring_again(house)
    await forget(house, "acc01")
    await house.cycle("alice")
    assert house.user("alice").assigned_sessions == (later,)
    assert house.texts(GROUP) == []
    assert house.store.snapshot.sessions[later].hold == limited


async def test_a_limited_account_that_is_brought_again_after_it_was_deleted_does_not_post(house: House) -> None:
    await forget(house, "acc01")
    bring_again(house)
    for _ in range(2):
        await house.cycle("alice")
    assert house.texts(GROUP) == []


def test_a_login_of_a_limited_account_that_was_deleted_rests_on(store: DataManager) -> None:
    put(store, {}, {"acc01": Session(telegram_id=ACC01, hold=LIMITED)})
    remove(store, "acc01")
    newcomer = Newcomer(some_key(1), telegram_id=ACC01)
    store.transact_now(lambda tx: admission.admit(tx, "tg7", newcomer, RULES, START))
    assert hold_of(store, "tg7") == LIMITED


def test_a_hold_outlives_the_process_and_goes_when_the_account_has_it_again(store: DataManager, tmp_path: Path) -> None:
    put(store, {}, {"acc01": Session(telegram_id=ACC01, hold=LIMITED), "acc02": Session()})
    assert "holds" not in on_disk(store, tmp_path)
    remove(store, "acc01")
    assert list(on_disk(store, tmp_path)["holds"]) == [str(ACC01)]
    asyncio.run(store.close())
    again = DataManager.open(tmp_path, MovableClock())
    assert recognise(again, "acc02") is None
    assert hold_of(again, "acc02") == LIMITED
    assert "holds" not in on_disk(again, tmp_path)


def test_a_hold_that_is_over_is_not_kept(store: DataManager, tmp_path: Path) -> None:
    over = replace(LIMITED, until=START + timedelta(hours=1))
    put(store, {}, {name: Session(telegram_id=n, hold=over) for n, name in enumerate(["acc01", "acc02"], ACC01)})
    remove(store, "acc01")
    remove(store, "acc02", after=timedelta(hours=2))
    assert "holds" not in on_disk(store, tmp_path)


def test_a_hold_of_a_second_session_passes_to_the_first(store: DataManager) -> None:
    sessions = {
        "first": Session(telegram_id=ACC01, added_at=START, hold=replace(LIMITED, until=START + DAY / 2)),
        "later": Session(added_at=START + DAY, hold=LIMITED),
    }
    put(store, {}, sessions)
    assert recognise(store, "later") is not None
    assert hold_of(store, "first") == LIMITED


def test_an_account_that_was_banned_and_let_in_again_rests_as_long_as_before(store: DataManager) -> None:
    put(
        store,
        {"alice": User(assigned_sessions=("acc01",))},
        {"acc01": Session(telegram_id=ACC01, api_id=11, hold=LIMITED)},
    )
    store.transact_now(lambda tx: assignment.retire(tx, "alice", "acc01", "banned", RULES, START))
    newcomer = Newcomer(some_key(1), telegram_id=ACC01)
    store.transact_now(lambda tx: admission.admit(tx, "acc01", newcomer, RULES, START))
    assert (store.snapshot.sessions["acc01"].state, hold_of(store, "acc01")) == (SessionState.READY, LIMITED)


def test_kept_holds_are_read_however_the_file_is_laid_out(store: DataManager, tmp_path: Path) -> None:
    put(store, {}, {"acc01": Session(telegram_id=ACC01, hold=LIMITED)})
    remove(store, "acc01")
    raw, path = (tmp_path / "users.json").read_bytes(), tmp_path / "users.json"
    by_hand = json.dumps(json.loads(raw), indent=1).encode()
    for written in (raw, by_hand):
        document = read_document(written, path)
        assert document.holds.values == {str(ACC01): LIMITED}
        assert b"".join(document.chunks(document.revision)) == raw
