"""The keys Telegram knows messages by, its random_ids: drawn once, written into the journal, and read from there.

What is sent under a key follows from what was written down alone. A version of Postfleet that draws keys in another
way goes on with the deliveries of the version before it without doubling one of them.
"""

import hashlib
import json
import secrets

from core.models import Delivery

_FIRST_BITS = 60
_PARTS_BITS = 64 - _FIRST_BITS
_WRAP, _HALF = 2**64, 2**63


def new_random_id() -> int:
    """The key of a delivery that is being planned: a signed 64-bit number, never 0, which Telegram refuses.

    Room is left above it for the keys of an album's other messages. Two deliveries meet with a chance of about 2^-60.
    """
    return _signed(secrets.randbits(_FIRST_BITS) << _PARTS_BITS | 1)


def random_id_of(delivery: Delivery, part: int = 0) -> int:
    """The key of the delivery's message number `part`, counted from 0: an album has several.

    This must never change for a delivery that is in a journal already.
    """
    if part == 0:
        return delivery.random_id
    if delivery.random_id == _derived(delivery, 0):
        return _derived(delivery, part)
    return _signed(delivery.random_id + part) or -_HALF


def _derived(delivery: Delivery, part: int) -> int:
    """As keys were made before they were drawn: a delivery that is in flight from then goes on under the same ones."""
    names = json.dumps([delivery.user, delivery.cycle, delivery.group, part]).encode()
    return int.from_bytes(hashlib.sha256(names).digest()[:8], "big", signed=True) or 1


def _signed(number: int) -> int:
    return (number + _HALF) % _WRAP - _HALF
