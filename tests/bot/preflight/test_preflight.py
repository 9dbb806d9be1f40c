"""A preflight over a real data centre: what it tells is what the cycle then does, and nothing is posted."""

import asyncio
from pathlib import Path

import pytest

from bot.cycle.run import CycleControl, StopReason
from bot.preflight.report import AccountInGroup, GroupCheck, Preflight
from core.errors import NoContent, NoGroups
from core.models import Media, Poll, PostContent, PostType, TextFormat
from sandbox.world import AccountSpec, ChatSpec, World
from tests.bot.cycle.test_worker import PIXEL
from tests.support.house import House, open_house, until

INVITE = "AbCdEfGhIjKlMnOp"
SLOW, NEWS, FORUM, STRICT, AWAY = "@slow", "@news", "@forum01", "@strict", "@away"


def world(*chats: ChatSpec, accounts: int = 2, **fields: object) -> World:
    return World(
        accounts=[AccountSpec(name=f"acc0{number}", premium=number == 2) for number in range(1, accounts + 1)],
        chats=list(chats) or [ChatSpec(username="plaza01"), ChatSpec(username="plaza02")],
    )


async def preflight(house: House, user_id: str = "alice") -> Preflight:
    return await house.bots.preflight(user_id, house.user(user_id))


async def open_with(house: House, *groups: str, **fields: object) -> None:
    await house.add_user("alice", list(groups), **fields)
    await house.give_sessions("alice")


def of(report: Preflight, group: str) -> GroupCheck:
    return next(one for one in report.groups if one.group == group)


def account(check: GroupCheck, session: str) -> AccountInGroup:
    return next(one for one in check.accounts if one.session == session)


def calls(house: House, method: str) -> int:
    return sum(house.sandbox.report()["rpc"].get(method, {}).values())


async def test_it_plans_what_the_cycle_then_does_and_posts_nothing(tmp_path: Path) -> None:
    async with open_house(tmp_path, accounts=3, groups=6, sessions_at_start=3) as house:
        groups = [f"@plaza0{number}" for number in range(1, 7)]
        await open_with(house, *groups, delay_between_posts=0.0)
        report = await preflight(house)
        assert not any(house.texts(group) for group in groups)
        assert await house.journal.deliveries("alice") == []
        assert report.posts == 6
        assert {account.posts for account in report.accounts} == {2}
        await house.cycle("alice")
        planned = {check.group: check.session for check in report.groups}
        assert {group: house.messages(group)[0]["sender"] for group in groups} == planned
        assert of(report, "@plaza01").title == "Plaza 01"


async def test_it_looks_a_hundred_chats_up_in_one_call_and_leaves_the_cycle_nothing_to_look_up(tmp_path: Path) -> None:
    async with open_house(tmp_path, accounts=2, groups=60, sessions_at_start=2) as house:
        await open_with(house, *(f"@plaza{number:02d}" for number in range(1, 61)))
        report = await preflight(house)
        assert report.posts == 60
        assert calls(house, "messages.getDialogs") == 2, "one an account"
        await house.cycle("alice")
        assert calls(house, "contacts.resolveUsername") == 0


async def test_each_exclusion_is_told_in_words(tmp_path: Path) -> None:
    place = world(
        ChatSpec(username="news", kind="channel", admins=["acc02"]),
        ChatSpec(username="strict", default_banned=["send_messages"]),
        ChatSpec(username="away", members=[]),
        ChatSpec(username="half", members=["acc02"]),
        ChatSpec(username="mine", banned={"acc01": ["send_messages"], "acc02": ["send_messages"]}),
    )
    async with open_house(tmp_path, place, sessions_at_start=2) as house:
        await open_with(house, NEWS, STRICT, AWAY, "@half", "@mine", "@nobody_has_this")
        report = await preflight(house)
        assert of(report, NEWS).session == "acc02"
        assert account(of(report, NEWS), "acc01").reason == "Only administrators may post here."
        assert account(of(report, "@half"), "acc01").reason == "This account is not a member of this group."
        assert of(report, "@half").session == "acc02"
        for group, said in ((STRICT, "may not write"), (AWAY, "not a member"), ("@nobody_has_this", "not a member")):
            reason = of(report, group).reason
            assert reason is not None
            assert said in reason
            assert "acc01" in reason
            assert "acc02" in reason
        mine = of(report, "@mine")
        assert mine.session is None
        assert mine.reason is not None
        assert "banned from writing" in mine.reason
        assert report.posts == 2
        assert house.sandbox.report()["refused"] == []


async def test_it_knows_slow_mode_and_who_is_free_of_it_and_asks_once_for_all(tmp_path: Path) -> None:
    place = world(ChatSpec(username="slow", slow_mode=60, admins=["acc02"]))
    async with open_house(tmp_path, place, sessions_at_start=2) as house:
        await open_with(house, SLOW)
        report = await preflight(house)
        assert of(report, SLOW).slow_mode_seconds == 60
        assert calls(house, "channels.getFullChannel") == 1


async def test_after_a_post_it_says_until_when_slow_mode_lasts(tmp_path: Path) -> None:
    async with open_house(tmp_path, world(ChatSpec(username="slow", slow_mode=60), accounts=1)) as house:
        await open_with(house, SLOW)
        assert account(of(await preflight(house), SLOW), "acc01").not_before is None
        await house.cycle("alice")
        waiting = account(of(await preflight(house), SLOW), "acc01")
        assert waiting.can_post
        assert waiting.waits_for == "The group is in slow mode."
        assert waiting.not_before is not None
        assert 55 < (waiting.not_before - house.services.clock.now()).total_seconds() < 63


async def test_topics_that_are_closed_or_gone_are_told_from_open_ones(tmp_path: Path) -> None:
    place = world(ChatSpec(username="forum01", kind="forum", topics=["Buy"], closed_topics=["Old"]), accounts=1)
    async with open_house(tmp_path, place) as house:
        topics = {topic.title: topic.id for topic in house.sandbox.centre.chat("forum01").topics.values()}
        buy, old, gone = (f"{FORUM}/{number}" for number in (topics["Buy"], topics["Old"], 999))
        await open_with(house, buy, old, gone)
        report = await preflight(house)
        assert [of(report, group).topic for group in (buy, old, gone)] == ["open", "closed", "missing"]
        assert [of(report, group).session for group in (buy, old, gone)] == ["acc01", None, None]
        assert "The topic is closed." in str(of(report, old).reason)
        assert "no such topic" in str(of(report, gone).reason)
        assert calls(house, "messages.getForumTopicsByID") == 1


async def test_two_spellings_of_one_chat_are_found_before_the_first_cycle(tmp_path: Path) -> None:
    async with open_house(tmp_path, world(ChatSpec(username="plaza01", id=1_500_000_001, invite=INVITE))) as house:
        await open_with(house, "@plaza01", "-1001500000001", f"https://t.me/+{INVITE}")
        report = await preflight(house)
        assert report.posts == 1
        assert of(report, "-1001500000001").reason == ("it is the same chat as @plaza01, which gets this post already")


async def test_the_post_is_shown_as_the_first_group_sees_it(tmp_path: Path) -> None:
    async with open_house(tmp_path, world(ChatSpec(username="plaza01", title="Chess & Tea"))) as house:
        content = PostContent(text="<b>Hello</b> {group} {n} 😀", format=TextFormat.HTML)
        await open_with(house, "@plaza01", post_content=content)
        shown = (await preflight(house)).post
        assert shown.text == "Hello Chess & Tea 1 😀"
        assert [(one.kind, one.offset, one.length) for one in shown.entities] == [("bold", 0, 5)]
        assert (shown.units, shown.most_units) == (len(shown.text) + 1, 4096)
        await house.cycle("alice")
        assert house.texts("plaza01") == [shown.text]


async def test_a_text_that_is_too_long_in_one_group_only_leaves_out_that_group(tmp_path: Path) -> None:
    place = world(ChatSpec(username="plaza01", title="x" * 100), ChatSpec(username="plaza02", title="y"))
    async with open_house(tmp_path, place) as house:
        await open_with(house, "@plaza01", "@plaza02", post_content="{group}" + "." * 4050)
        report = await preflight(house)
        assert of(report, "@plaza01").session is None
        assert "4,096" in str(of(report, "@plaza01").reason)
        assert of(report, "@plaza02").session is not None
        await house.cycle("alice")
        made = await house.deliveries("alice")
        assert (made["@plaza01"].state, made["@plaza01"].error) == ("skipped", "DOES_NOT_FIT_HERE")
        assert "4,096" in str(made["@plaza01"].reason)
        assert made["@plaza02"].state == "delivered"


async def test_a_missing_file_is_a_problem_for_every_group(tmp_path: Path) -> None:
    async with open_house(tmp_path, world()) as house:
        content = PostContent(media=(Media(file="cat.png"),))
        await open_with(house, "@plaza01", "@plaza02", post_type=PostType.PHOTO, post_content=content)
        report = await preflight(house)
        assert ["cat.png" in problem for problem in report.problems] == [True]
        assert report.posts == 0
        photo = house.settings.state_dir / "media" / "alice" / "cat.png"
        photo.parent.mkdir(parents=True)
        photo.write_bytes(PIXEL)
        report = await preflight(house)
        assert (report.problems, report.posts) == ([], 2)
        assert [file.bytes for file in report.post.files] == [len(PIXEL)]
        assert report.post.most_units == 1024


async def test_a_poll_is_shown_as_its_first_group_gets_it(tmp_path: Path) -> None:
    async with open_house(tmp_path, world(), sessions_at_start=1) as house:
        content = PostContent(poll=Poll(question="Chess in {group}?", answers=("yes", "no, #{n}")))
        await open_with(house, "@plaza01", post_type=PostType.POLL, post_content=content)
        shown = (await preflight(house)).post
        title = of(await preflight(house), "@plaza01").title
        assert shown.summary == f"a poll: Chess in {title}? (yes / no, #1)"
        assert (shown.poll_question, shown.poll_answers) == (f"Chess in {title}?", ("yes", "no, #1"))


async def test_a_protected_message_cannot_be_forwarded_and_it_says_so(tmp_path: Path) -> None:
    place = world(ChatSpec(username="source", protected=True), ChatSpec(username="plaza01"), accounts=1)
    async with open_house(tmp_path, place) as house:
        await house.add_user("bob", ["@source"])
        await house.cycle("bob")
        number = house.messages("source")[0]["id"]
        await house.change_user("bob", assigned_sessions=())
        content = PostContent(message=f"https://t.me/source/{number}")
        await house.add_user("alice", ["@plaza01"], post_type=PostType.FORWARD, post_content=content)
        await house.change_user("alice", assigned_sessions=("acc01",))
        report = await preflight(house)
        assert report.posts == 0
        assert "does not let its messages be forwarded" in report.problems[0]
        assert of(report, "@plaza01").reason == report.problems[0]


async def test_an_account_that_telegram_does_not_know_any_more_is_told_and_left_for_the_cycle(tmp_path: Path) -> None:
    async with open_house(tmp_path, world(), sessions_at_start=2) as house:
        await open_with(house, "@plaza01", "@plaza02")
        house.sandbox.ban("acc01")
        before = house.store.snapshot
        report = await preflight(house)
        told = next(one for one in report.accounts if one.session == "acc01")
        assert told.reason == "Telegram banned this account."
        assert house.store.snapshot.sessions["acc01"] == before.sessions["acc01"]


async def test_a_flood_wait_met_on_the_way_is_kept(tmp_path: Path) -> None:
    async with open_house(tmp_path, world(), sessions_at_start=1) as house:
        house.sandbox.add_fault({"error": "FLOOD_WAIT_300", "method": "messages.getDialogs"})
        await open_with(house, "@plaza01")
        report = await preflight(house)
        hold = house.store.snapshot.sessions["acc01"].hold
        assert hold is not None
        assert hold.code == "FLOOD_WAIT"
        assert report.posts == 0
        assert "rests until" in str(of(report, "@plaza01").reason)


async def test_while_an_account_posts_it_is_not_connected_twice(tmp_path: Path) -> None:
    async with open_house(tmp_path, world(), sessions_at_start=1) as house:
        await house.add_user("alice", ["@plaza01", "@plaza02"], delay_between_posts=30.0)
        control = CycleControl()
        cycle = asyncio.create_task(house.cycle("alice", control))
        await until(lambda: house.texts("plaza01") or house.texts("plaza02"), "the first post")
        report = await preflight(house)
        control.end(StopReason.STOPPED)
        await cycle
        assert "posting just now" in str(report.accounts[0].reason)
        assert house.sandbox.report()["accounts"]["acc01"]["state"] == "active"


async def test_the_time_of_a_cycle_follows_the_pauses(tmp_path: Path) -> None:
    async with open_house(tmp_path, accounts=2, groups=6, sessions_at_start=2) as house:
        await open_with(house, *(f"@plaza0{number}" for number in range(1, 7)), delay_between_posts=10.0)
        assert 20 <= (await preflight(house)).cycle_seconds <= 25


async def test_without_groups_or_content_there_is_nothing_to_look_at(tmp_path: Path) -> None:
    async with open_house(tmp_path, world()) as house:
        await house.add_user("alice", [])
        with pytest.raises(NoGroups):
            await preflight(house)
        await house.change_user("alice", groups=("@plaza01",), post_content="")
        with pytest.raises(NoContent):
            await preflight(house)


async def test_a_cancelled_preflight_leaves_no_connection_and_no_task(tmp_path: Path) -> None:
    async with open_house(tmp_path, world(), sessions_at_start=2) as house:
        await open_with(house, "@plaza01", "@plaza02")
        before = asyncio.all_tasks()
        house.sandbox.add_fault({"do": "ignore", "method": "messages.getDialogs"})
        looking = asyncio.create_task(preflight(house))
        await until(lambda: house.services.clients.open == 2, "the connections")
        looking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await looking
        assert house.services.clients.open == 0
        await until(lambda: not (asyncio.all_tasks() - before), "the tasks to end")
