"""Compares the journal with the chats: which posts are there twice, and which are missing."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bot.compose.random_id import random_id_of
from core.models import Delivery, DeliveryState

_MAY_STAND = frozenset({DeliveryState.DELIVERED, DeliveryState.UNKNOWN})
_EXPLAINED = frozenset({DeliveryState.FAILED, DeliveryState.SKIPPED})
_ONE_EACH: Mapping[str, int] = {}


@dataclass
class Audit:
    """The result. Each duplicate and each missing post is a sentence."""

    messages: int = 0
    deliveries: int = 0
    states: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    """Why deliveries failed or were skipped."""
    duplicates: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


def audit(
    deliveries: Sequence[Delivery],
    chats: Mapping[str, Iterable[Mapping[str, Any]]],
    groups: Mapping[str, int],
    parts: Mapping[str, int] = _ONE_EACH,
) -> Audit:
    """Compare deliveries with messages, by random_id.

    `chats` is chat → messages as the sandbox reports them, `groups` is user → groups in each cycle, and `parts` is
    user → messages per post (albums have several).

    A message is a duplicate if it has no delivery, repeats a random_id, is the second of one cycle in one chat, or has
    a delivery that says it was not posted. A delivery is missing if its messages are not all in the chat and it does
    not say why, or if a cycle should have planned it and did not.
    """
    found = Audit(deliveries=len(deliveries), states=Counter(delivery.state.value for delivery in deliveries))
    found.reasons.update(
        f"{d.state.value}: {d.error or d.reason}" for d in deliveries if d.state is not DeliveryState.DELIVERED
    )
    wholes = [(delivery, _random_ids(delivery, parts.get(delivery.user, 1))) for delivery in deliveries]
    by_random_id = {number: (delivery, part) for delivery, ids in wholes for part, number in enumerate(ids)}
    standing: set[int] = set()
    for chat, messages in chats.items():
        standing |= _look_through(found, chat, messages, by_random_id)
    for delivery, ids in wholes:
        absent = len(set(ids) - standing)
        if absent and (delivery.state not in _EXPLAINED or absent < len(ids)):
            what = "is in no chat" if absent == len(ids) else "is not complete in its chat"
            found.missing.append(f"{_name(delivery)} is {delivery.state.value} but {what}")
    for (user, cycle), planned in Counter((delivery.user, delivery.cycle) for delivery in deliveries).items():
        found.missing += [f"cycle {cycle} of {user} never planned a post"] * (groups[user] - planned)
    return found


def _look_through(
    found: Audit, chat: str, messages: Iterable[Mapping[str, Any]], by_random_id: Mapping[int, tuple[Delivery, int]]
) -> set[int]:
    standing: set[int] = set()
    seen: set[tuple[str, int, int]] = set()
    for message in messages:
        found.messages += 1
        delivery, part = by_random_id.get(message["random_id"], (None, 0))
        if delivery is None or delivery.group.removeprefix("@") != chat:
            found.duplicates.append(f"{chat}: message {message['id']} belongs to no delivery")
        elif message["random_id"] in standing or (delivery.user, delivery.cycle, part) in seen:
            found.duplicates.append(f"{_name(delivery)} is there more than once")
        elif delivery.state not in _MAY_STAND:
            found.duplicates.append(f"{_name(delivery)} is there, but the journal says {delivery.state.value}")
        if delivery is not None:
            standing.add(message["random_id"])
            seen.add((delivery.user, delivery.cycle, part))
    return standing


def _random_ids(delivery: Delivery, parts: int) -> list[int]:
    """Return the random_id of each message of the post. The journal holds the first."""
    return [random_id_of(delivery, part) for part in range(parts)]


def _name(delivery: Delivery) -> str:
    return f"the post of {delivery.user}'s cycle {delivery.cycle} to {delivery.group}"
