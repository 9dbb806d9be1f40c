"""The journal's tables, how they are opened, and how rows become values."""

import contextlib
import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

import msgspec

from core.errors import StateDamaged, StateNotWritten, StateTooNew
from core.models import Cycle, Delivery, Event, PostContent
from data.disk.files import Disk, locked, touch_own
from data.disk.inventory import JOURNAL_FILE
from data.disk.sqlite_files import connect, translated
from data.disk.strict_json import NOT_UNDERSTOOD, damaged
from data.disk.traces import refuse_new_beginning
from data.journal.mark import refuse_step_back

S = TypeVar("S", bound=msgspec.Struct)

_LOCK_FILE = "journal.lock"
JOURNAL_VERSION = 3
JOURNAL_STEPS: dict[int, Callable[[sqlite3.Connection], None]] = {
    1: lambda connection: _make_allowances(connection),
    2: lambda connection: _make_pages(connection),
}
"""Version → the step that leads on from it, inside one transaction."""
_APPLICATION_ID = 0x50464A31  # "PFJ1" tells a file of another program from a damaged one of ours
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

# A tally is what one commit added to a user's counters. Old ones are folded into one row that keeps the newest id.
_SCHEMA = """
CREATE TABLE cycles (
    user TEXT NOT NULL, id INTEGER NOT NULL, post_type TEXT NOT NULL, post_content BLOB NOT NULL,
    started_at INTEGER NOT NULL, finished_at INTEGER,
    PRIMARY KEY (user, id)
) WITHOUT ROWID;
CREATE INDEX unfinished_cycles ON cycles (user, id) WHERE finished_at IS NULL;
CREATE TABLE deliveries (
    id INTEGER PRIMARY KEY, user TEXT NOT NULL, cycle INTEGER NOT NULL, "group" TEXT NOT NULL, session TEXT NOT NULL,
    random_id INTEGER NOT NULL, part INTEGER NOT NULL, state TEXT NOT NULL, error TEXT, reason TEXT,
    message_id INTEGER, planned_at INTEGER NOT NULL, finished_at INTEGER
);
CREATE INDEX deliveries_of_cycle ON deliveries (user, cycle);
CREATE INDEX deliveries_of_group ON deliveries (user, "group");
CREATE TABLE events (
    id INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, user TEXT NOT NULL, action TEXT NOT NULL,
    text TEXT NOT NULL, level TEXT NOT NULL, session TEXT, "group" TEXT
);
CREATE INDEX events_of_user ON events (user, id);
CREATE TABLE tallies (
    id INTEGER PRIMARY KEY AUTOINCREMENT, user TEXT NOT NULL, at INTEGER, posts INTEGER NOT NULL,
    success INTEGER NOT NULL, failures INTEGER NOT NULL, floods INTEGER NOT NULL, messages INTEGER NOT NULL,
    folded INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX tallies_of_user ON tallies (user, id);
CREATE INDEX folded_tallies ON tallies (id) WHERE folded;
CREATE TABLE peers (
    session TEXT NOT NULL, target TEXT NOT NULL, peer BLOB NOT NULL, PRIMARY KEY (session, target)
) WITHOUT ROWID;
"""

_ALLOWANCES = """
CREATE TABLE IF NOT EXISTS allowance_days (
    user TEXT NOT NULL, day TEXT NOT NULL, spent INTEGER NOT NULL, uncounted INTEGER NOT NULL,
    PRIMARY KEY (user, day)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS allowance_bookings (
    delivery INTEGER PRIMARY KEY, user TEXT NOT NULL, day TEXT NOT NULL, unknown INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS bookings_of_user ON allowance_bookings (user, day);
CREATE TABLE IF NOT EXISTS allowance_grants (
    id INTEGER PRIMARY KEY, user TEXT NOT NULL, month TEXT NOT NULL, posts INTEGER NOT NULL, at INTEGER NOT NULL,
    by TEXT NOT NULL, note TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS grants_of_user ON allowance_grants (user, month);
"""

# SQLite ends every index with the row's id: a page of a user's deliveries is read in order, and nothing else.
_PAGES = "CREATE INDEX deliveries_of_user ON deliveries (user);"


def open_journal(path: Path) -> sqlite3.Connection:
    """Connect to the journal. Make or migrate its tables.

    Raises:
        StateDamaged: it is no journal, or no whole one, or it is missing or held more before. It is left as it is.
        StateTooNew: a newer Postfleet wrote it.
        StateNotWritten: the disk refused it.
        StateLocked: another process held it all the time.
    """
    with locked(path.with_name(_LOCK_FILE)):  # two processes may start at once
        if not path.exists():
            refuse_new_beginning(path)
            make_journal(path)
        return _opened(path)


def _opened(path: Path) -> sqlite3.Connection:
    _check_header(path)
    refuse_step_back(path)
    connection = connect(path)
    try:
        _check_and_migrate(connection, path)
    except sqlite3.Error as error:
        connection.close()
        raise translated(error, path) from error
    except BaseException:
        connection.close()
        raise
    return connection


def make_journal(path: Path) -> None:
    """Make an empty journal. Raises StateNotWritten."""
    # It is made beside and renamed, so a journal that is empty or without tables is always a damaged one.
    beside = path.with_name(path.name + ".new")
    try:
        beside.unlink(missing_ok=True)
        touch_own(beside)
        with contextlib.closing(sqlite3.connect(beside, isolation_level=None)) as connection:
            connection.executescript(
                f"BEGIN;{_SCHEMA}{_ALLOWANCES}{_PAGES}PRAGMA application_id={_APPLICATION_ID};"
                f"PRAGMA user_version={JOURNAL_VERSION};COMMIT;"
            )
        beside.replace(path)
        Disk().sync_folder(path.parent)
    except sqlite3.Error as error:
        raise translated(error, path) from error
    except OSError as error:
        raise StateNotWritten(f"{path} could not be made ({error.strerror})") from error


def _make_allowances(connection: sqlite3.Connection) -> None:
    for statement in filter(str.strip, _ALLOWANCES.split(";")):
        connection.execute(statement)


def _make_pages(connection: sqlite3.Connection) -> None:
    connection.execute(_PAGES)


def _check_and_migrate(connection: sqlite3.Connection, path: Path) -> None:
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if connection.execute("PRAGMA application_id").fetchone()[0] != _APPLICATION_ID or version < 1:
        raise damaged(path, "is not a journal of Postfleet")
    if version > JOURNAL_VERSION:
        raise StateTooNew(
            f"{path} is of version {version}, this Postfleet knows versions up to {JOURNAL_VERSION}: "
            "run the newer Postfleet that wrote it. The file is left as it is"
        )
    found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if found != "ok":
        raise damaged(path, f"is damaged ({_first_said(found)})")
    _migrate(connection, path, version)


def _first_said(found: str) -> str:
    """Return the first line that says something; empty lines and headings (`*** in database main ***`) do not."""
    lines = [line.strip() for line in found.splitlines()]
    return next((line for line in lines if line and not line.startswith("***")), "the check does not say what is wrong")


def _check_header(path: Path) -> None:
    # Checked before SQLite opens it: SQLite takes an empty file for a new database and resets the log of a short one.
    try:
        with path.open("rb") as file:
            header = file.read(16)
    except OSError as error:
        raise StateDamaged(f"{path} cannot be read ({error.strerror})") from error
    if header != b"SQLite format 3\0":
        raise damaged(path, "is empty or cut short" if len(header) < 16 else "is not an SQLite file")


def _migrate(connection: sqlite3.Connection, path: Path, version: int) -> None:
    if version == JOURNAL_VERSION:
        return
    copy = path.with_name(f"{path.name}.version-{version}")
    touch_own(copy)
    with sqlite3.connect(copy) as target:
        connection.backup(target)
    target.close()
    copy.chmod(0o600)
    connection.execute("BEGIN IMMEDIATE")
    for step in range(version, JOURNAL_VERSION):
        JOURNAL_STEPS[step](connection)
    connection.execute(f"PRAGMA user_version={JOURNAL_VERSION}")
    connection.execute("COMMIT")


# Rows and values.

DELIVERY_COLUMNS = (
    'id, user, cycle, "group", session, random_id, part, state, error, reason, message_id, planned_at, finished_at'
)
EVENT_COLUMNS = 'id, at, user, action, text, level, session, "group"'
CYCLE_COLUMNS = "id, user, post_type, post_content, started_at, finished_at"
_content = msgspec.json.Decoder(str | PostContent)

Row = tuple[object, ...]


def stamp(moment: datetime | None) -> int | None:
    """Return microseconds since 1970."""
    return None if moment is None else (moment - EPOCH) // _MICROSECOND


def moment(stamp: int | None) -> datetime | None:
    """Return the moment of a stamp."""
    return None if stamp is None else EPOCH + timedelta(microseconds=stamp)


def delivery_row(delivery: Delivery) -> Row:
    """Return the values of DELIVERY_COLUMNS without the id."""
    return (
        delivery.user,
        delivery.cycle,
        delivery.group,
        delivery.session,
        delivery.random_id,
        delivery.part,
        delivery.state.value,
        delivery.error,
        delivery.reason,
        delivery.message_id,
        stamp(delivery.planned_at),
        stamp(delivery.finished_at),
    )


def delivery_of(row: Row) -> Delivery:
    """Return the delivery of a row of DELIVERY_COLUMNS."""
    return _value(Delivery, row, lambda: {"planned_at": _moment(row[11]), "finished_at": _moment(row[12])})


def event_row(event: Event) -> Row:
    """Return the values of EVENT_COLUMNS without the id."""
    return (stamp(event.at), event.user, event.action, event.text, event.level.value, event.session, event.group)


def event_of(row: Row) -> Event:
    """Return the event of a row of EVENT_COLUMNS."""
    return _value(Event, row, lambda: {"at": _moment(row[1])})


def cycle_row(cycle: Cycle) -> Row:
    """Return the values of CYCLE_COLUMNS."""
    content = msgspec.json.encode(cycle.post_content)
    return (cycle.id, cycle.user, cycle.post_type.value, content, stamp(cycle.started_at), stamp(cycle.finished_at))


def cycle_of(row: Row) -> Cycle:
    """Return the cycle of a row of CYCLE_COLUMNS."""
    return _value(
        Cycle,
        row,
        lambda: {
            "post_content": PostContent.of(_content.decode(row[3])),  # type: ignore[arg-type]  # the column holds bytes
            "started_at": _moment(row[4]),
            "finished_at": _moment(row[5]),
        },
    )


def _value(kind: type[S], row: Row, converted: Callable[[], dict[str, object]]) -> S:
    """Return the value of a row whose columns are the fields of `kind`. `converted` gives the fields of other types.

    Raises:
        StateDamaged: no Postfleet wrote such a row.
    """
    try:
        return msgspec.convert(dict(zip(kind.__struct_fields__, row, strict=True)) | converted(), kind)
    except (*NOT_UNDERSTOOD, OverflowError, TypeError) as error:
        raise damaged(Path(JOURNAL_FILE), f"holds a row that cannot be understood ({error})") from error


def _moment(value: object) -> datetime | None:
    return moment(value) if isinstance(value, int) else None
