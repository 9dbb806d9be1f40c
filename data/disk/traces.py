"""Whether a file of the state that is missing was there before.

Each file is made once, in a folder that never had one. Code that finds its file missing asks here before it makes one:
a state that silently begins anew loses users, posts twice, or seals accounts with a key that opens none of the others.
There are two kinds of proof, and either is enough:

- `made/NAME`, a small file that is left where NAME was made or found;
- the other files: rows of the journal, counters, bots that ran, sealed accounts, copies.

The other files are read as plain JSON and SQL. The rooms that own them ask here, so this module imports none of them.
"""

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from core.errors import StateDamaged, StateError
from data.disk.copies import newest_copy
from data.disk.files import make_folder, refuse_half_restored, touch_own
from data.disk.inventory import AUTH_FILE, JOURNAL_FILE, KEY_FILE, MADE, PAIRS_FILE, STATS_FILE, USERS_FILE
from data.disk.sealed import sealed_files, sealed_hashes
from data.disk.sqlite_files import read_only
from data.disk.strict_json import parse_object

LARGEST_TALLY = 10**18
"""No journal comes that far, and SQLite can still compare it."""
_ROWS = (
    "SELECT EXISTS(SELECT 1 FROM cycles) OR EXISTS(SELECT 1 FROM deliveries) OR EXISTS(SELECT 1 FROM events)"
    " OR EXISTS(SELECT 1 FROM tallies)"
)


@dataclass(frozen=True)
class Missing:
    """A file that was there before and is not there now."""

    name: str
    problem: str


def note_made(path: Path) -> None:
    """Leave the trace of a file that is there. If the disk refuses it, only this proof is missing."""
    trace = _trace_of(path)
    with contextlib.suppress(OSError, StateError):
        if not trace.exists():
            make_folder(trace.parent)
            touch_own(trace)


def is_empty(path: Path) -> bool:
    """Return whether the file is missing or has no bytes."""
    try:
        return path.stat().st_size == 0
    except FileNotFoundError:
        return True
    except OSError:
        return False


def refuse_new_beginning(path: Path) -> None:
    """Refuse to make a file of the state that was there before. Call it before making one.

    Raises:
        StateDamaged: there was one before; the text names the proof and the way out.
    """
    proofs = list(_proofs(path))
    if proofs:
        gone = "holds nothing" if path.exists() else "is missing"
        raise StateDamaged(
            f"{path} {gone}, though there was one: {', '.join(proofs)}. Bring it back, or see what can be done: "
            "python run.py restore"
        )


def missing_files(state_dir: Path, *, key_in_settings: bool) -> list[Missing]:
    """Return every file that was there before and is missing now. Nothing is opened for writing."""
    names = [USERS_FILE, JOURNAL_FILE, AUTH_FILE, PAIRS_FILE, *([] if key_in_settings else [KEY_FILE])]
    found = []
    for path in (state_dir / name for name in names):
        if is_empty(path):
            try:
                refuse_new_beginning(path)
            except StateDamaged as error:
                found.append(Missing(path.name, str(error)))
    return found


def refuse_missing(state_dir: Path, *, key_in_settings: bool) -> None:
    """Refuse a folder that lacks files. Call it before opening any of them.

    Raises:
        StateDamaged: a restore was cut off, or files that were there before are missing; all of them are named.
    """
    refuse_half_restored(state_dir)
    missing = missing_files(state_dir, key_in_settings=key_in_settings)
    if missing:
        raise StateDamaged("; ".join(one.problem for one in missing))


def counted_in_stats(state_dir: Path) -> int:
    """Return the newest tally that stats.json counts; 0 when there is no such file, or it cannot be read."""
    path = state_dir / STATS_FILE
    with contextlib.suppress(OSError, StateDamaged):
        watermark = parse_object(path.read_bytes(), path).get("watermark", 0)
        return watermark if isinstance(watermark, int) and 0 < watermark < LARGEST_TALLY else 0
    return 0


def _trace_of(path: Path) -> Path:
    return path.parent / MADE / path.name


def _proofs(path: Path) -> Iterator[str]:
    state_dir = path.parent
    for proof_in in _PROOFS_IN_OTHERS.get(path.name, ()):
        if proof := proof_in(state_dir):
            yield proof
    if _trace_of(path).exists():
        yield f"{MADE}/{path.name} was left when it was made"


def _copy_of(name: str) -> Callable[[Path], str | None]:
    return lambda state_dir: "there is a copy of it" if newest_copy(state_dir / name) is not None else None


def _journal_has_rows(state_dir: Path) -> str | None:
    path = state_dir / JOURNAL_FILE
    with contextlib.suppress(sqlite3.Error), read_only(path) as connection:
        if connection.execute(_ROWS).fetchone()[0]:
            return f"{JOURNAL_FILE} holds posts and events"
    return None


def _stats_count(state_dir: Path) -> str | None:
    return "stats.json counts what was posted" if counted_in_stats(state_dir) else None


def _bots_ran(state_dir: Path) -> str | None:
    path = state_dir / USERS_FILE
    with contextlib.suppress(OSError, StateError, AttributeError):
        users = parse_object(path.read_bytes(), path).get("users", {}).values()
        if any(user.get("cycles") or user.get("bot_status", "stopped") != "stopped" for user in users):
            return f"{USERS_FILE} tells of bots that ran"
    return None


def _accounts_are_sealed(state_dir: Path) -> str | None:
    count = len(sealed_files(state_dir))
    return f"{count} sealed session file{'s are' if count > 1 else ' is'} there" if count else None


def _hashes_are_sealed(state_dir: Path) -> str | None:
    return f"{PAIRS_FILE} holds sealed hashes" if sealed_hashes(state_dir) else None


_PROOFS_IN_OTHERS: dict[str, tuple[Callable[[Path], str | None], ...]] = {
    USERS_FILE: (_copy_of(USERS_FILE), _journal_has_rows, _stats_count, _accounts_are_sealed),
    JOURNAL_FILE: (_copy_of(JOURNAL_FILE), _stats_count, _bots_ran),
    KEY_FILE: (_accounts_are_sealed, _hashes_are_sealed),
}
