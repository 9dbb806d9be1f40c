"""The work inside one commit of the journal, as plain SQL, and its effects to report afterwards."""

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import msgspec

from core.errors import Conflict, InvalidInput, NotFound
from core.models import UNFINISHED, Budget, Cycle, Delivery, DeliveryState, Event, Stats
from data.journal import allowances
from data.journal import reads as journal_reads
from data.journal.schema import CYCLE_COLUMNS, DELIVERY_COLUMNS, cycle_row, delivery_row, event_row, stamp

_OPEN = tuple(state.value for state in UNFINISHED)
_OPEN_MARKS = ", ".join("?" * len(_OPEN))
_INSERT_DELIVERY = f"INSERT INTO deliveries ({DELIVERY_COLUMNS}) VALUES (NULL, {', '.join('?' * 12)})"  # noqa: S608
_INSERT_CYCLE = f"INSERT INTO cycles ({CYCLE_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)"  # noqa: S608  our own column names
_INSERT_EVENT = 'INSERT INTO events (at, user, action, text, level, session, "group") VALUES (?, ?, ?, ?, ?, ?, ?)'
_MOVE = (
    "UPDATE deliveries SET session = ?, state = ?, error = ?, reason = ?, message_id = ?, finished_at = ? WHERE id = ?"
)
_MOVE_OPEN = f"{_MOVE} AND state IN ({_OPEN_MARKS})"


@dataclass(slots=True)
class CommitEffects:
    """What is counted and logged once the commit of some work is durable."""

    events: list[Event] = field(default_factory=list)
    tallies: dict[str, Stats] = field(default_factory=dict)
    outcomes: Counter[str] = field(default_factory=Counter)
    """Deliveries by the state they ended in."""

    def count(self, user: str, more: Stats) -> None:
        """Add to a user's counters."""
        self.tallies[user] = added(self.tallies.get(user, Stats()), more)

    def take(self, other: "CommitEffects") -> None:
        """Add the effects of another piece of work."""
        self.events += other.events
        self.outcomes += other.outcomes
        for user, more in other.tallies.items():
            self.count(user, more)


@dataclass(slots=True)
class JournalMetrics:
    """Counts over all commits since the journal was opened."""

    commits: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    """Deliveries by the state they ended in. One of unknown outcome counts again once the outcome is known."""
    floods: int = 0

    def take(self, effects: CommitEffects) -> None:
        """Count one more durable commit."""
        self.commits += 1
        self.outcomes.update(effects.outcomes)
        self.floods += sum(more.total_flood_waits for more in effects.tallies.values())


Work = Callable[[sqlite3.Connection, CommitEffects], object]
Tell = Callable[[Sequence[Delivery]], Iterable[Event]]
"""Makes the lines of a user's log about deliveries, as they were written."""


def tell_nothing(_: Sequence[Delivery]) -> Iterable[Event]:
    """Return no line."""
    return ()


def added(stats: Stats, more: Stats) -> Stats:
    """Return the sum of both."""
    moments = [at for at in (stats.last_activity, more.last_activity) if at is not None]
    return Stats(
        total_posts=stats.total_posts + more.total_posts,
        total_success=stats.total_success + more.total_success,
        total_failures=stats.total_failures + more.total_failures,
        total_flood_waits=stats.total_flood_waits + more.total_flood_waits,
        total_messages_sent=stats.total_messages_sent + more.total_messages_sent,
        last_activity=max(moments, default=None),
    )


def insert_plan(
    connection: sqlite3.Connection,
    cycle: Cycle,
    deliveries: Sequence[Delivery],
    budget: Budget | None,
    effects: CommitEffects,
    tell: Tell = tell_nothing,
) -> list[Delivery]:
    """Write a cycle, its deliveries as far as the budget has room, and the lines about them.

    Return the deliveries with their ids.

    Raises:
        Conflict: the user already has a cycle of that id.
        InvalidInput: a delivery is of another user or cycle.
    """
    for delivery in deliveries:
        if (delivery.user, delivery.cycle) != (cycle.user, cycle.id):
            raise InvalidInput("deliveries", "each must be of the same user and cycle as the cycle it is planned in")
    try:
        connection.execute(_INSERT_CYCLE, cycle_row(cycle))
    except sqlite3.IntegrityError as error:
        raise Conflict(f"user {cycle.user!r} already has a cycle {cycle.id}") from error
    if budget is not None:
        deliveries = allowances.keep_within(connection, cycle.user, budget, deliveries)
    written = [
        msgspec.structs.replace(
            delivery, id=connection.execute(_INSERT_DELIVERY, delivery_row(delivery)).lastrowid or 0
        )
        for delivery in deliveries
    ]
    if budget is not None:
        allowances.book(connection, budget, written)
    insert_events(connection, tell(written), effects)
    effects.outcomes.update(delivery.state.value for delivery in written if delivery.state not in UNFINISHED)
    return written


def resume_cycle(
    connection: sqlite3.Connection, cycle: Cycle, budget: Budget, at: datetime, tell: Tell, effects: CommitEffects
) -> list[Delivery]:
    """Resume a cycle: its unsent deliveries take room on the budget's day, and are skipped where there is none.

    Return all its deliveries.
    """
    before = journal_reads.deliveries_of(connection, cycle.user, cycle.id)
    moved = allowances.unbook_earlier(connection, budget, before)
    moved = allowances.keep_within(connection, cycle.user, budget, moved)
    allowances.book(connection, budget, moved)
    for delivery in moved:
        if delivery.state not in UNFINISHED:
            move_delivery(connection, msgspec.structs.replace(delivery, finished_at=at), effects)
    after = journal_reads.deliveries_of(connection, cycle.user, cycle.id)
    insert_events(connection, tell(after), effects)
    return after


def insert_events(connection: sqlite3.Connection, events: Iterable[Event], effects: CommitEffects) -> None:
    """Write lines of users' logs."""
    for event in events:
        insert_event(connection, event, effects)


def insert_event(connection: sqlite3.Connection, event: Event, effects: CommitEffects) -> None:
    """Write a line of a user's log."""
    written = connection.execute(_INSERT_EVENT, event_row(event))
    effects.events.append(msgspec.structs.replace(event, id=written.lastrowid or 0))


def move_delivery(connection: sqlite3.Connection, delivery: Delivery, effects: CommitEffects) -> None:
    """Write the delivery's new state, and count it when it ends.

    Raises:
        NotFound: there is no delivery of that id.
        Conflict: it has ended and cannot become open again.
    """
    values = (
        delivery.session,
        delivery.state.value,
        delivery.error,
        delivery.reason,
        delivery.message_id,
        stamp(delivery.finished_at),
        delivery.id,
    )
    if connection.execute(_MOVE_OPEN, values + _OPEN).rowcount:
        if delivery.state not in UNFINISHED:
            effects.count(delivery.user, _tally(None, delivery))
            effects.outcomes[delivery.state.value] += 1
            allowances.settle(connection, delivery)
        return
    found = connection.execute("SELECT state FROM deliveries WHERE id = ?", (delivery.id,)).fetchone()
    if found is None:
        raise NotFound(f"the journal has no delivery {delivery.id}")
    if delivery.state in UNFINISHED:
        raise Conflict(f"delivery {delivery.id} is {found[0]} and cannot be {delivery.state.value} again")
    connection.execute(_MOVE, values)
    effects.count(delivery.user, _tally(DeliveryState(found[0]), delivery))
    if found[0] != delivery.state.value:
        effects.outcomes[delivery.state.value] += 1
        allowances.settle(connection, delivery)


def _tally(before: DeliveryState | None, delivery: Delivery) -> Stats:
    """Return what this step adds. A skipped delivery is no post. An unknown outcome counts once it is known."""
    after, counted = delivery.state, before not in (None, DeliveryState.SKIPPED)
    settles = before in (None, DeliveryState.SKIPPED, DeliveryState.UNKNOWN)
    return Stats(
        total_posts=int(after is not DeliveryState.SKIPPED and not counted),
        total_success=int(after is DeliveryState.DELIVERED and settles),
        total_failures=int(after is DeliveryState.FAILED and settles),
        last_activity=delivery.finished_at,
    )


def write_tallies(connection: sqlite3.Connection, effects: CommitEffects) -> None:
    """Write what the commit adds to the counters: one row for each user."""
    connection.executemany(
        "INSERT INTO tallies (user, at, posts, success, failures, floods, messages) VALUES (?, ?, ?, ?, ?, ?, ?)",
        [
            (
                user,
                stamp(more.last_activity),
                more.total_posts,
                more.total_success,
                more.total_failures,
                more.total_flood_waits,
                more.total_messages_sent,
            )
            for user, more in effects.tallies.items()
            if msgspec.structs.replace(more, last_activity=None) != Stats()
        ],
    )


def finish_cycle(
    connection: sqlite3.Connection,
    user: str,
    cycle: int,
    finished_at: datetime,
    events: Iterable[Event],
    effects: CommitEffects,
) -> None:
    """Finish a cycle and write the lines about it. Raises NotFound."""
    if not connection.execute(
        "UPDATE cycles SET finished_at = ? WHERE user = ? AND id = ?", (stamp(finished_at), user, cycle)
    ).rowcount:
        raise NotFound(f"the journal has no cycle {cycle} of user {user!r}")
    insert_events(connection, events, effects)
