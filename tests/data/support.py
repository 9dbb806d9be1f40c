"""Changes and values that tests of the store share."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from core.clock import SystemClock
from core.models import Cycle, Delivery, DeliveryState, Event, PostContent, PostType, Session, User
from data.journal.journal import Journal
from data.users.data_manager import DataManager, Snapshot, Transaction
from sessions.foreign.credentials import Credentials
from sessions.keys.vault import Vault

KEY = "ab" * 32
SEALED_FILE = Vault(bytes.fromhex(KEY)).seal("a1", Credentials(2, "127.0.0.1", 443, bytes(256)))
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
    return Cycle(
        id=cycle_id, user=user, post_type=PostType.TEXT, post_content=PostContent(text="Hello"), started_at=NOW
    )


def delivery(group: str, user: str = "alice", cycle_id: int = 1) -> Delivery:
    return Delivery(user=user, cycle=cycle_id, group=group, session="a1", random_id=hash(group), planned_at=NOW)


def event(text: str, user: str = "alice") -> Event:
    return Event(at=NOW, user=user, action="post_delivered", text=text)


def moved(delivery: Delivery, state: DeliveryState, **changes: object) -> Delivery:
    return msgspec.structs.replace(delivery, state=state, finished_at=NOW, **changes)


async def lived_in(state_dir: Path) -> None:
    """A state with a user, an account, a post that was made and one that was not."""
    store, journal = DataManager.open(state_dir, SystemClock()), Journal.open(state_dir)
    await store.transact(add("alice"))
    await store.transact(lambda tx: tx.put_session("a1", Session()))
    planned = await journal.plan_cycle(cycle(), [delivery("@one"), delivery("@two")])
    await journal.update(moved(planned[0], DeliveryState.DELIVERED), event=event("Delivered"), messages=1)
    await store.close()
    await journal.close()
    folder = state_dir / "sessions" / "available"
    folder.mkdir(parents=True)
    (folder / "a1.session").write_bytes(SEALED_FILE)
    (state_dir / "vault.key").write_text(KEY)
