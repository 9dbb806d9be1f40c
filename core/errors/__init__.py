"""One tree of errors.

    PostfleetError
    ├── SettingsError            a setting is missing, weak or wrong
    ├── EndedUnexpectedly        a part of the daemon that never ends did
    ├── StateError               the truth on disk
    │   ├── StateDamaged         a file cannot be read as what it should be; it is left untouched
    │   │   └── SealBroken       one account's key or one API pair's hash cannot be opened; the state itself is whole
    │   ├── StateMissing         a folder holds no state
    │   ├── StateTooNew          written by a newer Postfleet
    │   ├── StateLocked          another process holds the lock for too long
    │   ├── StateInUse           another daemon runs on the same folder
    │   └── StateNotWritten      the disk refused (full, read-only, I/O error); the state is as it was
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
    ├── Conflict                 conflicts with the present state
    │   ├── LoginRefused         an account cannot be logged in this way; `code` says why
    │   ├── SessionInUse         another process uses the session
    │   ├── AccountRefused       an account has another session here already
    │   ├── PairNotChecked       Telegram could not be asked about an API pair
    │   ├── QuotaUsedUp          a user's files would be too many or too much together
    │   └── FileInUse            a post names the file
    ├── AuthError                the caller cannot be identified
    ├── Forbidden                the caller is known and may not do this
    ├── TooLarge, TooSlow        a request is too large, or does not arrive in time
    ├── UnsupportedMedia         a file of a kind that is not accepted
    ├── Unreadable               a foreign file cannot be read within bounds (core.confined)
    │   ├── TakesTooLong
    │   ├── TakesTooMuch
    │   └── ReaderBroke
    ├── NotRead                  the machine has no room to read a foreign file now
    └── TooMany                  too many requests in a while, or at once; says when to come back

Every name is imported from here; the modules inside divide them by concept. Every error carries a stable `code` for
machines; the API's problem documents use it. Its text is for people and says what to do. No error carries a key, a
token, a login code or a password.
"""

from core.errors.base import EndedUnexpectedly, PostfleetError, SettingsError
from core.errors.conflicts import (
    AccountRefused,
    Conflict,
    FileInUse,
    LoginCode,
    LoginRefused,
    PairNotChecked,
    QuotaUsedUp,
    SessionInUse,
)
from core.errors.input import (
    MOST_FAULTS,
    Faults,
    InvalidInput,
    NotFound,
    SeveralFaults,
    UnknownGroup,
    UnknownSession,
    UnknownUser,
    check_all,
)
from core.errors.not_ready import NoContent, NoGroups, NoRoomOnApiPairs, NoSpareSession, NotReady, ScheduleOver
from core.errors.reading import NotRead, ReaderBroke, TakesTooLong, TakesTooMuch, Unreadable
from core.errors.requests import AuthError, Forbidden, TooLarge, TooMany, TooSlow, UnsupportedMedia
from core.errors.state import (
    SealBroken,
    StateDamaged,
    StateError,
    StateInUse,
    StateLocked,
    StateMissing,
    StateNotWritten,
    StateTooNew,
)

__all__ = [
    "MOST_FAULTS",
    "AccountRefused",
    "AuthError",
    "Conflict",
    "EndedUnexpectedly",
    "Faults",
    "FileInUse",
    "Forbidden",
    "InvalidInput",
    "LoginCode",
    "LoginRefused",
    "NoContent",
    "NoGroups",
    "NoRoomOnApiPairs",
    "NoSpareSession",
    "NotFound",
    "NotRead",
    "NotReady",
    "PairNotChecked",
    "PostfleetError",
    "QuotaUsedUp",
    "ReaderBroke",
    "ScheduleOver",
    "SealBroken",
    "SessionInUse",
    "SettingsError",
    "SeveralFaults",
    "StateDamaged",
    "StateError",
    "StateInUse",
    "StateLocked",
    "StateMissing",
    "StateNotWritten",
    "StateTooNew",
    "TakesTooLong",
    "TakesTooMuch",
    "TooLarge",
    "TooMany",
    "TooSlow",
    "UnknownGroup",
    "UnknownSession",
    "UnknownUser",
    "Unreadable",
    "UnsupportedMedia",
    "check_all",
]
