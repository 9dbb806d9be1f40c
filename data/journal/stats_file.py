"""stats.json: each user's counters, and how much of the journal they hold (`watermark`, the newest tally counted).

The journal's tallies are the truth; people and other programs read this file. The daemon updates it within seconds,
at its end and at its start, so a crash in between loses nothing.
"""

import os
import sqlite3
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import msgspec

from core.errors import StateDamaged
from core.models import Stats
from data.disk.files import Disk, locked, open_to_read, read_whole, write_whole
from data.disk.inventory import STATS_FILE
from data.disk.migrations import migrated
from data.disk.strict_json import damaged, parse_object
from data.disk.traces import LARGEST_TALLY
from data.journal.schema import moment
from data.journal.writes import added

STATS_VERSION = 1
_LOCK_FILE = "stats.lock"
_SUMS = (
    "SELECT user, SUM(posts), SUM(success), SUM(failures), SUM(floods), SUM(messages), MAX(at) FROM tallies"
    " WHERE id > ? AND id <= ? GROUP BY user"
)


@dataclass(slots=True)
class Counted:
    """Counters of every user, and the newest tally that they hold."""

    watermark: int = 0
    users: dict[str, Stats] = field(default_factory=dict)


def read_stats(state_dir: Path) -> Counted:
    """Return the content of stats.json; nothing if there is no such file.

    Raises:
        StateDamaged: it cannot be read.
        StateTooNew: a newer Postfleet wrote it.
    """
    path = state_dir / STATS_FILE
    try:
        descriptor = open_to_read(path)
    except FileNotFoundError:
        return Counted()
    try:
        raw = read_whole(descriptor, path)
    finally:
        os.close(descriptor)
    try:
        parsed, _ = migrated(parse_object(raw, path), path, STATS_VERSION, {})
        watermark = msgspec.convert(parsed.get("watermark", 0), Annotated[int, msgspec.Meta(ge=0, le=LARGEST_TALLY)])
        return Counted(watermark, msgspec.convert(parsed.get("users", {}), dict[str, Stats]))
    except msgspec.ValidationError as error:
        raise damaged(path, f"cannot be understood: {error}") from error
    except StateDamaged as error:
        raise StateDamaged(f"{error} (it is counted again from the journal)") from error


def counted_from(connection: sqlite3.Connection, known: Counted) -> Counted:
    """Return the counters as the journal has them now. It reads only tallies newer than `known` if that is enough."""
    newest = connection.execute("SELECT COALESCE(MAX(id), 0) FROM tallies").fetchone()[0]
    folded = connection.execute("SELECT 1 FROM tallies WHERE folded AND id > ? LIMIT 1", (known.watermark,)).fetchone()
    if folded is not None:
        known = Counted()  # what it lacks was folded into what it has
    users = dict(known.users)
    for user, posts, success, failures, floods, messages, at in connection.execute(_SUMS, (known.watermark, newest)):
        more = Stats(
            total_posts=posts,
            total_success=success,
            total_failures=failures,
            total_flood_waits=floods,
            total_messages_sent=messages,
            last_activity=moment(at),
        )
        users[user] = added(users.get(user, Stats()), more)
    return Counted(newest, users)


def write_stats(state_dir: Path, counted: Counted, disk: Disk) -> None:
    """Replace stats.json.

    Raises:
        OSError: the disk refused it; the old file remains.
        StateLocked: another process writes it.
    """
    with locked(state_dir / _LOCK_FILE):
        os.close(write_whole(disk, state_dir / STATS_FILE, [encoded(counted)]))


def encoded(counted: Counted) -> bytes:
    """Return the bytes of stats.json: a line for each user."""
    lines = (msgspec.json.encode(user) + b":" + msgspec.json.encode(stats) for user, stats in counted.users.items())
    head = b'{"version":%d,"watermark":%d,"users":{\n' % (STATS_VERSION, counted.watermark)
    return head + b",\n".join(lines) + b"\n}}\n"
