"""Who is due, and in which order."""

from datetime import datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from scheduler.due import DueHeap
from tests.support.clock import START


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def test_the_longest_due_comes_first_and_nobody_comes_twice() -> None:
    due = DueHeap()
    due.set("bob", at(2))
    due.set("alice", at(1))
    due.set("carol", at(9))
    assert [name for name, _ in due.pop_due(at(5))] == ["alice", "bob"]
    assert due.pop_due(at(5)) == []
    assert due.next_due() == at(9).timestamp()


def test_only_the_last_time_that_was_set_counts() -> None:
    due = DueHeap()
    due.set("alice", at(1))
    due.set("alice", at(8))
    assert due.pop_due(at(5)) == []
    due.set("alice", at(3))
    assert due.pop_due(at(5)) == [("alice", at(3).timestamp())]


def test_a_user_who_was_removed_is_not_due() -> None:
    due = DueHeap()
    due.set("alice", at(1))
    due.remove("alice")
    assert due.next_due() is None
    assert due.pop_due(at(5)) == []


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["set", "remove", "pop"]), st.sampled_from("abcdef"), st.integers(min_value=0, max_value=50)
        ),
        max_size=400,
    )
)
def test_the_heap_agrees_with_a_plain_table(steps: list[tuple[str, str, int]]) -> None:
    due, table = DueHeap(), dict[str, int]()
    for what, user, number in steps:
        if what == "set":
            due.set(user, at(number))
            table[user] = number
        elif what == "remove":
            due.remove(user)
            table.pop(user, None)
        else:
            ready = [name for name, _ in due.pop_due(at(number))]
            assert sorted(ready) == sorted(name for name, moment in table.items() if moment <= number)
            assert [table[name] for name in ready] == sorted(table[name] for name in ready)
            for name in ready:
                del table[name]
        assert len(due) == len(table)
        assert due.next_due() == (at(min(table.values())).timestamp() if table else None)
