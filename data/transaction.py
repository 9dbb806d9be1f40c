"""What a change sees and does, in memory, and how it is undone."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Generic, TypeVar

import msgspec

from core.errors import Conflict, InvalidInput, UnknownSession, UnknownUser
from core.models import Model, Session, User

M = TypeVar("M", bound=Model)


@dataclass(frozen=True)
class Snapshot:
    """What users.json said after one commit. Never changes; read it without a lock."""

    revision: int
    users: Mapping[str, User]
    sessions: Mapping[str, Session]


@dataclass
class Draft:
    """The state of the commit being made: copies of the last one, changed by one transaction after another."""

    users: dict[str, User]
    sessions: dict[str, Session]
    holders: dict[str, str]
    """session → the user it is assigned to"""
    touched_users: set[str] = field(default_factory=set)
    touched_sessions: set[str] = field(default_factory=set)


class _Changes(Generic[M]):
    """One table of a draft, with what a transaction replaced in it."""

    def __init__(self, values: dict[str, M], kind: type[M], word: str) -> None:
        self.values = values
        self.view: Mapping[str, M] = MappingProxyType(values)
        self.before: dict[str, M | None] = {}
        self._kind = kind
        self._word = word

    def set(self, name: str, value: M | None) -> None:
        self.before.setdefault(name, self.values.get(name))
        if value is None:
            del self.values[name]
        else:
            self.values[name] = value

    def undo(self) -> None:
        for name, value in self.before.items():
            if value is None:
                self.values.pop(name, None)
            else:
                self.values[name] = value

    def keep_own_copies(self) -> None:
        """Replace what was put by what a reader of the file would get: no alias of the caller's, no lie of a type."""
        for name in self.before:
            value = self.values.get(name)
            if value is not None:
                self.values[name] = self._read_back(name, value)

    def _read_back(self, name: str, value: M) -> M:
        whose = f"{self._word} {name!r}"
        if not name:
            raise InvalidInput(self._word, "its name must not be empty")
        try:
            msgspec.json.encode(name)
            return msgspec.json.decode(msgspec.json.encode(value), type=self._kind)
        except (msgspec.MsgspecError, ValueError, TypeError, OverflowError) as error:
            raise InvalidInput(whose, f"cannot be stored as it is: {error}") from error


class Transaction:
    """What a change sees: the newest state, read and written in memory, committed as one or not at all."""

    def __init__(self, draft: Draft) -> None:
        self._draft = draft
        self._users = _Changes(draft.users, User, "user")
        self._sessions = _Changes(draft.sessions, Session, "session")
        self._over = False

    @property
    def users(self) -> Mapping[str, User]:
        """Every user as this transaction sees them. Make a list of it before adding to it in a loop."""
        return self._users.view

    @property
    def sessions(self) -> Mapping[str, Session]:
        """Every session as this transaction sees them."""
        return self._sessions.view

    def user(self, user_id: str) -> User:
        """The user. Raises UnknownUser."""
        try:
            return self._users.values[user_id]
        except KeyError:
            raise UnknownUser(f"there is no user {user_id!r}") from None

    def session(self, name: str) -> Session:
        """The session. Raises UnknownSession."""
        try:
            return self._sessions.values[name]
        except KeyError:
            raise UnknownSession(f"there is no session {name!r}") from None

    def put_user(self, user_id: str, user: User) -> None:
        """Add or replace a user. Its `revision` is the store's to set."""
        self._must_be_open()
        self._users.set(user_id, user)

    def put_session(self, name: str, session: Session) -> None:
        """Add or replace a session. The user it is assigned to counts as touched."""
        self._must_be_open()
        self._sessions.set(name, session)

    def remove_user(self, user_id: str) -> None:
        """Forget a user. Raises UnknownUser."""
        self._must_be_open()
        self.user(user_id)
        self._users.set(user_id, None)

    def remove_session(self, name: str) -> None:
        """Forget a session. Raises UnknownSession."""
        self._must_be_open()
        self.session(name)
        self._sessions.set(name, None)

    def run(self, change: Callable[["Transaction"], object]) -> object:
        """Let the change do its work; whatever it raises undoes it. For the store alone.

        Raises:
            Conflict: it would leave a session with two users.
            InvalidInput: a value that could not be read again.
        """
        try:
            answer = change(self)
            if hasattr(answer, "__await__"):
                raise TypeError("a change is plain code: it cannot wait for anything")  # noqa: TRY301
            self._users.keep_own_copies()
            self._sessions.keep_own_copies()
            self._check_holders()
        except BaseException:
            self._users.undo()
            self._sessions.undo()
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
            user = self._users.values.get(user_id)
            if user is None:
                continue
            if len(set(user.assigned_sessions)) != len(user.assigned_sessions):
                raise Conflict(f"a session stands twice among the assigned sessions of {user_id!r}")
            for name in user.assigned_sessions:
                other = claims.setdefault(name, user_id)
                if other == user_id:
                    other = self._holder_outside_this_change(name) or user_id
                if other != user_id:
                    raise Conflict(f"the session {name!r} already belongs to {other!r}; a session serves one user only")

    def _holder_outside_this_change(self, name: str) -> str | None:
        holder = self._draft.holders.get(name)
        return None if holder in self._users.before else holder

    def _note_what_was_touched(self) -> None:
        draft = self._draft
        for user_id, before in self._users.before.items():
            after = draft.users.get(user_id)
            for name in before.assigned_sessions if before is not None else ():
                if draft.holders.get(name) == user_id:
                    del draft.holders[name]
            for name in after.assigned_sessions if after is not None else ():
                draft.holders[name] = user_id
        draft.touched_users.update(self._users.before)
        draft.touched_sessions.update(self._sessions.before)
