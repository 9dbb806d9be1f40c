"""Deletes old rows of the journal, a slice at a time, so that it keeps its size and nobody waits for long.

Freed pages are used again, so the file never needs a VACUUM. Counters lose nothing: old tallies are folded into one row
for each user. A user's newest events, the cycle to be resumed and the newest delivery stay at any age, so that no id is
given twice.
"""

import sqlite3
from dataclasses import dataclass

EVENTS_KEPT = 50
"""Events of a user that stay at any age: the dashboard shows them, and their ids must not go back."""
_SLICE = 1000
"""Rows that one piece of work looks at."""


@dataclass(frozen=True, slots=True)
class Slice:
    """How far a table was read, and how many rows were deleted."""

    upto: int
    removed: int
    done: bool


def trim_events(connection: sqlite3.Connection, before: int, after_id: int) -> Slice:
    """Delete events older than `before` (microseconds), beginning after that id."""
    last, oldest = connection.execute(
        "SELECT MAX(id), MIN(at) FROM (SELECT id, at FROM events WHERE id > ? ORDER BY id LIMIT ?)", (after_id, _SLICE)
    ).fetchone()
    if last is None or oldest >= before:
        return Slice(after_id, 0, done=True)
    removed = connection.execute(
        "DELETE FROM events WHERE id > ? AND id <= ? AND at < ? AND id < COALESCE("
        "(SELECT newer.id FROM events AS newer WHERE newer.user = events.user"
        " ORDER BY newer.id DESC LIMIT 1 OFFSET ?), 0)",
        (after_id, last, before, EVENTS_KEPT - 1),
    ).rowcount
    return Slice(last, removed, done=False)


def trim_deliveries(connection: sqlite3.Connection, before: int, after_id: int) -> Slice:
    """Delete deliveries planned before `before` (microseconds), except those of a cycle that may be resumed."""
    last, oldest = connection.execute(
        "SELECT MAX(id), MIN(planned_at) FROM (SELECT id, planned_at FROM deliveries WHERE id > ? ORDER BY id LIMIT ?)",
        (after_id, _SLICE),
    ).fetchone()
    if last is None or oldest >= before:
        return Slice(after_id, 0, done=True)
    removed = connection.execute(
        "DELETE FROM deliveries WHERE id > ? AND id <= ? AND planned_at < ? AND id < (SELECT MAX(id) FROM deliveries)"
        " AND cycle <> COALESCE("
        "(SELECT MAX(cycles.id) FROM cycles WHERE cycles.user = deliveries.user AND finished_at IS NULL), -1)",
        (after_id, last, before),
    ).rowcount
    return Slice(last, removed, done=False)


def trim_cycles(connection: sqlite3.Connection, before: int) -> int:
    """Delete cycles started before `before` (microseconds), except those to be resumed. Return how many."""
    return connection.execute(
        "DELETE FROM cycles WHERE started_at < ? AND NOT (finished_at IS NULL AND id = "
        "(SELECT MAX(newest.id) FROM cycles AS newest WHERE newest.user = cycles.user AND newest.finished_at IS NULL))",
        (before,),
    ).rowcount


def fold_tallies(
    connection: sqlite3.Connection, before: int, watermark: int, after_user: str
) -> tuple[str, int] | None:
    """Fold one user's old tallies, as far as stats.json holds them, into the newest of them.

    Return the user, to continue after, and how many rows were deleted; None: no user is left.
    """
    row = connection.execute(
        "SELECT user, COUNT(*), MAX(id), MAX(at), SUM(posts), SUM(success), SUM(failures), SUM(floods), SUM(messages)"
        " FROM tallies WHERE user = (SELECT MIN(user) FROM tallies WHERE user > ?) AND id <= ? AND COALESCE(at, 0) < ?",
        (after_user, watermark, before),
    ).fetchone()
    user, rows, newest, *sums = row
    if user is None:
        following = connection.execute("SELECT MIN(user) FROM tallies WHERE user > ?", (after_user,)).fetchone()[0]
        return None if following is None else (following, 0)
    if rows > 1:
        connection.execute(
            "DELETE FROM tallies WHERE user = ? AND id < ? AND COALESCE(at, 0) < ?", (user, newest, before)
        )
        connection.execute(
            "UPDATE tallies SET folded = 1, at = ?, posts = ?, success = ?, failures = ?, floods = ?, messages = ?"
            " WHERE id = ?",
            (*sums, newest),
        )
    return user, rows - 1
