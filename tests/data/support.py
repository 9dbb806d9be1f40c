"""Changes and values that tests of the store share."""

from collections.abc import Callable
from datetime import UTC, datetime

import msgspec

from core.models import Cycle, Delivery, Event, PostType, User
from data.data_manager import Snapshot, Transaction

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


def add(user_id: str, amount: int = 1) -> Callable[[Transaction], int]:
    """Count one up in the user, making the user where there is none; answers the new count."""

    def change(tx: Transaction) -> int:
        user = tx.users.get(user_id) or User(delay_between_cycles=0)
        count = int(user.delay_between_cycles) + amount
        tx.put_user(user_id, msgspec.structs.replace(user, delay_between_cycles=count))
        return count

    return change


def count(snapshot: Snapshot, user_id: str) -> int:
    """What `add` counted."""
    user = snapshot.users.get(user_id)
    return 0 if user is None else int(user.delay_between_cycles)


def cycle(user: str = "alice", cycle_id: int = 1) -> Cycle:
    return Cycle(id=cycle_id, user=user, post_type=PostType.TEXT, post_content="Hello", started_at=NOW)


def delivery(group: str, user: str = "alice", cycle_id: int = 1) -> Delivery:
    return Delivery(user=user, cycle=cycle_id, group=group, session="a1", random_id=hash(group), planned_at=NOW)


def event(text: str, user: str = "alice") -> Event:
    return Event(at=NOW, user=user, action="post_delivered", text=text)
