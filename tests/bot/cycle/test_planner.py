"""Who posts where, and what is said about groups that are left out."""

from collections import Counter
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from bot.cycle.planner import AccountSet, plan_cycle
from core.models import Hold, Session, SessionState
from tests.support.clock import START

LATER = START + timedelta(hours=1)
THREE = {"ann": Session(), "ben": Session(), "cat": Session()}
GROUPS = tuple(f"@group{number:02d}" for number in range(12))


def hold(code: str) -> Hold:
    return Hold(until=LATER, code=code, reason="it said no")


@given(
    groups=st.sets(st.sampled_from([f"@g{number}" for number in range(40)])),
    names=st.sets(st.sampled_from("abcdefg"), min_size=1),
)
def test_every_group_gets_exactly_one_session_and_no_session_more_than_its_share(
    groups: set[str], names: set[str]
) -> None:
    plan = plan_cycle(AccountSet({name: Session() for name in sorted(names)}), groups, START)
    assert set(plan.sessions) == groups
    assert not plan.skipped
    assert max(Counter(plan.sessions.values()).values(), default=0) <= -(-len(groups) // len(names))


def test_a_group_keeps_its_account_from_cycle_to_cycle_whatever_the_order_of_the_list() -> None:
    again = AccountSet({name: THREE[name] for name in ("cat", "ann", "ben")})
    before = plan_cycle(AccountSet(THREE), GROUPS, START)
    assert before.sessions == plan_cycle(again, reversed(GROUPS), START).sessions


def test_a_resting_account_keeps_its_groups_and_nobody_posts_them_instead() -> None:
    before = plan_cycle(AccountSet(THREE), GROUPS, START).sessions
    resting = THREE | {"ann": Session(hold=Hold(until=LATER, code="PEER_FLOOD", reason="Telegram limited it"))}
    plan = plan_cycle(AccountSet(resting), GROUPS, START)
    assert plan.sessions == {group: name for group, name in before.items() if name != "ann"}
    assert set(plan.skipped) == {group for group, name in before.items() if name == "ann"}
    assert all("ann rests until" in reason and "limited" in reason for reason in plan.skipped.values())
    assert plan_cycle(AccountSet(resting), GROUPS, LATER).sessions == before


def test_a_group_that_one_account_is_not_in_goes_to_another_account() -> None:
    group = GROUPS[0]
    owner = plan_cycle(AccountSet(THREE), GROUPS, START).sessions[group]
    plan = plan_cycle(AccountSet(THREE, holds={group: {owner: hold("CHANNEL_PRIVATE")}}), GROUPS, START)
    assert plan.sessions[group] != owner


def test_a_group_that_refuses_the_account_is_left_out_and_not_tried_with_another() -> None:
    group = GROUPS[0]
    owner = plan_cycle(AccountSet(THREE), GROUPS, START).sessions[group]
    plan = plan_cycle(AccountSet(THREE, holds={group: {owner: hold("USER_BANNED_IN_CHANNEL")}}), GROUPS, START)
    assert group not in plan.sessions
    assert "leaves this group alone until" in plan.skipped[group]


def test_when_nobody_is_in_a_group_every_account_is_named_with_its_reason() -> None:
    holds = {"ann": hold("CHANNEL_PRIVATE"), "ben": hold("USER_NOT_PARTICIPANT")}
    sessions = THREE | {"cat": Session(state=SessionState.NEEDS_LOGIN)}
    plan = plan_cycle(AccountSet(sessions, holds={"@one": holds}), ["@one"], START)
    assert plan.skipped["@one"] == ("no account can post here; ann: it said no; ben: it said no; cat needs a new login")


def test_without_any_account_each_group_says_so() -> None:
    assert plan_cycle(AccountSet({}), GROUPS, START).skipped == dict.fromkeys(GROUPS, "no account is assigned")


def test_an_account_that_needs_a_login_hands_its_groups_to_the_others() -> None:
    plan = plan_cycle(AccountSet(THREE | {"ann": Session(state=SessionState.NEEDS_LOGIN)}), GROUPS, START)
    assert set(plan.sessions.values()) == {"ben", "cat"}
    assert set(plan.sessions) == set(GROUPS)
