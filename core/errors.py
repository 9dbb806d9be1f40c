"""The errors of the product: one tree under PostfleetError.

Every error carries a stable `code` for machines; the API's problem documents use it. Its text is for people and says
what to do. No error carries a key, a token, a login code or a password.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Literal


class PostfleetError(Exception):
    """The root; `code` is stable and machine-readable."""

    code = "postfleet_error"

    @property
    def for_users(self) -> str:
        """The text a user may read. It names no path of the machine."""
        return str(self)


class SettingsError(PostfleetError):
    """A setting is missing, weak or wrong; the text names it and the fix."""

    code = "settings"


class EndedUnexpectedly(PostfleetError):
    """A part of the daemon that runs for ever ended, and the daemon stopped in order."""

    code = "ended_unexpectedly"


class StateError(PostfleetError):
    """Something about the files under STATE_DIR. The text is for the operator and may name files.

    No account, post or response of Telegram causes it, and it may pass: the disk gets room, another process releases
    the state, somebody mends the file. Work that meets it stops in order, changes nothing on disk, and continues later.
    """

    code = "state"

    @property
    def for_users(self) -> str:
        """Say that the operator has to mend it; the log names the file."""
        return "Postfleet cannot use its own files just now; its operator finds the reason in the log"


class StateDamaged(StateError):
    """A file cannot be read as what it should be. It is never overwritten."""

    code = "state_damaged"


class SealBroken(StateDamaged):
    """What was sealed with the vault's key does not open: the key of one account, or the hash of one API pair.

    It concerns only the accounts that need it. The text names them, and no path.
    """

    @property
    def for_users(self) -> str:
        """The whole text."""
        return str(self)


class StateMissing(StateError):
    """The folder holds no state, and the command asked for does not begin one."""

    code = "state_missing"


class StateTooNew(StateError):
    """A file was written by a newer Postfleet. It is left untouched."""

    code = "state_too_new"


class StateLocked(StateError):
    """Another process held the lock of the state for longer than the time-out."""

    code = "state_locked"


class StateInUse(StateError):
    """Another daemon runs on the same STATE_DIR."""

    code = "state_in_use"


class StateNotWritten(StateError):
    """The disk refused the write. The change was not made, and the old state remains."""

    code = "state_not_written"


class NotFound(PostfleetError, LookupError):
    """Something named does not exist."""

    code = "not_found"


class UnknownUser(NotFound):
    """No user of that id."""

    code = "unknown_user"


class UnknownSession(NotFound):
    """No session of that name."""

    code = "unknown_session"


class UnknownGroup(NotFound):
    """The group is not on the user's list."""

    code = "unknown_group"


class InvalidInput(PostfleetError, ValueError):
    """A value cannot be used; `field` names it and the text says how to correct it."""

    code = "invalid_input"

    def __init__(self, field: str, fix: str) -> None:
        super().__init__(f"{field}: {fix}")
        self.field = field
        self.fix = fix

    @property
    def faults(self) -> "tuple[InvalidInput, ...]":
        """Every fault that was found; just this one unless there are several."""
        return (self,)


class SeveralFaults(InvalidInput):
    """Several values cannot be used. `field` and `fix` are those of the first."""

    def __init__(self, faults: "tuple[InvalidInput, ...]") -> None:
        super().__init__(faults[0].field, faults[0].fix)
        self.args = ("; ".join(str(fault) for fault in faults),)
        self._faults = faults

    @property
    def faults(self) -> "tuple[InvalidInput, ...]":
        """All of them, in the order they were found."""
        return self._faults


MOST_FAULTS = 20
"""More than these are not named at once."""


class Faults:
    """Collects what several checks find, so that people learn of all their mistakes at once."""

    def __init__(self) -> None:
        self._found: list[InvalidInput] = []

    @property
    def enough(self) -> bool:
        """Whether to stop looking for more."""
        return len(self._found) >= MOST_FAULTS

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Note the InvalidInput that the check inside raises."""
        try:
            yield
        except InvalidInput as error:
            self._found += error.faults

    def raise_any(self) -> None:
        """Raise what was found.

        Raises:
            InvalidInput: there is one fault.
            SeveralFaults: there are several.
        """
        if len(self._found) == 1:
            raise self._found[0]
        if self._found:
            raise SeveralFaults(tuple(self._found[:MOST_FAULTS]))


def check_all(checks: Iterable[Callable[[], object]]) -> None:
    """Make every check.

    Raises:
        InvalidInput, SeveralFaults: as `Faults.raise_any`.
    """
    faults = Faults()
    for check in checks:
        if faults.enough:
            break
        with faults.noted():
            check()
    faults.raise_any()


class NotReady(PostfleetError):
    """A bot cannot start as it is; the text says what is missing."""

    code = "not_ready"


class NoGroups(NotReady):
    """The user has no group to post to."""

    code = "no_groups"


class NoContent(NotReady):
    """The user has nothing to post."""

    code = "no_content"


class NoSpareSession(NotReady):
    """The pool has no account left to give."""

    code = "no_spare_session"


class NoRoomOnApiPairs(NotReady):
    """Every API pair already carries as many sessions as it may."""

    code = "no_room_on_api_pairs"


class ScheduleOver(NotReady):
    """The user's schedule names no moment that is still to come."""

    code = "schedule_over"


LoginCode = Literal[
    "account_banned",
    "account_deleted",
    "api_pair_refused",
    "code_expired",
    "login_busy",
    "login_lost",
    "login_not_possible",
    "login_over",
    "login_refused",
    "login_step",
    "login_used",
    "telegram_unreachable",
]
"""Why an account cannot be logged in."""


class Conflict(PostfleetError):
    """The change conflicts with the present state."""

    code = "conflict"


class QuotaUsedUp(Conflict):
    """A user's files would be too many, or too much together."""

    code = "media_quota_used_up"


class FileInUse(Conflict):
    """A post names the file; the text says which."""

    code = "media_in_use"


class LoginRefused(Conflict):
    """An account cannot be logged in, or not in this way; each reason has a `code` of its own."""

    code: str = "login_refused"

    def __init__(self, code: LoginCode, text: str) -> None:
        super().__init__(text)
        self.code = code


class SessionInUse(Conflict):
    """Another process on the same STATE_DIR uses the session; its key must not be used twice."""

    code = "session_in_use"


class AccountRefused(Conflict):
    """A Telegram account has a session here already. The text tells only its owner which."""

    code = "account_refused"

    def __init__(self, text: str, first: str) -> None:
        super().__init__(text)
        self.first = first
        """The session that has the account; never shown to users."""


class PairNotChecked(Conflict):
    """Telegram could not be asked about an API pair. Whoever is sure of the pair may use it unchecked."""

    code = "pair_not_checked"


class AuthError(PostfleetError):
    """The caller cannot be identified."""

    code = "unauthorized"


class Forbidden(PostfleetError):
    """The caller is known and may not do this."""

    code = "forbidden"


class TooMany(PostfleetError):
    """Too many requests in a while, or at once; `retry_after` is the seconds until the next is accepted."""

    code = "too_many_requests"

    def __init__(self, text: str, retry_after: float) -> None:
        super().__init__(text)
        self.retry_after = retry_after


class TooLarge(PostfleetError):
    """A request is larger than allowed; the text says how much is allowed."""

    code = "too_large"


class UnsupportedMedia(PostfleetError):
    """A file is of a kind that is not accepted; the text names those that are."""

    code = "unsupported_media_type"


class TooSlow(PostfleetError):
    """A request does not arrive in time."""

    code = "timed_out"


class Unreadable(PostfleetError):
    """A foreign file cannot be read within bounds; the text says why, and begins in lower case."""

    code = "unreadable"


class TakesTooLong(Unreadable):
    """Reading it takes more time than such a file needs."""

    def __init__(self, text: str = "takes far longer to read than a file of its kind") -> None:
        super().__init__(text)


class TakesTooMuch(Unreadable):
    """Reading it takes more memory than such a file needs."""

    def __init__(self, text: str = "takes far more memory to read than a file of its kind") -> None:
        super().__init__(text)


class ReaderBroke(Unreadable):
    """The library that reads such files breaks on it."""

    def __init__(self, text: str = "is damaged in a way that nothing can be read of it") -> None:
        super().__init__(text)


class NotRead(PostfleetError):
    """The machine has no room to read the file now; the file itself may be good."""

    code = "not_read"

    def __init__(self) -> None:
        super().__init__("Too much is under way here just now to look at the file; try again in a moment")
