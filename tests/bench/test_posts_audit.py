"""The proof's own judge: it must see what it is there to see."""

from datetime import UTC, datetime
from typing import Any

from bench.support.posts_audit import audit
from bot.compose.random_id import random_id_of
from core.models import Delivery, DeliveryState

NOW = datetime(2026, 3, 2, tzinfo=UTC)


def delivery(random_id: int, state: DeliveryState = DeliveryState.DELIVERED, **fields: Any) -> Delivery:
    kept: dict[str, Any] = {
        "user": "alice",
        "cycle": 1,
        "group": "@plaza",
        "session": "acc01",
        "planned_at": NOW,
    } | fields
    return Delivery(random_id=random_id, state=state, **kept)


def message(random_id: int) -> dict[str, Any]:
    return {"id": random_id, "random_id": random_id}


def counts(deliveries: list[Delivery], *random_ids: int, groups: int = 1) -> tuple[int, int]:
    found = audit(deliveries, {"plaza": map(message, random_ids)}, {"alice": groups})
    return len(found.duplicates), len(found.missing)


def test_a_post_that_stands_once_is_right_whether_its_answer_came_or_not() -> None:
    assert counts([delivery(1), delivery(2, DeliveryState.UNKNOWN, cycle=2)], 1, 2) == (0, 0)


def test_a_post_that_stands_nowhere_is_missing_unless_the_journal_says_why() -> None:
    for state in DeliveryState:
        explained = state in {DeliveryState.SKIPPED, DeliveryState.FAILED}
        assert counts([delivery(1, state)]) == (0, 0 if explained else 1)


def test_a_message_is_a_duplicate_when_it_repeats_an_id_or_a_cycle_or_belongs_to_no_delivery() -> None:
    assert counts([delivery(1)], 1, 1) == (1, 0)
    assert counts([delivery(1), delivery(2)], 1, 2) == (1, 0)
    assert counts([delivery(1)], 1, 9) == (1, 0)
    assert counts([delivery(1, group="@elsewhere")], 1) == (1, 0)


def test_a_post_that_the_journal_denies_is_one_too_many() -> None:
    assert counts([delivery(1, DeliveryState.FAILED)], 1) == (1, 0)
    assert counts([delivery(1, DeliveryState.SKIPPED)], 1) == (1, 0)


def test_a_group_that_a_cycle_forgot_is_missing() -> None:
    assert counts([delivery(1)], 1, groups=2) == (0, 1)


def test_an_album_of_which_a_part_is_missing_or_stands_twice_is_seen() -> None:
    second = random_id_of(delivery(1), 1)

    def found(*random_ids: int, state: DeliveryState = DeliveryState.DELIVERED) -> tuple[int, int]:
        chats = {"plaza": map(message, random_ids)}
        told = audit([delivery(1, state)], chats, {"alice": 1}, {"alice": 2})
        return len(told.duplicates), len(told.missing)

    assert found(1, second) == (0, 0)
    assert found(1) == (0, 1)
    assert found(1, second, second) == (1, 0)
    assert found(second, state=DeliveryState.FAILED) == (1, 1)
