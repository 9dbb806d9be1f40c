"""Errors of the truth on disk."""

from core.errors.base import PostfleetError


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
