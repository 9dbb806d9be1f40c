"""A change in memory: what it sees, what it does, and how it is undone."""

from collections.abc import Callable, ItemsView, Iterator, KeysView, Mapping, ValuesView
from dataclasses import dataclass
from typing import Generic, TypeVar

import msgspec

from core.errors import Conflict, InvalidInput, UnknownSession, UnknownUser
from core.models import Hold, Model, Session, User
from data.users.document import line_around

M = TypeVar("M", bound=Model)


@dataclass(frozen=True)
class Snapshot:
    """The content of users.json after one commit. It never changes; read it without a lock."""

    revision: int
    users: Mapping[str, User]
    sessions: Mapping[str, Session]


class DraftTable(Generic[M]):
    """One table of the commit being made. It shares the values of the last commit until the first change."""

    def __init__(self, values: dict[str, M], kind: type[M], word: str) -> None:
        self.values = values
        self.kind = kind
        self.word = word
        self.view: Mapping[str, M] = _View(self)
        self.lines: dict[str, bytes | None] = {}
        """name → new line of every value that a change touched; None: the value goes."""
        self._copied = False

    def set(self, name: str, value: M | None) -> None:
        """Set the value, or remove it."""
        if not self._copied:
            self.values = dict(self.values)
            self._copied = True
        if value is None:
            self.values.pop(name, None)
        else:
            self.values[name] = value


class _View(Mapping[str, M]):
    """A view of a draft's table as it is at the moment."""

    def __init__(self, table: DraftTable[M]) -> None:
        self._table = table

    def __getitem__(self, name: str) -> M:
        return self._table.values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._table.values)

    def __len__(self) -> int:
        return len(self._table.values)

    def __contains__(self, name: object) -> bool:
        return name in self._table.values

    # The dict does in C what Mapping does in Python.
    def keys(self) -> KeysView[str]:
        return self._table.values.keys()

    def values(self) -> ValuesView[M]:
        return self._table.values.values()

    def items(self) -> ItemsView[str, M]:
        return self._table.values.items()


class CommitDraft:
    """The commit being made. One transaction after another changes it."""

    def __init__(
        self, revision: int, users: dict[str, User], sessions: dict[str, Session], holds: dict[str, Hold]
    ) -> None:
        self.revision = revision
        """The revision that the commit will have."""
        self.users = DraftTable(users, User, "user")
        self.sessions = DraftTable(sessions, Session, "session")
        self.holds = DraftTable(holds, Hold, "hold")
        self.new_holders: dict[str, str | None] = {}
        """session → the user it is assigned to, for every session whose user this draft changed."""


class _Changes(Generic[M]):
    """What one transaction replaced in a table."""

    def __init__(self, table: DraftTable[M]) -> None:
        self.table = table
        self.before: dict[str, M | None] = {}
        self._lines: dict[str, bytes | None] = {}

    def set(self, name: str, value: M | None) -> None:
        self.before.setdefault(name, self.table.values.get(name))
        self.table.set(name, value)

    def undo(self) -> None:
        for name, value in self.before.items():
            self.table.set(name, value)

    def keep_own_copies(self, stamp: Callable[[M], M]) -> None:
        """Replace each value by the one a reader of the file gets: not the caller's own, and not of a wrong type."""
        for name in self.before:
            value = self.table.values.get(name)
            if value is None:
                self._lines[name] = None
            else:
                own, self._lines[name] = self._read_back(name, stamp(value))
                self.table.set(name, own)

    def keep_lines(self) -> None:
        self.table.lines.update(self._lines)

    def _read_back(self, name: str, value: M) -> tuple[M, bytes]:
        if not name:
            raise InvalidInput(self.table.word, "its name must not be empty")
        try:
            body = msgspec.json.encode(value)
            return msgspec.json.decode(body, type=self.table.kind), line_around(name, body)
        except (msgspec.MsgspecError, ValueError, TypeError, OverflowError) as error:
            raise InvalidInput(f"{self.table.word} {name!r}", f"cannot be stored as it is: {error}") from error


class Transaction:
    """The newest state as one change reads and writes it in memory. It is committed as a whole or not at all."""

    def __init__(self, draft: CommitDraft, holders: Mapping[str, str]) -> None:
        self._draft = draft
        self._holders = holders
        self._users = _Changes(draft.users)
        self._sessions = _Changes(draft.sessions)
        self._holds = _Changes(draft.holds)
        self._over = False

    @property
    def users(self) -> Mapping[str, User]:
        """Every user as this transaction sees them. Make a list before adding users in a loop."""
        return self._users.table.view

    @property
    def sessions(self) -> Mapping[str, Session]:
        """Every session as this transaction sees them."""
        return self._sessions.table.view

    @property
    def holds(self) -> Mapping[str, Hold]:
        """Holds of accounts whose sessions were deleted, by Telegram's id of the account."""
        return self._holds.table.view

    def user(self, user_id: str) -> User:
        """Return the user. Raises UnknownUser."""
        try:
            return self._users.table.values[user_id]
        except KeyError:
            raise UnknownUser(f"there is no user {user_id!r}") from None

    def session(self, name: str) -> Session:
        """Return the session. Raises UnknownSession."""
        try:
            return self._sessions.table.values[name]
        except KeyError:
            raise UnknownSession(f"there is no session {name!r}") from None

    def put_user(self, user_id: str, user: User) -> None:
        """Add or replace a user. The store sets its `revision`."""
        self._must_be_open()
        self._users.set(user_id, user)

    def put_session(self, name: str, session: Session) -> None:
        """Add or replace a session. Its user counts as changed too."""
        self._must_be_open()
        self._sessions.set(name, session)

    def remove_session(self, name: str) -> None:
        """Remove a session. Raises UnknownSession."""
        self._must_be_open()
        self.session(name)
        self._sessions.set(name, None)

    def put_hold(self, account: str, hold: Hold | None) -> None:
        """Keep the hold of an account that has no session, or with None forget it."""
        self._must_be_open()
        self._holds.set(account, hold)

    def run(self, change: Callable[["Transaction"], object]) -> object:
        """Run the change; an error undoes it. Return its value. Only the store calls this.

        Raises:
            Conflict: the change would give a session to two users.
            InvalidInput: a value could not be read again.
            Exception: what the change raised.
        """
        try:
            answer = change(self)
            if hasattr(answer, "__await__"):
                raise TypeError("a change is plain code: it cannot wait for anything")  # noqa: TRY301
            self._users.keep_own_copies(lambda user: msgspec.structs.replace(user, revision=self._draft.revision))
            self._sessions.keep_own_copies(lambda session: session)
            self._holds.keep_own_copies(lambda hold: hold)
            self._check_holders()
        except BaseException:
            self._users.undo()
            self._sessions.undo()
            self._holds.undo()
            raise
        finally:
            self._over = True
        self._note_what_was_touched()
        return answer

    def _must_be_open(self) -> None:
        if self._over:
            raise RuntimeError("this transaction is over; changes belong inside the function given to transact")

    def _check_holders(self) -> None:
        claims: dict[str, str] = {}
        for user_id in self._users.before:
            user = self._users.table.values.get(user_id)
            if user is None:
                continue
            if len(set(user.assigned_sessions)) != len(user.assigned_sessions):
                raise Conflict(f"a session is twice among the assigned sessions of {user_id!r}")
            for name in user.assigned_sessions:
                other = claims.setdefault(name, user_id)
                if other == user_id:
                    other = self._holder_outside_this_change(name) or user_id
                if other != user_id:
                    raise Conflict(f"the session {name!r} already belongs to {other!r}; a session serves one user only")

    def _holder_outside_this_change(self, name: str) -> str | None:
        holder = self._holder(name)
        return None if holder in self._users.before else holder

    def _holder(self, name: str) -> str | None:
        if name in self._draft.new_holders:
            return self._draft.new_holders[name]
        return self._holders.get(name)

    def _note_what_was_touched(self) -> None:
        for user_id, before in self._users.before.items():
            for name in before.assigned_sessions if before is not None else ():
                if self._holder(name) == user_id:
                    self._draft.new_holders[name] = None
        for user_id in self._users.before:
            after = self._users.table.values.get(user_id)
            for name in after.assigned_sessions if after is not None else ():
                self._draft.new_holders[name] = user_id
        self._users.keep_lines()
        self._sessions.keep_lines()
        self._holds.keep_lines()
