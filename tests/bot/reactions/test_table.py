"""The error table against real cycles: each of Telegram's errors is answered to a real send, and afterwards the
account, the group, the API pair, the journal and the counters are as the table says."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from telethon import errors as telegram

from bot.reactions import rules
from bot.reactions.rules import Action, Rule, Scope
from bot.reactions.table import BY_CODE
from core.models import DeliveryState, SessionState
from sandbox.world import demo_world
from tests.support.house import House, open_house

SEND = "messages.sendMessage"
WAIT_SECONDS = 300
TOLERATED = 60.0
"""Seconds a cycle may take before its holds are looked at."""
NOT_TELEGRAMS = frozenset(
    {
        "ACCOUNT_REFUSED",
        "AUTH_KEY_NOT_FOUND",
        "CONNECTION_ERROR",
        "DOES_NOT_FIT_HERE",
        "INVALID_INPUT",
        "NOT_READY",
        "SECURITY_CHECK_FAILED",
        "SESSION_DELETED",
        "SOURCE_UNAVAILABLE",
        "TIMEOUT",
    }
)
"""No answers to a call: they have tests of their own in test_worker and test_classify."""
FOLLOWED_BY_TELETHON = frozenset({"FILE_MIGRATE", "NETWORK_MIGRATE", "PHONE_MIGRATE", "USER_MIGRATE"})
"""Telethon goes to the data centre they name and asks again; it never hands them on."""
ARRIVED = frozenset({"RANDOM_ID_DUPLICATE"})
"""Has a test of its own below, because the post has to have arrived."""


def on_the_wire(code: str) -> str:
    """The name as Telegram sends it, with a number where it carries one."""
    for pattern, _ in telegram.rpc_errors_re:
        if pattern.replace(r"_(\d+)", "") == code:
            return re.sub(r"\(\\d\+\)", str(WAIT_SECONDS), pattern)
    return f"{code}_{WAIT_SECONDS}" if BY_CODE[code][0].asks_for_time else code


def codes_of(*actions: Action, scope: Scope | None = None) -> list[str]:
    """The table's codes with these actions."""
    return [
        code
        for code, (rule, _) in sorted(BY_CODE.items())
        if rule.action in actions
        and (scope is None or rule.scope is scope)
        and code not in NOT_TELEGRAMS | FOLLOWED_BY_TELETHON | ARRIVED
    ]


GROUP_REFUSES = codes_of(Action.HOLD, scope=Scope.GROUP)
ACCOUNT_RESTS = codes_of(Action.HOLD, scope=Scope.ACCOUNT)
ACCOUNT_PAUSED = codes_of(Action.FREEZE, Action.NEEDS_LOGIN)
ACCOUNT_GONE = codes_of(Action.RETIRE)
PAIR_REFUSED = codes_of(Action.QUARANTINE)
CONTENT_REFUSED = codes_of(Action.GIVE_UP)
AGAIN = codes_of(Action.RETRY, Action.REFETCH)


def test_every_code_of_the_table_is_in_one_of_these_tests() -> None:
    tried = [*GROUP_REFUSES, *ACCOUNT_RESTS, *ACCOUNT_PAUSED, *ACCOUNT_GONE, *PAIR_REFUSED, *CONTENT_REFUSED, *AGAIN]
    assert len(tried) == len(set(tried))
    assert set(tried) | NOT_TELEGRAMS | FOLLOWED_BY_TELETHON | ARRIVED == set(BY_CODE)


def account(number: int) -> str:
    return f"acc{number:02d}"


async def give(house: House, user_id: str, *names: str, groups: Iterable[str], api_id: int = 1001) -> None:
    """A user with exactly these accounts."""
    await house.add_user(user_id, list(groups), assigned_sessions=names)

    def change(tx: Any) -> None:
        for name in names:
            tx.put_session(name, replace(tx.session(name), api_id=api_id))

    await house.store.transact(change)
    house.pool.follow(house.store.snapshot)


@asynccontextmanager
async def a_user_each(folder: Path, codes: list[str], groups: int, **rule: Any) -> AsyncIterator[House]:
    """A house where user `CODE` has one account, which meets CODE when it sends; every user's cycle is over."""
    world = demo_world(accounts=len(codes), groups=groups)
    async with open_house(folder, world, max_sessions_per_api_pair=100) as house:
        for number, code in enumerate(codes, 1):
            house.sandbox.add_fault({"error": on_the_wire(code), "method": SEND, "account": account(number), **rule})
            await give(house, code, account(number), groups=[f"@plaza0{place}" for place in range(1, groups + 1)])
        await asyncio.gather(*(house.cycle(code) for code in codes))
        yield house


def refusals(house: House) -> dict[str, list[str]]:
    """account → what it was refused with."""
    found: dict[str, list[str]] = {}
    for one in house.sandbox.report()["refused"]:
        found.setdefault(one["account"], []).append(one["error"])
    return found


def counters(house: House, user_id: str) -> tuple[int, int, int, int]:
    stats = house.journal.stats(user_id)
    return stats.total_posts, stats.total_success, stats.total_failures, stats.total_flood_waits


def first_hold(rule: Rule) -> float:
    """How long the first hold of a rule is."""
    return float(WAIT_SECONDS) if rule.asks_for_time else rule.first_hold or 0.0


def is_about(seconds: float, wanted: float) -> bool:
    return wanted - TOLERATED <= seconds <= wanted


async def test_a_refusal_of_a_group_holds_that_account_in_that_group_and_nothing_else(tmp_path: Path) -> None:
    codes = GROUP_REFUSES
    async with open_house(tmp_path, demo_world(accounts=2, groups=len(codes) + 1)) as house:
        group_of = {code: f"@plaza{number:02d}" for number, code in enumerate(codes, 2)}
        for code, group in group_of.items():
            house.sandbox.add_fault({"error": on_the_wire(code), "method": SEND, "chat": group[1:]})
        groups = ["@plaza01", *group_of.values()]
        await give(house, "alice", "acc01", groups=groups)
        await house.cycle("alice")
        deliveries = {one.group: one for one in await house.journal.deliveries("alice", limit=len(groups))}
        holds, now = house.user("alice").group_holds, house.services.clock.now()
        wrong = []
        for code, group in group_of.items():
            rule, explanation = BY_CODE[code]
            ended, hold = deliveries[group], holds.get(group, {}).get("acc01")
            waits = rule is rules.SLOW_MODE
            state = DeliveryState.SKIPPED if waits else DeliveryState.FAILED
            right = (
                hold is not None
                and (hold.code, hold.reason, hold.count) == (code, explanation, 1)
                and is_about((hold.until - now).total_seconds(), first_hold(rule))
                and (ended.state, ended.error) == (state, code)
                and explanation in (ended.reason or "")
            )
            if not right:
                wrong.append((code, ended, hold))
        assert not wrong
        assert deliveries["@plaza01"].state is DeliveryState.DELIVERED
        assert len(refusals(house)["acc01"]) == len(codes), "each group was asked once"
        assert house.user("alice").groups == tuple(groups), "no group is taken off the list"
        session = house.store.snapshot.sessions["acc01"]
        assert (session.state, session.hold) == (SessionState.READY, None)
        failed = sum(BY_CODE[code][0] is not rules.SLOW_MODE for code in codes)
        assert counters(house, "alice") == (failed + 1, 1, failed, 0)


async def test_a_wait_or_limit_rests_the_account_for_its_time(tmp_path: Path) -> None:
    async with a_user_each(tmp_path, ACCOUNT_RESTS, 2) as house:
        wrong = []
        for number, code in enumerate(ACCOUNT_RESTS, 1):
            rule, explanation = BY_CODE[code]
            session, deliveries = house.store.snapshot.sessions[account(number)], await house.deliveries(code)
            floods = int(code in {"FLOOD_WAIT", "FLOOD_PREMIUM_WAIT"})
            right = (
                session.state is SessionState.READY
                and session.hold is not None
                and (session.hold.code, session.hold.reason) == (code, explanation)
                and is_about((session.hold.until - house.services.clock.now()).total_seconds(), first_hold(rule))
                and {one.state for one in deliveries.values()} == {DeliveryState.SKIPPED}
                and refusals(house)[account(number)] == [on_the_wire(code)]
                and house.user(code).group_holds == {}
                and counters(house, code) == (0, 0, 0, floods)
            )
            if not right:
                wrong.append((code, session, refusals(house)[account(number)], counters(house, code)))
        assert not wrong


async def test_an_account_whose_owner_has_to_act_is_paused_and_keeps_its_user(tmp_path: Path) -> None:
    async with a_user_each(tmp_path, ACCOUNT_PAUSED, 2) as house:
        wrong = []
        for number, code in enumerate(ACCOUNT_PAUSED, 1):
            rule, explanation = BY_CODE[code]
            session, deliveries = house.store.snapshot.sessions[account(number)], await house.deliveries(code)
            state = SessionState.FROZEN if rule.action is Action.FREEZE else SessionState.NEEDS_LOGIN
            right = (
                (session.state, session.state_reason, session.hold) == (state, explanation, None)
                and house.user(code).assigned_sessions == (account(number),)
                and {one.state for one in deliveries.values()} == {DeliveryState.SKIPPED}
                and refusals(house)[account(number)] == [on_the_wire(code)]
                and house.user(code).group_holds == {}
                and counters(house, code) == (0, 0, 0, 0)
                and f"session_{state.value}" in {event.action for event in house.events(code)}
            )
            if not right:
                wrong.append((code, session, refusals(house)[account(number)], counters(house, code)))
        assert not wrong


async def test_an_account_that_is_gone_leaves_its_user_for_good(tmp_path: Path) -> None:
    async with a_user_each(tmp_path, ACCOUNT_GONE, 2) as house:
        for number, code in enumerate(ACCOUNT_GONE, 1):
            user = house.user(code)
            assert user.assigned_sessions == ()
            assert [(ban.name, ban.reason) for ban in user.banned_sessions] == [(account(number), BY_CODE[code][1])]
            assert house.store.snapshot.sessions[account(number)].state is SessionState.BANNED
            assert (house.settings.state_dir / "sessions" / "banned" / f"{account(number)}.session").exists()
            assert {one.state for one in (await house.deliveries(code)).values()} == {DeliveryState.SKIPPED}
            assert refusals(house)[account(number)] == [on_the_wire(code)]
            assert (user.group_holds, counters(house, code)) == ({}, (0, 0, 0, 0))


@pytest.mark.parametrize("code", PAIR_REFUSED)
async def test_an_api_pair_that_is_refused_is_quarantined_and_other_pairs_go_on(tmp_path: Path, code: str) -> None:
    async with open_house(tmp_path, accounts=3, groups=4) as house:
        for number in (1, 2):
            house.sandbox.add_fault({"error": code, "method": SEND, "account": account(number)})
        groups = [f"@plaza0{number}" for number in range(1, 5)]
        await give(house, "alice", "acc01", groups=groups, api_id=1001)
        await give(house, "bob", "acc02", groups=groups, api_id=1001)
        await give(house, "carol", "acc03", groups=groups, api_id=1002)
        await house.cycle("alice")
        assert list(house.services.sessions.pairs.usable()) == [1002]
        states = {name: house.store.snapshot.sessions[name].state for name in ("acc01", "acc02", "acc03")}
        assert states == {
            "acc01": SessionState.NEEDS_LOGIN,
            "acc02": SessionState.READY,
            "acc03": SessionState.READY,
        }
        assert house.store.snapshot.sessions["acc02"].api_id == 1002, "it never worked on the pair that is refused"
        assert refusals(house) == {"acc01": [code]}
        assert {one.state for one in (await house.deliveries("alice")).values()} == {DeliveryState.SKIPPED}
        assert "session_needs_login" in {event.action for event in house.events("alice")}
        assert (house.user("alice").group_holds, counters(house, "alice")) == ({}, (0, 0, 0, 0))
        await house.cycle("carol")
        assert {one.state for one in (await house.deliveries("carol")).values()} == {DeliveryState.DELIVERED}


async def test_refused_content_fails_in_every_group_and_blames_nobody(tmp_path: Path) -> None:
    async with open_house(tmp_path, accounts=1, groups=2) as house:
        await give(house, "alice", "acc01", groups=["@plaza01", "@plaza02"])
        wrong = []
        for number, code in enumerate(CONTENT_REFUSED, 1):
            house.sandbox.clear_faults()
            house.sandbox.add_fault({"error": on_the_wire(code), "method": SEND})
            await house.cycle("alice")
            session, deliveries = house.store.snapshot.sessions["acc01"], await house.deliveries("alice")
            right = (
                (session.state, session.hold) == (SessionState.READY, None)
                and {one.state for one in deliveries.values()} == {DeliveryState.FAILED}
                and {one.reason for one in deliveries.values()} == {BY_CODE[code][1]}
                and code in {one.error for one in deliveries.values()}
                and refusals(house)["acc01"][number - 1 :] == [on_the_wire(code)]
                and house.user("alice").group_holds == {}
                and counters(house, "alice") == (2 * number, 0, 2 * number, 0)
                and [event.action for event in house.events("alice")].count("content_refused") >= 1
            )
            if not right:
                wrong.append((code, session, list(deliveries.values()), counters(house, "alice")))
        assert not wrong
        assert not house.texts("plaza01")


async def test_trouble_that_passes_is_tried_again_and_counted_once(tmp_path: Path) -> None:
    async with a_user_each(tmp_path, AGAIN, 1, count=1) as house:
        wrong = []
        senders = [message["sender"] for message in house.messages("plaza01")]
        for number, code in enumerate(AGAIN, 1):
            session, deliveries = house.store.snapshot.sessions[account(number)], await house.deliveries(code)
            right = (
                (session.state, session.hold) == (SessionState.READY, None)
                and {(one.state, one.error) for one in deliveries.values()} == {(DeliveryState.DELIVERED, None)}
                and senders.count(account(number)) == 1
                and refusals(house)[account(number)] == [on_the_wire(code)]
                and house.user(code).group_holds == {}
                and counters(house, code) == (1, 1, 0, 0)
            )
            if not right:
                wrong.append((code, session, list(deliveries.values()), refusals(house).get(account(number))))
        assert not wrong


async def test_a_repeated_post_that_had_arrived_is_counted_once(tmp_path: Path) -> None:
    world = demo_world(accounts=1, groups=1)
    world.repeats = "error"
    async with open_house(tmp_path, world) as house:
        house.sandbox.add_fault({"do": "drop_after", "method": SEND, "count": 1})
        await give(house, "alice", "acc01", groups=["@plaza01"])
        await house.cycle("alice")
        [message] = house.messages("plaza01")
        delivery = (await house.deliveries("alice"))["@plaza01"]
        assert (delivery.state, delivery.message_id) == (DeliveryState.DELIVERED, message["id"])
        assert counters(house, "alice") == (1, 1, 0, 0)
