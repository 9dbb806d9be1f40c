"""Random histories of accounts, crashes included: nothing is shared, overfull, lost or in a wrong folder."""

import asyncio
import contextlib
import struct
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from core.errors import PostfleetError
from core.models import SessionState, User
from data.users.data_manager import DataManager, Transaction
from sessions.files.pool import Pool
from sessions.foreign.credentials import Credentials
from sessions.keys.vault import Vault
from sessions.roster import admission as changes
from sessions.roster.admission import Newcomer
from sessions.roster.assignment import AssignmentRules, assign, retire
from tests.sessions.roster.test_assignment import check_invariants
from tests.support.clock import START, MovableClock
from tests.support.sets import put

RULES = AssignmentRules(api_ids=(11, 12), per_user=5, per_pair=4, replacements_per_day=2)
USERS = ("u0", "u1", "u2")
KINDS = ("start", "ban", "revoke", "login", "import", "release", "move", "quarantine", "pair", "delete")
STEP = st.tuples(
    st.sampled_from(KINDS),
    st.integers(0, 2),
    st.integers(0, 7),
    st.sampled_from(["", "", "", "before the commit", "before the files"]),
)


class Died(BaseException):
    """The process is gone."""


class Story:
    """A state folder, what happens to it, and the keys that must be there in the end."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._keys = 0
        self._hours = 0
        self.expected: dict[str, str] = {}
        """session → its key's id"""
        self._open()
        put(self.store, {user: User() for user in USERS})
        for number in range(6):
            self.happen("import", 0, 1 if number else 0, "")
        self.happen("start", 1, 1, "")

    def _open(self) -> None:
        self.store = DataManager.open(self._folder, MovableClock())
        self.pool = Pool(self._folder, Vault.open(self._folder), self.store, MovableClock())
        self.pool.repair()

    def restart(self) -> None:
        """What the daemon does after a crash."""
        self.close()
        self._open()

    def close(self) -> None:
        asyncio.run(self.store.close())

    def happen(self, kind: str, user: int, which: int, crash: str) -> None:
        """One thing happens, and perhaps the process dies in the middle of it."""
        self._hours += which
        names = sorted(self.store.snapshot.sessions)
        name = names[which % len(names)] if names else None
        if kind == "delete" and name is not None:
            self.delete(name, crash)
            return
        staged: dict[str, Credentials] = {}
        change = self._change(kind, USERS[user], name, which, staged)
        self.pool.stage(staged)
        if crash != "before the commit":
            try:
                self.store.transact_now(change)
                self.expected |= {name: key.key_id for name, key in staged.items()}
            except PostfleetError:
                self.pool.unstage(staged)
            if crash != "before the files":
                self.pool.follow(self.store.snapshot)
        if crash:
            self.restart()

    def delete(self, name: str, crash: str) -> None:
        """A session is deleted, and perhaps the process dies in the middle of it."""
        key_id = self.store.snapshot.sessions[name].key_id

        async def remove() -> None:
            async with self.pool.removing(name):
                if crash == "before the commit":
                    raise Died
                await self.store.transact(lambda tx: changes.remove(tx, name, key_id, START))
                del self.expected[name]
                if crash:
                    raise Died

        with contextlib.suppress(Died):
            asyncio.run(remove())
        if crash:
            self.restart()

    def _change(
        self, kind: str, user: str, name: str | None, which: int, staged: dict[str, Credentials]
    ) -> Callable[[Transaction], object]:
        now = START + timedelta(hours=self._hours)
        if kind == "start":
            return lambda tx: assign(tx, user, 1 + which % 5, RULES, now)
        if kind in {"import", "login"} or name is None:
            self._keys += 1
            key = Credentials(2, "127.0.0.1", 443, struct.pack(">I", self._keys) * 64)
            known = kind == "login" and name is not None
            account = self.store.snapshot.sessions[name].telegram_id if known and name is not None else self._keys
            into = name if known and name is not None else f"s{self._keys:03d}"
            newcomer = Newcomer(
                credentials=key,
                owner=user if which % 3 == 0 else None,
                telegram_id=account,
                api_id=11 + which % 2 if known else None,
                by_operator=which % 2 == 0,
            )
            staged[into] = key
            return lambda tx: changes.admit(tx, into, newcomer, RULES, now)
        if kind == "ban":
            return lambda tx: retire(tx, user, name, "banned", RULES, now)
        if kind == "revoke":
            return lambda tx: tx.put_session(name, replace(tx.session(name), state=SessionState.NEEDS_LOGIN))
        if kind == "release":
            return lambda tx: changes.release(tx, name)
        if kind == "move":
            return lambda tx: changes.move(tx, name, user, RULES)
        if kind == "pair":
            return lambda tx: changes.give_pair(tx, name, 11 + which % 2, RULES)
        return lambda tx: changes.quarantine(tx, 11 + which % 2, "refused", RULES)

    def check(self) -> None:
        """No session with two users, no pair over its limit, nothing lost, every file where users.json says."""
        snapshot = self.store.snapshot
        check_invariants(snapshot, RULES)
        assert set(snapshot.sessions) == set(self.expected), "no session is lost or made up"
        taken = {name for user in snapshot.users.values() for name in user.assigned_sessions}
        found: dict[str, list[str]] = {}
        for path in (self._folder / "sessions").glob("*/*.session"):
            if path.parent.name != "incoming":
                found.setdefault(path.stem, []).append(path.parent.name)
        for name, session in snapshot.sessions.items():
            banned = session.state is SessionState.BANNED
            assert found[name] == ["banned" if banned else "assigned" if name in taken else "available"]
            assert self.pool.credentials(name).key_id == self.expected[name]


@settings(max_examples=25)
@given(steps=st.lists(STEP, min_size=12, max_size=30))
def test_no_history_with_crashes_breaks_what_must_be_true_of_accounts(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int, int, str]]
) -> None:
    story = Story(tmp_path_factory.mktemp("state"))
    try:
        for step in steps:
            story.happen(*step)
            story.check()
    finally:
        story.close()
