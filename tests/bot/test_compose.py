"""The key of a delivery is its own and never changes."""

from hypothesis import assume, given
from hypothesis import strategies as st

from bot.compose import random_id

DELIVERIES = st.tuples(st.text(), st.integers(0, 2**53), st.text(), st.integers(0, 9))


@given(DELIVERIES)
def test_a_random_id_is_what_telegram_takes(delivery: tuple[str, int, str, int]) -> None:
    key = random_id(*delivery)
    assert key != 0
    assert -(2**63) <= key < 2**63


@given(DELIVERIES, DELIVERIES)
def test_different_deliveries_have_different_ids(
    one: tuple[str, int, str, int], two: tuple[str, int, str, int]
) -> None:
    assume(one != two)
    assert random_id(*one) != random_id(*two)


@given(st.text(min_size=1), st.text(min_size=1), st.integers(0, 99), st.integers(0, 9))
def test_moving_a_letter_from_one_field_to_the_next_changes_the_id(
    user: str, group: str, cycle: int, part: int
) -> None:
    assert random_id(user, cycle, group, part) != random_id(user[:-1], cycle, user[-1] + group, part)
    assert random_id(f"{user}1", cycle, group, part) != random_id(user, int(f"1{cycle}"), group, part)


def test_ids_stay_the_same_over_releases() -> None:
    assert random_id("alice", 1772442000000, "@news", 0) == 6256339592637778370
    assert random_id("alice", 1772442000000, "@news", 1) != 6256339592637778370
