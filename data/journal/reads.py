"""The journal's queries, as plain SQL on a reading connection."""

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from core.models import Cycle, Delivery, Event
from data.journal.schema import (
    CYCLE_COLUMNS,
    DELIVERY_COLUMNS,
    EVENT_COLUMNS,
    cycle_of,
    delivery_of,
    event_of,
    moment,
    stamp,
)

_MOST = 2**62


def last_end(connection: sqlite3.Connection, user: str, since: datetime, until: datetime) -> datetime | None:
    """Return when the user's last cycle ended, of those that ended in [since, until]; None: none did.

    It looks at the cycles planned since then, and at the newest one, which may have been interrupted and resumed, or
    planned by a clock that was ahead.
    """
    row = connection.execute(
        "SELECT MAX(finished_at) FROM cycles WHERE user = ?1 AND finished_at BETWEEN ?2 AND ?3"
        " AND id >= MIN(?2 / 1000, (SELECT MAX(id) FROM cycles WHERE user = ?1))",
        (user, stamp(since), stamp(until)),
    ).fetchone()
    return moment(row[0])


def unfinished_cycle(connection: sqlite3.Connection, user: str) -> tuple[Cycle, list[Delivery]] | None:
    """Return the user's newest unfinished cycle with all its deliveries in the order of the plan."""
    # Asked before every cycle. By itself SQLite takes the primary key and reads every finished cycle.
    row = connection.execute(
        f"SELECT {CYCLE_COLUMNS} FROM cycles INDEXED BY unfinished_cycles"  # noqa: S608
        " WHERE user = ? AND finished_at IS NULL ORDER BY id DESC LIMIT 1",
        (user,),
    ).fetchone()
    if row is None:
        return None
    cycle = cycle_of(row)
    return cycle, deliveries_of(connection, user, cycle.id)


def deliveries_of(connection: sqlite3.Connection, user: str, cycle: int) -> list[Delivery]:
    """Return the deliveries of one cycle in the order of the plan."""
    rows = connection.execute(
        f"SELECT {DELIVERY_COLUMNS} FROM deliveries WHERE user = ? AND cycle = ? ORDER BY id",  # noqa: S608
        (user, cycle),
    )
    return [delivery_of(row) for row in rows]


def deliveries(
    connection: sqlite3.Connection,
    user: str,
    group: str | None,
    since: datetime | None,
    until: datetime | None,
    before: int | None,
    limit: int,
) -> list[Delivery]:
    """Return the user's deliveries, newest first."""
    wanted, values = ["user = ?", "id < ?"], [user, before or _MOST]
    if group is not None:
        wanted.append('"group" = ?')
        values.append(group)
    if since is not None:
        wanted.append("planned_at >= ?")
        values.append(stamp(since) or 0)
    if until is not None:
        wanted.append("planned_at < ?")
        values.append(stamp(until) or 0)
    rows = connection.execute(
        f"SELECT {DELIVERY_COLUMNS} FROM deliveries WHERE {' AND '.join(wanted)} ORDER BY id DESC LIMIT ?",  # noqa: S608
        (*values, limit),
    )
    return [delivery_of(row) for row in rows]


def events(connection: sqlite3.Connection, user: str, before: int | None, limit: int) -> list[Event]:
    """Return the user's events, newest first."""
    rows = connection.execute(
        f"SELECT {EVENT_COLUMNS} FROM events WHERE user = ? AND id < ? ORDER BY id DESC LIMIT ?",  # noqa: S608
        (user, before or _MOST, limit),
    )
    return [event_of(row) for row in rows]


@dataclass(frozen=True)
class SessionPosts:
    """The posts of one session since some moment."""

    count: int
    last: datetime | None


def posts_by_session(connection: sqlite3.Connection, users: Iterable[str], since: datetime) -> dict[str, SessionPosts]:
    """Return the posts delivered since then by session, of cycles planned at most a day before."""
    earliest = int((since - timedelta(days=1)).timestamp() * 1000)  # a cycle's id is the moment it was planned
    found: dict[str, SessionPosts] = {}
    for user in users:
        rows = connection.execute(
            "SELECT session, count(*), max(finished_at) FROM deliveries"
            " WHERE user = ? AND cycle >= ? AND state = 'delivered' AND finished_at >= ? GROUP BY session",
            (user, earliest, stamp(since)),
        )
        for session, count, last in rows:
            found[session] = SessionPosts(found.get(session, SessionPosts(0, None)).count + count, moment(last))
    return found


@dataclass(frozen=True)
class Counts:
    """The outcomes of the deliveries of one day or one group."""

    key: str
    """The day in UTC (2026-03-02), or the group."""
    delivered: int
    failed: int
    skipped: int
    unknown: int
    removed: int
    """Delivered ones that somebody, such as a moderation bot, removed within seconds."""

    @property
    def health(self) -> int | None:
        """Return how many of 100 posts that were tried are still there; None: none was tried."""
        tried = self.delivered + self.failed + self.unknown
        return round(100 * (self.delivered - self.removed) / tried) if tried else None


def counts(connection: sqlite3.Connection, user: str, since: datetime, *, by_group: bool) -> list[Counts]:
    """Return the outcomes of deliveries planned since then, by day (oldest first) or by group (busiest first)."""
    key, order = ('"group"', "count(*) DESC, 1") if by_group else ("date(planned_at / 1000000, 'unixepoch')", "1")
    rows = connection.execute(
        f"SELECT {key}, sum(state = 'delivered'), sum(state = 'failed'), sum(state = 'skipped'), "  # noqa: S608
        "sum(state = 'unknown'), sum(state = 'delivered' AND error IS 'POST_REMOVED') "
        "FROM deliveries WHERE user = ? AND planned_at >= ? AND finished_at IS NOT NULL "
        f"GROUP BY 1 ORDER BY {order}",
        (user, stamp(since) or 0),
    )
    return [Counts(*row) for row in rows]


def peer(connection: sqlite3.Connection, session: str, target: str) -> bytes | None:
    """Return how the account addresses the group, if that was remembered."""
    row = connection.execute("SELECT peer FROM peers WHERE session = ? AND target = ?", (session, target)).fetchone()
    return None if row is None else bytes(row[0])


def peers(connection: sqlite3.Connection, session: str) -> dict[str, bytes]:
    """Return how the account addresses each group that was remembered."""
    rows = connection.execute("SELECT target, peer FROM peers WHERE session = ?", (session,))
    return {target: bytes(peer) for target, peer in rows}
