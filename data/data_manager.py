"""The one module through which users.json and stats.json are read and written."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self, TypeVar

from core.clock import Clock
from core.models import Session, Stats, User

T = TypeVar("T")


@dataclass(frozen=True)
class Snapshot:
    """What users.json said after one commit. Never changes; read it without a lock."""

    revision: int
    users: Mapping[str, User]
    sessions: Mapping[str, Session]


class Transaction(Protocol):
    """What a change sees: the newest state, read and written in memory, committed as one or not at all."""

    @property
    def users(self) -> Mapping[str, User]:
        """Every user as this transaction sees them; do not change the mapping."""
        ...

    @property
    def sessions(self) -> Mapping[str, Session]:
        """Every session as this transaction sees them; do not change the mapping."""
        ...

    def user(self, user_id: str) -> User:
        """The user. Raises UnknownUser."""
        ...

    def session(self, name: str) -> Session:
        """The session. Raises UnknownSession."""
        ...

    def put_user(self, user_id: str, user: User) -> None:
        """Add or replace a user."""
        ...

    def put_session(self, name: str, session: Session) -> None:
        """Add or replace a session."""
        ...

    def remove_user(self, user_id: str) -> None:
        """Forget a user. Raises UnknownUser."""
        ...

    def remove_session(self, name: str) -> None:
        """Forget a session. Raises UnknownSession."""
        ...


class DataManager:
    """Locked, atomic, durable access to the truth."""

    @classmethod
    def open(cls, state_dir: Path, clock: Clock) -> Self:
        """Read the state, making the folder (0700) and files when there are none.

        Raises:
            StateDamaged, StateTooNew, StateLocked, StateNotWritten.
        """
        raise NotImplementedError

    @property
    def snapshot(self) -> Snapshot:
        """The state after the newest commit this process knows of."""
        raise NotImplementedError

    async def transact(self, change: Callable[[Transaction], T]) -> T:
        """Run `change` against the newest state and make it durable; the answer comes after it is.

        `change` is plain code: quick, no await, no effect outside the transaction (it can run again). What it raises
        reaches the caller and undoes this change alone. A change that alters nothing commits nothing.

        Raises:
            StateLocked, StateNotWritten, StateDamaged: the change was not made.
        """
        raise NotImplementedError

    def transact_now(self, change: Callable[[Transaction], T]) -> T:
        """The same for code without an event loop (commands, start-up)."""
        raise NotImplementedError

    def stats(self, user_id: str) -> Stats:
        """The user's counters; zeros for a user who never posted."""
        raise NotImplementedError

    def on_commit(self, callback: Callable[[Snapshot], None]) -> None:
        """Call back after each durable commit, in the event loop's thread."""
        raise NotImplementedError

    async def close(self) -> None:
        """Finish what is in flight and let go of files."""
        raise NotImplementedError
