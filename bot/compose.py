"""The key Telegram knows a message by."""

import hashlib
import json


def random_id(user: str, cycle: int, group: str, part: int = 0) -> int:
    """Telegram's deduplication key of one message: the same four things give the same id, for ever.

    A signed 64-bit number, never 0 (Telegram refuses it). `part` numbers the messages of one delivery: an album has
    several. Two different deliveries meet with a chance of about 2^-64.
    """
    # JSON keeps the fields apart: ("ab", "c") and ("a", "bc") are not the same text.
    names = json.dumps([user, cycle, group, part]).encode()
    return int.from_bytes(hashlib.sha256(names).digest()[:8], "big", signed=True) or 1
