"""What the sync state shows of bot, accounts, groups and allowance, and when each of it moves."""

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import pytest
from msgspec.structs import replace

from api.state.slow_facts import ALLOWANCE_SECONDS, FACTS_SECONDS
from core.models import (
    BannedSession,
    BotStatus,
    Budget,
    Cycle,
    Delivery,
    DeliveryState,
    Event,
    Grant,
    Hold,
    PostContent,
    PostType,
    Session,
    SessionState,
    User,
)
from data.users.data_manager import Transaction
from tests.api.support import Api, served, show_progress

PATH = "/api/sync/state"


async def state(api: Api, headers: dict[str, str], **params: Any) -> dict[str, Any]:
    answer = await api.http.get(PATH, headers=headers, params=params)
    assert answer.status_code == 200, answer.text
    seen: dict[str, Any] = answer.json()
    return seen


async def put(api: Api, user: User, **sessions: Session) -> None:
    def change(tx: Transaction) -> None:
        for name, session in sessions.items():
            tx.put_session(name, session)
        tx.put_user("alice", user)

    await api.store.transact(change)


async def post(api: Api, group: str, how: DeliveryState, error: str | None = None, number: int = 1) -> None:
    """One post to that group that came to its end, with a reservation in alice's allowance."""
    now = api.clock.now()
    cycle = Cycle(
        id=number, user="alice", post_type=PostType.TEXT, post_content=PostContent(text="Hello"), started_at=now
    )
    planned = Delivery(user="alice", cycle=number, group=group, session="s1", random_id=number, planned_at=now)
    budget = Budget(day=now.date(), per_day=2000, per_month=40000)
    (delivery,) = await api.journal.plan_cycle(cycle, [planned], budget)
    await api.journal.update(replace(delivery, state=how, error=error, finished_at=now))


async def test_each_answer_says_what_time_it_is_at_the_server_and_keeps_its_etag(
    api: Api, alice: dict[str, str]
) -> None:
    seen = []
    for encoding in ("identity", "gzip"):
        for since in ({}, {"since": 0}):
            answer = await api.http.get(PATH, params=since, headers={**alice, "Accept-Encoding": encoding})
            assert datetime.fromisoformat(answer.json()["server_time"]) == api.clock.now().replace(microsecond=0)
            seen.append(answer.headers["etag"])
            await api.clock.advance(1.0)
    assert len(set(seen)) == 1


async def test_an_unchanged_state_has_its_time_in_the_header(api: Api, alice: dict[str, str]) -> None:
    async with served(api.app) as port, httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
        first = await http.get(PATH, headers=alice)
        same = await http.get(PATH, headers={**alice, "If-None-Match": first.headers["etag"]})
    assert same.status_code == 304
    for answer in (first, same):
        told = parsedate_to_datetime(answer.headers["date"])
        assert abs((datetime.now(UTC) - told).total_seconds()) < 60


@pytest.mark.parametrize(
    ("status", "cycle", "wanted", "actual"),
    [
        (BotStatus.STOPPED, False, "stopped", "stopped"),
        (BotStatus.RUNNING, False, "running", "waiting"),
        (BotStatus.RUNNING, True, "running", "posting"),
        (BotStatus.STOPPING, True, "stopped", "stopping"),
        (BotStatus.ERROR, False, "running", "error"),
    ],
)
async def test_what_the_user_wants_and_what_the_bot_does_are_told_apart(
    api: Api,
    alice: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    status: BotStatus,
    cycle: bool,
    wanted: str,
    actual: str,
) -> None:
    await put(api, User(bot_status=status))
    if cycle:
        show_progress(api, monkeypatch, cycle=1, total=10, done=1, delivered=1)
    seen = await state(api, alice)
    assert (seen["wanted"], seen["actual"]) == (wanted, actual)


async def test_each_account_says_in_one_word_what_it_is_fit_for(api: Api, alice: dict[str, str]) -> None:
    until = api.clock.now() + timedelta(minutes=10)
    resting = Hold(until=until, code="FLOOD_WAIT", reason="Telegram asked for a pause")
    limited = Hold(until=until, code="PEER_FLOOD", reason="Telegram limits it")
    await put(
        api,
        User(
            assigned_sessions=("a", "b", "c", "d"),
            banned_sessions=(BannedSession(name="z", at=api.clock.now(), reason="banned", replaced_by="a"),),
        ),
        a=Session(label="shop"),
        b=Session(hold=resting),
        c=Session(hold=limited),
        d=Session(state=SessionState.NEEDS_LOGIN, state_reason="it was logged out"),
    )
    seen = await state(api, alice)
    assert [(one["name"], one["health"]) for one in seen["sessions"]] == [
        ("a", "ready"),
        ("b", "resting"),
        ("c", "limited"),
        ("d", "needs_login"),
    ]
    assert seen["sessions"][0]["label"] == "shop"
    assert seen["sessions"][1]["resting_until"] is not None
    assert seen["sessions"][3]["state_reason"] == "it was logged out"
    assert [(one["name"], one["reason"], one["replaced_by"]) for one in seen["banned_sessions"]] == [
        ("z", "banned", "a")
    ]


async def test_a_hold_that_has_passed_is_gone_at_the_next_poll_though_nobody_changed_anything(
    api: Api, alice: dict[str, str]
) -> None:
    hold = Hold(until=api.clock.now() + timedelta(seconds=30), code="SLOW_MODE", reason="slow mode")
    user = User(assigned_sessions=("a",), groups=("@news",), group_holds={"@news": {"a": hold}})
    await put(api, user, a=Session(hold=hold))
    before = await state(api, alice)
    assert (before["sessions"][0]["health"], len(before["groups"][0]["holds"])) == ("resting", 1)
    await api.clock.advance(30)
    after = await state(api, alice)
    assert (after["sessions"][0]["health"], after["groups"][0]["holds"]) == ("ready", [])
    assert after["revision"] == before["revision"]
    changed = await state(api, alice, since=before["revision"])
    assert {**before, **changed} == after


async def test_a_group_shows_how_posts_fare_there(api: Api, alice: dict[str, str]) -> None:
    await put(api, User(groups=("@news", "@quiet")), s1=Session())
    await post(api, "@news", DeliveryState.DELIVERED, number=1)
    await post(api, "@news", DeliveryState.DELIVERED, "POST_REMOVED", number=2)
    await post(api, "@news", DeliveryState.FAILED, "CHAT_WRITE_FORBIDDEN", number=3)
    news, quiet = (await state(api, alice))["groups"]
    assert (news["health"], news["delivered"], news["failed"], news["removed"]) == (33, 2, 1, 1)
    assert (quiet["health"], quiet["delivered"]) == (None, 0)


async def test_the_allowance_follows_posts_and_grants(api: Api, alice: dict[str, str]) -> None:
    await put(api, User(groups=("@news",)), s1=Session())
    before = (await state(api, alice))["allowance"]
    assert (before["left"], before["spent_today"], before["granted"]) == (2000, 0, 0)
    await post(api, "@news", DeliveryState.DELIVERED)
    await api.journal.grant(Grant(user="alice", month="2026-03", posts=5, at=api.clock.now(), by="olga"))
    await api.journal.add_event(Event(at=api.clock.now(), user="alice", action="allowance_granted", text="5 more"))
    await api.clock.advance(ALLOWANCE_SECONDS)
    after = (await state(api, alice))["allowance"]
    assert (after["left"], after["spent_today"], after["spent_this_month"], after["granted"]) == (2004, 1, 1, 5)


async def test_how_posts_fare_in_a_group_follows_them(api: Api, alice: dict[str, str]) -> None:
    await put(api, User(groups=("@news",)), s1=Session())
    assert (await state(api, alice))["groups"][0]["delivered"] == 0
    for number in range(1, 4):
        await post(api, "@news", DeliveryState.DELIVERED, number=number)
        await api.clock.advance(ALLOWANCE_SECONDS)
        assert (await state(api, alice))["groups"][0]["delivered"] == number


async def test_a_bot_that_posts_fast_reads_the_journal_at_most_once_a_second(
    api: Api, alice: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    await put(api, User(groups=("@news",)), s1=Session())
    reads = 0
    ask = api.journal.allowance

    async def counted(user: str, budget: Budget) -> Any:
        nonlocal reads
        reads += 1
        return await ask(user, budget)

    monkeypatch.setattr(api.journal, "allowance", counted)
    for number in range(20):
        await post(api, "@news", DeliveryState.DELIVERED, number=number + 1)
        assert (await state(api, alice))["stats"]["total_success"] == number + 1
        await api.clock.advance(0.1)
    assert reads <= 4
    await api.clock.advance(ALLOWANCE_SECONDS)
    assert (await state(api, alice))["allowance"]["spent_today"] == 20


async def test_time_that_passes_without_a_change_keeps_the_etag(
    api: Api, alice: dict[str, str], bob: dict[str, str]
) -> None:
    etag = (await api.http.get(PATH, headers=alice)).headers["etag"]
    await api.http.patch("/api/config", headers=bob, json={"post_content": "Bob's"})
    await api.clock.advance(FACTS_SECONDS + 1)
    same = await api.http.get(PATH, headers={**alice, "If-None-Match": etag})
    assert (same.status_code, same.headers["etag"]) == (304, etag)


async def test_a_field_that_moves_within_a_revision_is_not_lost_to_who_asks_since_it(
    api: Api, alice: dict[str, str], bob: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    await put(api, User(bot_status=BotStatus.RUNNING))
    await state(api, alice)
    await api.http.patch("/api/config", headers=alice, json={"post_content": "Hello"})
    seen = await state(api, alice)
    assert seen["actual"] == "waiting"
    show_progress(api, monkeypatch, cycle=1, total=10, done=1, delivered=1)
    await state(api, bob)
    changed = await state(api, alice, since=seen["revision"])
    assert changed["actual"] == "posting"
    assert {**seen, **changed} == await state(api, alice)
