"""Whether a folder holds a state at all, so that a command in the wrong folder begins none there."""

from pathlib import Path

from core.errors import StateDamaged, StateMissing
from data.disk.copies import COPIES
from data.disk.files import HALF_RESTORED
from data.disk.inventory import AUTH_FILE, JOURNAL_FILE, KEY_FILE, MADE, STATS_FILE, USERS_FILE

_SIGNS = (USERS_FILE, JOURNAL_FILE, STATS_FILE, AUTH_FILE, KEY_FILE, COPIES, MADE, HALF_RESTORED)
"""Any of them shows that there was a state. Opening it checks that it is whole (`data.disk.traces`)."""


def holds_state(folder: Path) -> bool:
    """Return whether a state was begun in the folder.

    Raises:
        StateDamaged: the folder cannot be read.
    """
    try:
        return any((folder / name).exists() for name in _SIGNS)
    except OSError as error:
        raise StateDamaged(
            f"the folder {folder} cannot be looked into ({error.strerror}); run this as the user it belongs to"
        ) from error


def require_state(folder: Path) -> None:
    """Refuse a folder without a state.

    Raises:
        StateMissing: it holds no state, or does not exist.
        StateDamaged: it cannot be read.
    """
    if not holds_state(folder):
        raise StateMissing(
            f"there is no state in {folder.absolute()}; say with --state-dir or POSTFLEET_STATE_DIR where it is "
            "(.env is read from the folder you are in), or begin one there with: python run.py serve"
        )
