"""The random_id of each message: the key by which Telegram drops a message that it has already.

A delivery's random_id is drawn once, when the delivery is planned, and read from the journal from then on. So a repeat
after a crash, and a repeat by a newer version that draws its ids in another way, both use the same id.
"""

import hashlib
import json
import secrets

from core.models import Delivery

_FIRST_BITS = 60
_PARTS_BITS = 64 - _FIRST_BITS
_WRAP, _HALF = 2**64, 2**63


def new_random_id() -> int:
    """Draw the random_id of a new delivery: a signed 64-bit number, never 0, which Telegram refuses.

    The ids above it stay free for the other messages of an album. Two deliveries share an id with a chance of 2^-60.
    """
    return _signed(secrets.randbits(_FIRST_BITS) << _PARTS_BITS | 1)


def random_id_of(delivery: Delivery, part: int = 0) -> int:
    """Return the random_id of the delivery's message number `part`, counted from 0: an album has several.

    For a delivery that is in a journal already the result must never change.
    """
    if part == 0:
        return delivery.random_id
    if delivery.random_id == _derived(delivery, 0):
        return _derived(delivery, part)
    return _signed(delivery.random_id + part) or -_HALF


def _derived(delivery: Delivery, part: int) -> int:
    """Return the id as it was derived before ids were drawn: deliveries from then keep theirs."""
    names = json.dumps([delivery.user, delivery.cycle, delivery.group, part]).encode()
    return int.from_bytes(hashlib.sha256(names).digest()[:8], "big", signed=True) or 1


def _signed(number: int) -> int:
    return (number + _HALF) % _WRAP - _HALF
