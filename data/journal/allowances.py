"""Counts how many posts a user may still make, inside the journal's own transactions.

A planned delivery holds a booking, made in the transaction that checked for room and wrote the plan. The end of the
delivery settles it: a delivered post is spent, a failed or skipped one is given back. A post of unknown outcome is
spent too, and reported as uncounted until its outcome is known. Bookings and deliveries agree whenever the process is
killed.
"""

import sqlite3
from collections.abc import Sequence
from datetime import date

import msgspec

from core.models import AllowanceDay, AllowanceUse, Budget, Delivery, DeliveryState, Grant
from data.journal.schema import EPOCH, moment, stamp

NO_ALLOWANCE = "ALLOWANCE"
"""The code of a delivery that was skipped because the allowance was used up."""
_MOVE = (
    "INSERT INTO allowance_days VALUES (?, ?, ?, ?) ON CONFLICT (user, day) DO UPDATE SET"
    " spent = spent + excluded.spent, uncounted = uncounted + excluded.uncounted"
)
_GRANTED = "SELECT COALESCE(SUM(posts), 0) FROM allowance_grants WHERE user = ? AND month = ?"
_SPENT = (
    "SELECT COALESCE(SUM(spent), 0), COALESCE(SUM(uncounted), 0) FROM allowance_days"
    " WHERE user = ? AND day BETWEEN ? AND ?"
)
_RESERVED = "SELECT COUNT(*) FROM allowance_bookings WHERE user = ? AND day BETWEEN ? AND ? AND NOT unknown"


def use_of(connection: sqlite3.Connection, user: str, budget: Budget) -> AllowanceUse:
    """Return what the user used on the budget's day and in its month."""
    day, month = budget.day.isoformat(), f"{budget.day:%Y-%m}"
    spent_day, _ = connection.execute(_SPENT, (user, day, day)).fetchone()
    spent, uncounted = connection.execute(_SPENT, (user, f"{month}-01", f"{month}-31")).fetchone()
    reserved_day = connection.execute(_RESERVED, (user, day, day)).fetchone()[0]
    reserved = connection.execute(_RESERVED, (user, f"{month}-01", f"{month}-31")).fetchone()[0]
    granted = connection.execute(_GRANTED, (user, month)).fetchone()[0]
    return AllowanceUse(
        day=budget.day,
        per_day=budget.per_day,
        per_month=budget.per_month,
        granted=granted,
        spent_today=spent_day,
        spent_this_month=spent,
        reserved_today=reserved_day,
        reserved_this_month=reserved,
        uncounted=uncounted,
    )


def keep_within(
    connection: sqlite3.Connection, user: str, budget: Budget, deliveries: Sequence[Delivery]
) -> list[Delivery]:
    """Return the deliveries. Those that find no room are skipped, with the reason."""
    use = use_of(connection, user, budget)
    kept: list[Delivery] = []
    room = use.left
    for delivery in deliveries:
        if delivery.state is DeliveryState.PLANNED and room <= 0:
            kept.append(
                msgspec.structs.replace(
                    delivery,
                    state=DeliveryState.SKIPPED,
                    error=NO_ALLOWANCE,
                    reason=use.used_up_text,
                    finished_at=delivery.planned_at,
                )
            )
            continue
        room -= delivery.state is DeliveryState.PLANNED
        kept.append(delivery)
    return kept


def book(connection: sqlite3.Connection, budget: Budget, deliveries: Sequence[Delivery]) -> None:
    """Reserve a post for each planned delivery."""
    day = budget.day.isoformat()
    connection.executemany(
        "INSERT INTO allowance_bookings (delivery, user, day) VALUES (?, ?, ?)",
        [(delivery.id, delivery.user, day) for delivery in deliveries if delivery.state is DeliveryState.PLANNED],
    )


def unbook_earlier(connection: sqlite3.Connection, budget: Budget, deliveries: Sequence[Delivery]) -> list[Delivery]:
    """Move bookings of earlier days to the budget's: a post counts on the day it is made.

    Posts that may have been sent are booked on it at once. Return the others, without a booking, to be booked anew.
    """
    day, loose = budget.day.isoformat(), []
    for delivery in deliveries:
        where = (delivery.id, day)
        if delivery.state is DeliveryState.SENDING:
            connection.execute("UPDATE allowance_bookings SET day = ?2 WHERE delivery = ?1 AND day <> ?2", where)
        elif delivery.state is DeliveryState.PLANNED and (
            connection.execute("DELETE FROM allowance_bookings WHERE delivery = ? AND day <> ?", where).rowcount
        ):
            loose.append(delivery)
    return loose


def settle(connection: sqlite3.Connection, delivery: Delivery) -> None:
    """Settle the booking of a delivery that ended, or whose outcome was found out later."""
    row = connection.execute(
        "SELECT day, unknown FROM allowance_bookings WHERE delivery = ?", (delivery.id,)
    ).fetchone()
    day, unknown = row if row is not None else ((delivery.finished_at or delivery.planned_at).date().isoformat(), 0)
    match delivery.state:
        case DeliveryState.DELIVERED if row is None:
            _move(connection, delivery.user, day, 1, 1)  # nothing was reserved for it; it counts all the same
        case DeliveryState.DELIVERED:
            _move(connection, delivery.user, day, 0 if unknown else 1, -1 if unknown else 0)
        case DeliveryState.UNKNOWN if not unknown:
            _move(connection, delivery.user, day, 1, 1)
            connection.execute(
                "INSERT OR REPLACE INTO allowance_bookings VALUES (?, ?, ?, 1)", (delivery.id, delivery.user, day)
            )
            return
        case DeliveryState.FAILED | DeliveryState.SKIPPED if unknown:
            _move(connection, delivery.user, day, -1, -1)
        case DeliveryState.UNKNOWN:
            return
    connection.execute("DELETE FROM allowance_bookings WHERE delivery = ?", (delivery.id,))


def give_back_lost(connection: sqlite3.Connection) -> int:
    """Give back bookings of deliveries that are never sent: forgotten ones, and those of abandoned cycles.

    Return how many there were.
    """
    return connection.execute(
        "DELETE FROM allowance_bookings WHERE NOT unknown AND delivery NOT IN ("
        "SELECT deliveries.id FROM deliveries JOIN cycles ON cycles.user = deliveries.user AND cycles.id = cycle"
        " WHERE deliveries.state IN ('planned', 'sending') AND cycles.finished_at IS NULL AND cycles.id ="
        " (SELECT MAX(newest.id) FROM cycles AS newest WHERE newest.user = cycles.user AND newest.finished_at IS NULL))"
    ).rowcount


def grant(connection: sqlite3.Connection, given: Grant) -> None:
    """Let a user make more posts in one month."""
    connection.execute(
        "INSERT INTO allowance_grants (user, month, posts, at, by, note) VALUES (?, ?, ?, ?, ?, ?)",
        (given.user, given.month, given.posts, stamp(given.at), given.by, given.note),
    )


def grants_of(connection: sqlite3.Connection, user: str, limit: int = 100) -> list[Grant]:
    """Return the user's grants, newest first."""
    rows = connection.execute(
        "SELECT user, month, posts, at, by, note FROM allowance_grants WHERE user = ? ORDER BY id DESC LIMIT ?",
        (user, limit),
    )
    return [
        Grant(user=name, month=month, posts=posts, at=moment(at) or EPOCH, by=by, note=note)
        for name, month, posts, at, by, note in rows
    ]


def history_of(connection: sqlite3.Connection, user: str, limit: int = 100) -> list[AllowanceDay]:
    """Return what the user spent on each day, newest first."""
    rows = connection.execute(
        "SELECT day, spent, uncounted FROM allowance_days WHERE user = ? ORDER BY day DESC LIMIT ?", (user, limit)
    )
    return [
        AllowanceDay(day=date.fromisoformat(day), spent=spent, uncounted=uncounted) for day, spent, uncounted in rows
    ]


def _move(connection: sqlite3.Connection, user: str, day: str, spent: int, uncounted: int) -> None:
    connection.execute(_MOVE, (user, day, spent, uncounted))
