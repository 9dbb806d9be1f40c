"""The record behind `GET /report`: calls, refusals, flood waits and repeated random_ids."""

from collections import defaultdict, deque
from typing import Any

MAX_ENTRIES = 100_000


class Ledger:
    """Counts by method and account, and the latest refusals and repeats."""

    def __init__(self) -> None:
        self.rpc: defaultdict[str, defaultdict[str, int]] = defaultdict(lambda: defaultdict(int))
        self.floods: defaultdict[str, int] = defaultdict(int)
        self.sends: defaultdict[str, int] = defaultdict(int)
        self.refused: deque[dict[str, Any]] = deque(maxlen=MAX_ENTRIES)
        self.dedup_hits: deque[dict[str, Any]] = deque(maxlen=MAX_ENTRIES)

    def refuse(self, date: float, account: str, method: str, chat: str, error: str) -> None:
        """Record a call that was answered with an error."""
        self.refused.append({"date": date, "account": account, "method": method, "chat": chat, "error": error})
        if error.startswith(("FLOOD_", "SLOWMODE_WAIT_", "PEER_FLOOD")):
            self.floods[account] += 1

    def repeat(self, date: float, account: str, chat: str, random_id: int, message_id: int) -> None:
        """Record a random_id that was sent again."""
        self.dedup_hits.append(
            {"date": date, "account": account, "chat": chat, "random_id": random_id, "message_id": message_id}
        )
