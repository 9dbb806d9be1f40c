"""One tree of errors.

    PostfleetError
    ├── SettingsError            a setting is missing, weak or wrong
    ├── EndedUnexpectedly        a part of the daemon that never ends did
    ├── StateError               the truth on disk
    │   ├── StateDamaged         a file cannot be read as what it should be; it is left untouched
    │   │   └── SealBroken       one account's key or one API pair's hash cannot be opened; the state itself is whole
=======
    │   ├── StateMissing         a folder holds no state
    │   ├── StateTooNew          written by a newer Postfleet
    │   ├── StateLocked          another process holds the lock for too long
    │   ├── StateInUse           another daemon runs on the same folder
    │   └── StateNotWritten      the disk refused (full, read-only, I/O error); the old state stands
    ├── NotFound (LookupError)
    │   ├── UnknownUser
    │   ├── UnknownSession
    │   └── UnknownGroup
    ├── InvalidInput (ValueError)    names the field and the fix
    │   └── SeveralFaults        names several, each with its fix
    ├── NotReady                 a bot that cannot start as it is
    │   ├── NoGroups
    │   ├── NoContent
    │   ├── NoSpareSession
    │   ├── NoRoomOnApiPairs
    │   └── ScheduleOver
    ├── Conflict                 true only of another moment or another version
    │   ├── LoginRefused         an account cannot be logged in this way; `code` says why
    │   ├── SessionInUse         another process works with the session
    │   ├── AccountRefused       an account has another session here already
    │   ├── PairNotChecked       Telegram could not be asked about an API pair
    │   ├── QuotaUsedUp          a user's files would be too many or too much together
    │   └── FileInUse            a post names the file
    ├── AuthError                who is asking cannot be established
    ├── Forbidden                who is asking is known and may not
    ├── TooLarge, TooSlow        what is sent is too much, or does not arrive in time
    ├── UnsupportedMedia         a file of a kind that is not taken
    ├── Unreadable               what others made cannot be read within bounds (core.confined)
    │   ├── TakesTooLong
    │   ├── TakesTooMuch
    │   └── ReaderBroke
    ├── NotRead                  the machine gives no process to read it in; later it may be read
    └── TooMany                  too often, or too many at once; says when to come back

Every error carries a `code`: stable, for machines (the API's problem documents use it). Its text is for people
and says what to do. No error ever carries a key, a token, a code or a password.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager


class PostfleetError(Exception):
    """The root; `code` is stable and machine-readable."""

    code = "postfleet_error"

    @property
    def for_users(self) -> str:
        """What a user may read of it: no path of the machine stands in it."""
        return str(self)


class SettingsError(PostfleetError):
    """A setting is missing, weak or wrong; the text names it and the fix."""

    code = "settings"


class EndedUnexpectedly(PostfleetError):
    """A part of the daemon that never ends by itself did, and the daemon left in order."""

    code = "ended_unexpectedly"


class StateError(PostfleetError):
    """Something about the files under STATE_DIR. The text is for the operator and may name files.

    Neither an account nor Telegram nor a post is to blame, and it may pass: the disk has room again, another process
    lets go of the state, somebody mends the file. Whoever meets it in the middle of work breaks off in order, leaves
    what is written down as it is, and goes on later.
    """

    code = "state"

    @property
    def for_users(self) -> str:
        """That it is the operator's to mend; which file it is stands in the log."""
        return "Postfleet cannot use its own files just now; its operator finds the reason in the log"


class StateDamaged(StateError):
    """A file cannot be read as what it should be. It is never overwritten."""

    code = "state_damaged"


class SealBroken(StateDamaged):
    """What was sealed with the vault's key does not open: the key of one account, or the hash of one API pair.

    Only the accounts that need it are concerned. The text names them and no file's place.
    """

    @property
    def for_users(self) -> str:
        """All of it."""
        return str(self)


class StateMissing(StateError):
    """The folder holds no state, and what is asked begins none."""

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
    """The disk refused the write; the change was not made and the old state stands."""

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
    """A value cannot be used; `field` names it and the text says how to mend it."""

    code = "invalid_input"

    def __init__(self, field: str, fix: str) -> None:
        super().__init__(f"{field}: {fix}")
        self.field = field
        self.fix = fix

    @property
    def faults(self) -> "tuple[InvalidInput, ...]":
        """Every fault that was found; this one alone unless there are several."""
        return (self,)


class SeveralFaults(InvalidInput):
    """Several values cannot be used. As one fault it is the first of them."""

    def __init__(self, faults: "tuple[InvalidInput, ...]") -> None:
        super().__init__(faults[0].field, faults[0].fix)
        self.args = ("; ".join(str(fault) for fault in faults),)
        self._faults = faults

    @property
    def faults(self) -> "tuple[InvalidInput, ...]":
        """All of them, in the order they were found."""
        return self._faults


MOST_FAULTS = 20
"""So many are named at once."""


class Faults:
    """Collects what several checks find, so that whoever wrote something with several faults learns of all of them."""

    def __init__(self) -> None:
        self._found: list[InvalidInput] = []

    @property
    def enough(self) -> bool:
        """Whether no more need be looked for."""
        return len(self._found) >= MOST_FAULTS

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Around a check: what it raises as InvalidInput is noted."""
        try:
            yield
        except InvalidInput as error:
            self._found += error.faults

    def raise_any(self) -> None:
        """Say what was found.

        Raises:
            InvalidInput: the one fault; SeveralFaults: there are several.
        """
        if len(self._found) == 1:
            raise self._found[0]
        if self._found:
            raise SeveralFaults(tuple(self._found[:MOST_FAULTS]))


def check_all(checks: Iterable[Callable[[], object]]) -> None:
    """Make every check. Raises as `Faults.raise_any`."""
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


class Conflict(PostfleetError):
    """The change does not fit what is true now."""

    code = "conflict"


class QuotaUsedUp(Conflict):
    """A user's files together would be more than they may keep."""

    code = "media_quota_used_up"


class FileInUse(Conflict):
    """A post names the file; the text says which."""

    code = "media_in_use"


class LoginRefused(Conflict):
    """An account cannot be logged in, or not this way; each reason has a `code` of its own."""

    code = "login_refused"

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


class SessionInUse(Conflict):
    """Another process on the same STATE_DIR works with the session; its key must not be used twice."""

    code = "session_in_use"


class AccountRefused(Conflict):
    """A Telegram account has a session here already. The text tells only its owner which one that is."""

    code = "account_refused"

    def __init__(self, text: str, first: str) -> None:
        super().__init__(text)
        self.first = first
        """The session that has the account; never for the eyes of users."""


class PairNotChecked(Conflict):
    """Telegram could not be asked about an API pair. Whoever is sure of it may go on unchecked."""

    code = "pair_not_checked"


class AuthError(PostfleetError):
    """The caller cannot be identified."""

    code = "unauthorized"


class Forbidden(PostfleetError):
    """The caller is known and may not do this."""

    code = "forbidden"


class TooMany(PostfleetError):
    """Too often, or too many at once; `retry_after` says in how many seconds it can go on."""

    code = "too_many_requests"

    def __init__(self, text: str, retry_after: float) -> None:
        super().__init__(text)
        self.retry_after = retry_after


class TooLarge(PostfleetError):
    """What somebody sends is larger than is taken; the text says how much is."""

    code = "too_large"


class UnsupportedMedia(PostfleetError):
    """A file is none of the kinds that are taken; the text names those."""

    code = "unsupported_media_type"


class TooSlow(PostfleetError):
    """What somebody sends does not arrive in time."""

    code = "timed_out"


class Unreadable(PostfleetError):
    """What somebody else made cannot be read within bounds; the text says why, and begins in lower case."""

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
    """What reads such files breaks on it."""

    def __init__(self, text: str = "is damaged in a way that nothing can be read of it") -> None:
        super().__init__(text)


class NotRead(PostfleetError):
    """It was not read, through no fault of its own: the machine has no room just now."""

    code = "not_read"

    def __init__(self) -> None:
        super().__init__("Too much is under way here just now to look at the file; try again in a moment")
