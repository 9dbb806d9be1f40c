"""No post comes earlier than any limit allows, and none later than it has to."""

import math
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.pacing.decide import SLOW_MODE_MARGIN, Decision, Limits, PacingState, Verdict, cycle_seconds, decide
from core.models import Hold

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
DAY = 86400.0


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def ahead(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def hold(seconds: float, code: str = "FLOOD_WAIT") -> Hold:
    return Hold(until=ahead(seconds), code=code, reason=f"because of {code}")


def asked(standing: PacingState, **limits: float) -> Decision:
    return decide(NOW, Limits(**limits), standing)  # type: ignore[arg-type]  # each test names real fields


def test_an_account_that_never_posted_may_post() -> None:
    assert asked(PacingState()).verdict is Verdict.GO


@pytest.mark.parametrize(
    ("standing", "limits", "seconds", "code"),
    [
        (PacingState(account_posts=[ago(1)]), {"account_gap": 3}, 2, "account_gap"),
        (PacingState(account_posts=[ago(9)], account_asked=ago(1)), {"account_gap": 3}, 2, "account_gap"),
        (PacingState(group_last=ago(10)), {"group_gap": 30}, 20, "group_gap"),
        (
            PacingState(own_last_in_group=ago(10), slow_mode_seconds=30),
            {},
            20 + SLOW_MODE_MARGIN,
            "slow_mode",
        ),
        (PacingState(account_hold=hold(31)), {}, 31, "FLOOD_WAIT"),
        (PacingState(group_hold=hold(50, "CHAT_WRITE_FORBIDDEN")), {}, 50, "CHAT_WRITE_FORBIDDEN"),
        (PacingState(account_posts=[ago(DAY - 9), ago(5)]), {"daily_cap": 2}, 9, "daily_cap"),
    ],
)
def test_each_limit_makes_a_post_wait_and_says_which_it_was(
    standing: PacingState, limits: dict[str, float], seconds: float, code: str
) -> None:
    decision = asked(standing, **limits)
    assert (decision.verdict, decision.seconds, decision.code) == (Verdict.WAIT, seconds, code)
    assert decision.at == ahead(seconds)


def test_the_limit_that_ends_last_decides() -> None:
    state = PacingState(account_posts=[ago(1)], account_hold=hold(40), own_last_in_group=ago(1), slow_mode_seconds=20)
    decision = asked(state)
    assert (decision.code, decision.seconds) == ("FLOOD_WAIT", 40)


def test_a_wait_longer_than_the_patience_defers_and_says_until_when() -> None:
    decision = asked(PacingState(account_hold=hold(61)), patience=60)
    assert (decision.verdict, decision.at) == (Verdict.DEFER, ahead(61))
    assert decision.reason == "because of FLOOD_WAIT"
    assert asked(PacingState(account_hold=hold(60)), patience=60).verdict is Verdict.WAIT


def test_holds_that_are_over_stand_in_nobodys_way() -> None:
    assert asked(PacingState(account_hold=hold(0), group_hold=hold(-5))).verdict is Verdict.GO


def test_administrators_know_no_slow_mode() -> None:
    assert asked(PacingState(own_last_in_group=ago(1), slow_mode_seconds=0)).verdict is Verdict.GO


def test_the_cap_counts_any_24_hours_not_calendar_days() -> None:
    standing = PacingState(account_posts=[ago(DAY - 1 - n) for n in range(200)])
    assert asked(standing).code == "daily_cap"
    assert asked(PacingState(account_posts=[ago(DAY + 5), *([ago(100)] * 199)])).verdict is Verdict.GO


def test_a_cap_of_nothing_posts_nothing() -> None:
    assert asked(PacingState(), daily_cap=0).verdict is Verdict.DEFER


SECONDS = st.floats(0, 2 * DAY).map(lambda seconds: round(seconds, 3))
LIMITS = st.builds(
    Limits,
    account_gap=SECONDS,
    group_gap=SECONDS,
    daily_cap=st.integers(1, 5),
    patience=SECONDS,
    slow_mode_patience=SECONDS | st.just(math.inf),
)
STANDINGS = st.builds(
    PacingState,
    account_posts=st.lists(SECONDS, max_size=8).map(lambda all_: [ago(one) for one in sorted(all_, reverse=True)]),
    group_last=st.none() | SECONDS.map(ago),
    own_last_in_group=st.none() | SECONDS.map(ago),
    slow_mode_seconds=SECONDS,
    account_hold=st.none() | SECONDS.map(hold),
    group_hold=st.none() | SECONDS.map(hold),
)


@given(LIMITS, STANDINGS)
def test_waiting_as_long_as_asked_is_enough(limits: Limits, standing: PacingState) -> None:
    decision = decide(NOW, limits, standing)
    assert decide(decision.at, limits, standing).verdict is Verdict.GO


@given(LIMITS, STANDINGS)
def test_waiting_any_less_is_not_enough(limits: Limits, standing: PacingState) -> None:
    decision = decide(NOW, limits, standing)
    if decision.verdict is not Verdict.GO:
        assert decide(decision.at - timedelta(microseconds=1), limits, standing).verdict is not Verdict.GO


@given(LIMITS, STANDINGS)
def test_whether_a_wait_is_waited_out_follows_from_its_kind_and_length_alone(
    limits: Limits, standing: PacingState
) -> None:
    decision = decide(NOW, limits, standing)
    assert (decision.verdict is Verdict.GO) == (decision.at == NOW) == (decision.seconds == 0)
    patience = limits.patience
    if decision.code in {"account_gap", "group_gap"}:
        patience = math.inf
    elif decision.code == "slow_mode":
        patience = min(limits.patience, limits.slow_mode_patience) + SLOW_MODE_MARGIN
    assert (decision.verdict is Verdict.DEFER) == (decision.seconds > patience)


def test_a_group_of_sixty_seconds_of_slow_mode_is_waited_for_by_who_waits_sixty() -> None:
    just_posted = PacingState(own_last_in_group=NOW, slow_mode_seconds=60)
    assert asked(just_posted, patience=60).verdict is Verdict.WAIT
    assert asked(just_posted, patience=59.9).verdict is Verdict.DEFER
    assert asked(just_posted, patience=60, slow_mode_patience=59.9).verdict is Verdict.DEFER


@pytest.mark.parametrize(
    "standing",
    [
        PacingState(own_last_in_group=ago(1), slow_mode_seconds=20),
        PacingState(group_hold=hold(20, "SLOWMODE_WAIT")),
    ],
)
def test_slow_mode_is_slow_mode_whoever_told_of_it(standing: PacingState) -> None:
    assert asked(standing, patience=60, slow_mode_patience=30).verdict is Verdict.WAIT
    assert asked(standing, patience=60, slow_mode_patience=10).verdict is Verdict.DEFER


def test_other_waits_do_not_care_for_what_is_waited_for_a_slow_group() -> None:
    assert asked(PacingState(account_hold=hold(50)), patience=60, slow_mode_patience=1).verdict is Verdict.WAIT
    assert asked(PacingState(group_hold=hold(50, "X")), patience=60, slow_mode_patience=1).verdict is Verdict.WAIT


def test_pauses_that_somebody_wished_for_are_waited_out_however_long_they_are() -> None:
    assert asked(PacingState(account_posts=[NOW]), account_gap=3600).verdict is Verdict.WAIT
    assert asked(PacingState(group_last=NOW), group_gap=3600).verdict is Verdict.WAIT


@given(
    gap=st.integers(0, 50),
    slow=st.integers(0, 120),
    cap=st.integers(1, 20),
    posts=st.integers(1, 60),
)
def test_an_account_that_obeys_breaks_no_limit_all_day(gap: int, slow: int, cap: int, posts: int) -> None:
    limits = Limits(account_gap=gap, daily_cap=cap, patience=10 * DAY)
    made: list[datetime] = []
    now = NOW
    for _ in range(posts):
        standing = PacingState(account_posts=made, own_last_in_group=made[-1] if made else None, slow_mode_seconds=slow)
        now = decide(now, limits, standing).at
        made.append(now)
    for earlier, later in pairwise(made):
        assert (later - earlier).total_seconds() >= max(gap, slow)
    for index in range(len(made) - cap):
        assert made[index + cap] - made[index] >= timedelta(days=1)


def test_the_busiest_account_sets_the_length_of_a_cycle() -> None:
    assert cycle_seconds([3, 5, 1], Limits(account_gap=10), seconds_a_post=1) == 45
    assert cycle_seconds([], Limits()) == 0
