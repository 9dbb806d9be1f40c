"""The journal held against the chats: what stands there twice, and what should stand there and does not."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from core.models import Delivery, DeliveryState

_MAY_STAND = frozenset({DeliveryState.DELIVERED, DeliveryState.UNKNOWN})
_EXPLAINED = frozenset({DeliveryState.FAILED, DeliveryState.SKIPPED})


@dataclass
class Audit:
    """What was found; each finding is a sentence."""

    messages: int = 0
    deliveries: int = 0
    states: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    """Why deliveries were not delivered."""
    duplicates: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


def audit(
    deliveries: Sequence[Delivery], chats: Mapping[str, Iterable[Mapping[str, Any]]], groups: Mapping[str, int]
) -> Audit:
    """Compare. `chats` is chat → messages as the sandbox tells them, `groups` is user → groups in each cycle.

    Deliveries and messages are matched by random_id. A message too many: one that no delivery explains, that repeats
    a random_id, that is the second of one cycle in one chat, or whose delivery says it was not posted. Missing: a
    delivery that neither stands in its chat nor says why not, and one that a cycle should have planned.
    """
    found = Audit(deliveries=len(deliveries), states=Counter(delivery.state.value for delivery in deliveries))
    found.reasons.update(
        f"{d.state.value}: {d.error or d.reason}" for d in deliveries if d.state is not DeliveryState.DELIVERED
    )
    by_random_id = {delivery.random_id: delivery for delivery in deliveries}
    standing: set[int] = set()
    for chat, messages in chats.items():
        standing |= _look_through(found, chat, messages, by_random_id)
    for delivery in deliveries:
        if delivery.random_id not in standing and delivery.state not in _EXPLAINED:
            found.missing.append(f"{_name(delivery)} is {delivery.state.value} and stands in no chat")
    for (user, cycle), planned in Counter((delivery.user, delivery.cycle) for delivery in deliveries).items():
        found.missing += [f"cycle {cycle} of {user} never planned a post"] * (groups[user] - planned)
    return found


def _look_through(
    found: Audit, chat: str, messages: Iterable[Mapping[str, Any]], by_random_id: Mapping[int, Delivery]
) -> set[int]:
    standing: set[int] = set()
    cycles: set[tuple[str, int]] = set()
    for message in messages:
        found.messages += 1
        delivery = by_random_id.get(message["random_id"])
        if delivery is None or delivery.group.removeprefix("@") != chat:
            found.duplicates.append(f"{chat}: message {message['id']} belongs to no delivery")
        elif delivery.random_id in standing or (delivery.user, delivery.cycle) in cycles:
            found.duplicates.append(f"{_name(delivery)} stands there more than once")
        elif delivery.state not in _MAY_STAND:
            found.duplicates.append(f"{_name(delivery)} stands there and is told to be {delivery.state.value}")
        if delivery is not None:
            standing.add(delivery.random_id)
            cycles.add((delivery.user, delivery.cycle))
    return standing


def _name(delivery: Delivery) -> str:
    return f"the post of {delivery.user}'s cycle {delivery.cycle} to {delivery.group}"
