"""What is remembered of an account's posts: enough for its daily cap, and no more."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from bot.pacing.recent_posts import SPAN, RecentPosts
from tests.support.clock import START

DAY = timedelta(days=1)


def test_an_account_that_posts_each_second_for_two_days_takes_no_more_room_than_one_day_of_spans() -> None:
    posts = RecentPosts()
    for second in range(2 * 86_400):
        now = START + timedelta(seconds=second)
        posts.add(now)
        posts.forget_before(now)
    assert posts.spans <= DAY / SPAN + 1
    assert 86_400 <= len(posts) <= 86_400 + SPAN.total_seconds()
    assert posts[-1] == now


def test_posts_with_long_pauses_are_remembered_exactly() -> None:
    posts = RecentPosts()
    moments = [START + timedelta(hours=hour) for hour in range(10)]
    for moment in moments:
        posts.add(moment)
    assert list(posts) == moments
    assert posts[-3:] == moments[-3:]
    posts.forget_before(START + DAY + timedelta(hours=4))
    assert list(posts) == moments[5:]


@given(st.lists(st.integers(0, 2 * 86_400), min_size=1, max_size=60), st.integers(1, 60))
def test_no_moment_is_told_earlier_than_it_was_nor_more_than_a_span_later(seconds: list[int], cap: int) -> None:
    moments = [START + timedelta(seconds=second) for second in sorted(seconds)]
    posts = RecentPosts()
    for moment in moments:
        posts.add(moment)
    assert posts[-1] == moments[-1]
    assert len(posts) == len(moments)
    if cap <= len(moments):
        assert timedelta(0) <= posts[-cap] - moments[-cap] < SPAN
