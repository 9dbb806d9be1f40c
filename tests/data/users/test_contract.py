"""What every store must do, whatever engine is behind it. Another engine joins by opening itself in `open_store`."""

import asyncio
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import msgspec
import pytest

from core.errors import Conflict, InvalidInput, StateError, UnknownSession, UnknownUser
from core.models import Session, User
from data.disk.files import Disk
from data.users.data_manager import Transaction
from tests.data.conftest import OpenStore
from tests.data.support import add, count


def _put_session(name: str, tx: Transaction) -> None:
    tx.put_session(name, Session())


async def test_a_new_state_is_empty_and_survives_being_opened_again(open_store: OpenStore) -> None:
    assert open_store().snapshot.revision == 0
    assert dict(open_store().snapshot.users) == {}


async def test_what_was_answered_is_there_for_whoever_opens_the_state_next(open_store: OpenStore) -> None:
    store = open_store()
    user = User(groups=("@news", "@späti"), post_content="Grüße\n\u2028 \U0001f600", assigned_sessions=("a1",))

    def change(tx: Transaction) -> None:
        tx.put_user('alice "the first"', user)
        tx.put_session("a1", Session(api_id=1))

    await store.transact(change)
    again = open_store().snapshot
    assert again == store.snapshot
    assert msgspec.structs.replace(again.users['alice "the first"'], revision=0) == user
    assert again.sessions == {"a1": Session(api_id=1)}


async def test_the_answer_of_a_change_reaches_its_caller(open_store: OpenStore) -> None:
    store = open_store()
    assert await asyncio.gather(*(store.transact(add("alice")) for _ in range(5))) == [1, 2, 3, 4, 5]


async def test_check_and_act_are_one_so_a_last_session_is_given_once(open_store: OpenStore) -> None:
    stores = [open_store(), open_store()]
    for name in ("a0", "a1", "a2"):
        await stores[0].transact(partial(_put_session, name))

    def take_one(user_id: str) -> Callable[[Transaction], str | None]:
        def change(tx: Transaction) -> str | None:
            taken = {name for user in tx.users.values() for name in user.assigned_sessions}
            free = next((name for name in tx.sessions if name not in taken), None)
            if free is not None:
                tx.put_user(user_id, User(assigned_sessions=(free,)))
            return free

        return change

    given = await asyncio.gather(*(stores[n % 2].transact(take_one(f"user{n}")) for n in range(20)))
    assert sorted(name for name in given if name) == ["a0", "a1", "a2"]


async def test_one_failing_caller_fails_no_other_of_its_batch(open_store: OpenStore) -> None:
    store = open_store()

    def fail_after_writing(tx: Transaction) -> None:
        add("alice", 100)(tx)
        tx.put_session("left-over", Session())
        raise ZeroDivisionError

    answers = await asyncio.gather(
        store.transact(add("alice")),
        store.transact(fail_after_writing),
        store.transact(add("alice")),
        return_exceptions=True,
    )
    assert answers[0] == 1
    assert isinstance(answers[1], ZeroDivisionError)
    assert answers[2] == 2
    assert count(open_store().snapshot, "alice") == 2
    assert not open_store().snapshot.sessions


async def test_a_change_that_runs_out_of_an_iterator_is_told_so_and_holds_nobody_up(open_store: OpenStore) -> None:
    store = open_store()
    answers = await asyncio.gather(
        store.transact(lambda tx: next(iter(tx.sessions))), store.transact(add("alice")), return_exceptions=True
    )
    assert isinstance(answers[0], RuntimeError)
    assert answers[1] == 1


async def test_the_revision_moves_by_one_a_commit_and_marks_the_users_it_touched(open_store: OpenStore) -> None:
    store = open_store()
    await store.transact(add("alice"))
    await store.transact(add("bob"))
    assert store.snapshot.revision == 2
    assert {name: user.revision for name, user in store.snapshot.users.items()} == {"alice": 1, "bob": 2}


async def test_a_change_of_an_account_touches_the_user_it_works_for(open_store: OpenStore) -> None:
    store = open_store()
    await store.transact(lambda tx: tx.put_user("alice", User(assigned_sessions=("a1",))))
    await store.transact(lambda tx: tx.put_session("a1", Session(api_id=7)))
    assert store.snapshot.users["alice"].revision == 2


async def test_a_change_that_alters_nothing_commits_nothing(open_store: OpenStore, state_dir: Path) -> None:
    store = open_store()
    await store.transact(add("alice"))
    before = {path.name: path.stat().st_mtime_ns for path in state_dir.iterdir()}
    await store.transact(lambda tx: tx.put_user("alice", tx.user("alice")))
    await store.transact(lambda tx: len(tx.users))
    assert store.snapshot.revision == 1
    assert {path.name: path.stat().st_mtime_ns for path in state_dir.iterdir()} == before


async def test_a_session_never_gets_a_second_user(open_store: OpenStore) -> None:
    store = open_store()
    await store.transact(lambda tx: tx.put_user("alice", User(assigned_sessions=("a1",))))
    with pytest.raises(Conflict, match="already belongs to 'alice'"):
        await store.transact(lambda tx: tx.put_user("bob", User(assigned_sessions=("a1",))))

    def both_new(tx: Transaction) -> None:
        tx.put_user("carol", User(assigned_sessions=("a2",)))
        tx.put_user("dave", User(assigned_sessions=("a2",)))

    with pytest.raises(Conflict, match="already belongs to 'carol'"):
        await store.transact(both_new)
    assert list(store.snapshot.users) == ["alice"]


async def test_a_session_can_move_from_one_user_to_another_in_one_change(open_store: OpenStore) -> None:
    store = open_store()
    await store.transact(lambda tx: tx.put_user("alice", User(assigned_sessions=("a1",))))

    def hand_over(tx: Transaction) -> None:
        tx.put_user("bob", User(assigned_sessions=("a1",)))
        tx.put_user("alice", User())

    await store.transact(hand_over)
    await store.transact(lambda tx: tx.put_user("alice", User(groups=("@news",))))
    with pytest.raises(Conflict, match="already belongs to 'bob'"):
        await store.transact(lambda tx: tx.put_user("alice", User(assigned_sessions=("a1",))))


async def test_what_is_unknown_is_said_to_be_unknown(open_store: OpenStore) -> None:
    store = open_store()
    for change, error in (
        (lambda tx: tx.user("nobody"), UnknownUser),
        (lambda tx: tx.session("none"), UnknownSession),
        (lambda tx: tx.remove_session("none"), UnknownSession),
    ):
        with pytest.raises(error, match="there is no"):
            await store.transact(change)


@pytest.mark.parametrize(
    "user",
    [
        User(delay_between_posts=float("nan")),
        User(delay_between_posts="soon"),  # type: ignore[arg-type]  # a mistake no type checker saw
        User(post_content="\ud800"),
    ],
)
async def test_a_value_that_could_not_be_read_again_is_refused(open_store: OpenStore, user: User) -> None:
    store = open_store()
    with pytest.raises(InvalidInput, match="cannot be stored"):
        await store.transact(lambda tx: tx.put_user("alice", user))
    assert not open_store().snapshot.users


async def test_a_snapshot_shares_nothing_with_what_was_put(open_store: OpenStore) -> None:
    store = open_store()
    holds: dict[str, dict[str, object]] = {"@news": {}}
    await store.transact(lambda tx: tx.put_user("alice", User(group_holds=holds)))  # type: ignore[arg-type]  # changed below
    holds["@news"]["a1"] = "sneaked in"
    assert store.snapshot.users["alice"].group_holds == {"@news": {}}
    with pytest.raises(TypeError):
        store.snapshot.users["bob"] = User()  # type: ignore[index]  # the point


async def test_an_old_snapshot_stays_what_it_was(open_store: OpenStore) -> None:
    store = open_store()
    await store.transact(add("alice"))
    old = store.snapshot
    await store.transact(add("alice"))
    assert (count(old, "alice"), count(store.snapshot, "alice")) == (1, 2)


async def test_a_change_cannot_wait_for_anything(open_store: OpenStore) -> None:
    async def change(tx: Transaction) -> None:
        raise AssertionError

    def wrong(tx: Transaction) -> object:
        waits = change(tx)
        waits.close()
        return waits

    with pytest.raises(TypeError, match="plain code"):
        await open_store().transact(wrong)


async def test_a_transaction_that_is_over_takes_no_more_changes(open_store: OpenStore) -> None:
    store = open_store()
    kept = await store.transact(lambda tx: tx)
    with pytest.raises(RuntimeError, match="over"):
        kept.put_user("alice", User())
    assert not store.snapshot.users


async def test_a_commit_can_be_seen_once_its_caller_is_answered(open_store: OpenStore) -> None:
    store = open_store()
    for expected in range(1, 4):
        await store.transact(add("alice"))
        assert (store.snapshot.revision, count(store.snapshot, "alice")) == (expected, expected)


async def test_another_process_is_noticed_at_the_next_change_and_on_refresh(open_store: OpenStore) -> None:
    mine, other = open_store(), open_store()
    await other.transact(add("alice"))
    assert (mine.is_behind, mine.snapshot.revision) == (True, 0)
    assert count(await mine.refresh(), "alice") == 1
    assert (mine.is_behind, mine.snapshot.revision) == (False, 1)
    await other.transact(add("alice"))
    assert await mine.transact(add("alice")) == 3


async def test_commands_write_without_a_loop_while_the_daemon_writes(open_store: OpenStore) -> None:
    daemon, command = open_store(), open_store()
    async with asyncio.TaskGroup() as tasks:
        for _ in range(20):
            tasks.create_task(daemon.transact(add("alice")))
        tasks.create_task(asyncio.to_thread(lambda: [command.transact_now(add("alice")) for _ in range(20)]))
    assert count((await daemon.refresh()), "alice") == 40


async def test_a_busy_daemon_with_a_slow_disk_leaves_other_processes_their_turn(open_store: OpenStore) -> None:
    class SlowDisk(Disk):
        def sync(self, descriptor: int) -> None:
            time.sleep(0.03)
            super().sync(descriptor)

    busy, command = open_store(disk=SlowDisk()), open_store()
    over = False
    committed = asyncio.Event()

    async def keep_busy() -> None:
        while not over:
            await busy.transact(add("alice"))
            committed.set()

    callers = [asyncio.create_task(keep_busy()) for _ in range(8)]
    waited = []
    for _ in range(6):
        committed.clear()
        await committed.wait()
        before = busy.snapshot.revision
        await asyncio.to_thread(command.transact_now, add("bob"))
        waited.append(command.snapshot.revision - before)
    over = True
    await asyncio.gather(*callers)
    assert count(await busy.refresh(), "bob") == 6
    assert sorted(waited)[3] <= 3  # the commit under way, its own, and seldom one more


async def test_a_caller_that_gives_up_does_not_disturb_the_others(open_store: OpenStore) -> None:
    store = open_store()
    waiting = [asyncio.create_task(store.transact(add("alice"))) for _ in range(3)]
    await asyncio.sleep(0)
    waiting[1].cancel()
    answers = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(answers[1], asyncio.CancelledError)
    assert answers[0] == 1
    assert answers[2] in (2, 3), "the change of the one who gave up may have been made"
    assert await store.transact(add("alice")) == answers[2] + 1


async def test_closing_finishes_what_was_asked_and_refuses_what_comes_after(open_store: OpenStore) -> None:
    store = open_store()
    asked = [asyncio.create_task(store.transact(add("alice"))) for _ in range(50)]
    await asyncio.sleep(0)
    await store.close()
    assert await asyncio.gather(*asked) == list(range(1, 51))
    with pytest.raises(StateError, match="closed"):
        await store.transact(add("alice"))
