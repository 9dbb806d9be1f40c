"""Transactions, crashes and a second process against a model that is a dictionary."""

import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from core.clock import SystemClock
from core.errors import Conflict, StateNotWritten, UnknownSession
from core.models import Hold, Session, User
from data.users.data_manager import DataManager, Transaction
from tests.data.test_crashes import PowerCut, UnsureDisk
from tests.data.test_damage import STEPS, FailingDisk
from tests.support.clock import START


def hold_of(hours: int) -> Hold:
    return Hold(until=START + timedelta(hours=hours), code="PEER_FLOOD", reason="Telegram limited it")


USERS = st.sampled_from(["alice", "bob", "carol", 'quo"ted":{', "späti"])
SESSIONS = st.sampled_from(["a1", "a2", "a3"])
PROCESSES = st.integers(0, 1)
VALUES = st.builds(
    User,
    groups=st.lists(st.text(max_size=5), max_size=3).map(tuple),
    assigned_sessions=st.lists(SESSIONS, max_size=2, unique=True).map(tuple),
    post_content=st.text(max_size=10),
    delay_between_posts=st.floats(0, 3e7),
)
ACTIONS = st.one_of(
    st.tuples(st.just("put_user"), USERS, VALUES),
    st.tuples(st.just("put_session"), SESSIONS, st.builds(Session, telegram_id=st.none() | st.integers(1, 9))),
    st.tuples(st.just("remove_session"), SESSIONS),
    st.tuples(st.just("put_hold"), st.sampled_from(["1", "2"]), st.none() | st.builds(hold_of, st.integers(0, 3))),
    st.tuples(st.just("fail")),
)
CHANGES = st.lists(ACTIONS, max_size=4)


class OnPurposeError(Exception):
    """What a failing caller raises."""


class Model:
    """What a state is: users, sessions and holds, and how many commits it took."""

    def __init__(self) -> None:
        self.users: dict[str, User] = {}
        self.sessions: dict[str, Session] = {}
        self.holds: dict[str, Hold] = {}

    def copy(self) -> "Model":
        other = Model()
        other.users, other.sessions, other.holds = dict(self.users), dict(self.sessions), dict(self.holds)
        return other

    def apply(self, change: list[tuple[Any, ...]]) -> "Model | type[Exception]":
        """The state after the change, or how it fails."""
        after = self.copy()
        for action, *values in change:
            match action:
                case "put_user":
                    after.users[values[0]] = values[1]
                case "put_session":
                    after.sessions[values[0]] = values[1]
                case "remove_session":
                    if after.sessions.pop(values[0], None) is None:
                        return UnknownSession
                case "put_hold":
                    after.holds.pop(values[0], None)
                    if values[1] is not None:
                        after.holds[values[0]] = values[1]
                case "fail":
                    return OnPurposeError
        held = [name for user in after.users.values() for name in user.assigned_sessions]
        return Conflict if len(held) != len(set(held)) else after

    def __eq__(self, other: object) -> bool:
        mine = (self.users, self.sessions, self.holds)
        return isinstance(other, Model) and mine == (other.users, other.sessions, other.holds)

    __hash__ = None  # type: ignore[assignment]  # it changes


def as_change(actions: list[tuple[Any, ...]]) -> Callable[[Transaction], None]:
    def change(tx: Transaction) -> None:
        for action, *values in actions:
            if action == "fail":
                raise OnPurposeError
            getattr(tx, action)(*values)

    return change


class StoreMachine(RuleBasedStateMachine):
    """Two processes on one state folder; each may fail, crash, meet a full disk or lose its power."""

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.loop = asyncio.new_event_loop()
        self.model = Model()
        self.disks = [FailingDisk(), FailingDisk()]
        self.stores = [self._open(0), self._open(1)]
        self.revision = 0

    def _open(self, number: int) -> DataManager:
        return DataManager.open(self.folder / "state", SystemClock(), disk=self.disks[number])

    @rule(process=PROCESSES, change=CHANGES)
    def one_change(self, process: int, change: list[tuple[Any, ...]]) -> None:
        self._expect(self.model.apply(change), lambda: self.stores[process].transact_now(as_change(change)))

    @rule(process=PROCESSES, changes=st.lists(CHANGES, min_size=2, max_size=5))
    def many_callers_in_one_commit(self, process: int, changes: list[list[tuple[Any, ...]]]) -> None:
        expected: list[type[Exception] | None] = []
        for change in changes:
            after = self.model.apply(change)
            if isinstance(after, Model):
                self.model = after
            expected.append(None if isinstance(after, Model) else after)

        async def together() -> list[object]:
            waiting = (self.stores[process].transact(as_change(change)) for change in changes)
            return list(await asyncio.gather(*waiting, return_exceptions=True))

        answers = self.loop.run_until_complete(together())
        assert [None if answer is None else type(answer) for answer in answers] == expected

    @rule(process=PROCESSES, change=CHANGES, step=st.sampled_from(STEPS))
    def a_disk_that_refuses(self, process: int, change: list[tuple[Any, ...]], step: tuple[str, str]) -> None:
        disk = self.disks[process]
        disk.step, disk.when = step
        refused: type[Exception] | None = None
        try:
            self.stores[process].transact_now(as_change(change))
        except (StateNotWritten, OnPurposeError, UnknownSession, Conflict) as error:
            refused = type(error)
        disk.step = ""
        after = self.model.apply(change)
        if refused is None:  # it altered nothing, so nothing was to be written
            assert after == self.model
        elif refused is StateNotWritten:
            assert isinstance(after, Model)
        else:
            assert after is refused

    @rule(process=PROCESSES)
    def a_crash_between_two_commits(self, process: int) -> None:
        self.stores[process].release()  # the kernel closes its files; everything in memory is gone
        self.stores[process] = self._open(process)

    @rule(change=CHANGES, steps=st.integers(0, 5))
    def a_power_cut_in_a_commit(self, change: list[tuple[Any, ...]], steps: int) -> None:
        after = self.model.apply(change)
        disk = UnsureDisk(steps)
        store = DataManager.open(self.folder / "state", SystemClock(), disk=disk)
        refused: type[Exception] | None = None
        try:
            with contextlib.suppress(PowerCut):
                store.transact_now(as_change(change))
                assert isinstance(after, Model)
                self.model = after
        except (OnPurposeError, UnknownSession, Conflict) as error:
            refused = type(error)
        assert after is refused or (isinstance(after, Model) and refused is None)
        store.release()
        self.a_crash_between_two_commits(0)  # the power was theirs too
        self.a_crash_between_two_commits(1)
        found = self._read(self.stores[0])
        assert found == self.model or found == after
        self.model = found

    def _expect(self, after: "Model | type[Exception]", run: Callable[[], object]) -> None:
        if isinstance(after, Model):
            run()
            self.model = after
            return
        try:
            run()
        except after:
            return
        raise AssertionError(f"{after} was expected")

    def _read(self, store: DataManager) -> Model:
        found = Model()
        found.holds = store.transact_now(lambda tx: dict(tx.holds))
        found.users = {name: msgspec.structs.replace(user, revision=0) for name, user in store.snapshot.users.items()}
        found.sessions = dict(store.snapshot.sessions)
        return found

    @invariant()
    def both_processes_see_the_model_and_revisions_never_go_back(self) -> None:
        for store in self.stores:
            assert self._read(store) == self.model
            assert store.snapshot.revision >= self.revision
            assert all(user.revision <= store.snapshot.revision for user in store.snapshot.users.values())
        self.revision = self.stores[0].snapshot.revision

    def teardown(self) -> None:
        for store in self.stores:
            self.loop.run_until_complete(store.close())
        self.loop.close()
        shutil.rmtree(self.folder)


StoreMachine.TestCase.settings = settings(max_examples=40, stateful_step_count=25)
TestStore = StoreMachine.TestCase
