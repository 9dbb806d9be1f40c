"""The number at the end of a link: a topic where the chat is a forum and has it, else a message. A post never answers a
message by accident, and no chat gets it twice."""

import asyncio
from pathlib import Path

import pytest

from bot.cycle.run import CycleControl, StopReason
from bot.preflight.report import GroupCheck
from core.models import DeliveryState
from sandbox.world import AccountSpec, ChatSpec, World
from tests.support.house import House, open_house, until

PLAZA_ID = 1_500_000_001


def world() -> World:
    return World(
        accounts=[AccountSpec(name="acc01")],
        chats=[
            ChatSpec(username="plaza01", id=PLAZA_ID),
            ChatSpec(username="plaza02"),
            ChatSpec(username="news01", kind="channel", admins=["acc01"]),
            ChatSpec(username="forum01", kind="forum", topics=["Buy"], closed_topics=["Old"]),
        ],
    )


async def check(house: House, group: str) -> GroupCheck:
    report = await house.bots.preflight("alice", house.user("alice"))
    return next(one for one in report.groups if one.group == group)


@pytest.mark.parametrize("link", ["@plaza01/51", f"-100{PLAZA_ID}/51", "@plaza01/2/51", "@news01/51"])
async def test_a_link_to_a_message_as_group_means_the_chat_and_answers_no_message(tmp_path: Path, link: str) -> None:
    chat = "news01" if "news" in link else "plaza01"
    async with open_house(tmp_path, world()) as house:
        await house.add_user("alice", [link])
        for _ in range(51):
            house.sandbox.centre.chat(chat).box.next_id += 1
        await house.cycle("alice")
        await house.cycle("alice")
        assert house.texts(chat) == ["Hello from alice"] * 2
        standing = house.sandbox.centre.chat(chat).box.messages.values()
        assert [message.reply_to for message in standing] == [None, None]
        assert (await check(house, link)).topic is None


@pytest.mark.parametrize("groups", [["@plaza01", "@plaza01/51"], ["@plaza01/51", "@plaza01/52", f"-100{PLAZA_ID}"]])
async def test_a_chat_and_links_to_its_messages_get_one_post(tmp_path: Path, groups: list[str]) -> None:
    async with open_house(tmp_path, world()) as house:
        await house.add_user("alice", groups)
        for cycle in (1, 2):
            await house.cycle("alice")
            assert house.texts("plaza01") == ["Hello from alice"] * cycle
        made = await house.deliveries("alice")
        assert made[groups[1]].state is DeliveryState.SKIPPED
        assert made[groups[1]].reason == f"it is the same chat as {groups[0]}, which gets this post already"
        assert (await check(house, groups[1])).reason == made[groups[1]].reason


async def test_the_check_knows_it_before_the_first_cycle(tmp_path: Path) -> None:
    async with open_house(tmp_path, world()) as house:
        await house.add_user("alice", ["@plaza01", "@plaza01/51"])
        await house.give_sessions("alice")
        assert (await check(house, "@plaza01")).session == "acc01"
        assert "same chat as @plaza01" in str((await check(house, "@plaza01/51")).reason)


async def test_a_cycle_that_was_cut_off_posts_to_the_chat_once_under_both_names(tmp_path: Path) -> None:
    async with open_house(tmp_path, world()) as house:
        await house.add_user("alice", ["@plaza01/51", "@plaza01"], delay_between_posts=30.0)
        control = CycleControl()
        cycle = asyncio.create_task(house.cycle("alice", control))
        await until(lambda: house.texts("plaza01"), "the first post")
        control.end(StopReason.SHUTDOWN)
        await cycle
        assert await house.journal.unfinished_cycle("alice") is not None
        await house.change_user("alice", delay_between_posts=0.0)
        await house.cycle("alice")
        assert house.texts("plaza01") == ["Hello from alice"]


@pytest.mark.parametrize("seen_before", [True, False])
async def test_a_forum_gets_no_post_under_a_number_that_is_no_topic_of_it(tmp_path: Path, seen_before: bool) -> None:
    async with open_house(tmp_path, world()) as house:
        forum = house.sandbox.centre.chat("forum01")
        topics = {topic.title: topic.id for topic in forum.topics.values()}
        await house.add_user("alice", [f"@forum01/{topics['Buy']}"])
        await house.cycle("alice")
        in_the_topic = house.messages("forum01")[0]["id"]
        groups = [f"@forum01/{number}" for number in (in_the_topic, 999, topics["Old"])]
        await house.change_user("alice", groups=tuple(groups))
        if seen_before:
            await check(house, groups[0])
        await house.cycle("alice")
        assert len(house.messages("forum01")) == 1, "neither as an answer to the message nor in General"
        made = await house.deliveries("alice")
        assert "no such topic" in str(made[groups[0]].reason)
        assert "no such topic" in str(made[groups[1]].reason)
        assert "topic is closed" in str(made[groups[2]].reason)
        assert house.sandbox.report()["refused"] == []
        assert [(await check(house, group)).topic for group in groups] == ["missing", "missing", "closed"]


async def test_a_group_that_becomes_a_forum_gets_its_topics_posts(tmp_path: Path) -> None:
    async with open_house(tmp_path, world()) as house:
        topic = max(house.sandbox.centre.chat("forum01").topics) - 1
        house.sandbox.centre.chat("forum01").kind = "supergroup"
        await house.add_user("alice", [f"@forum01/{topic}"])
        await house.cycle("alice")
        assert "topic" not in house.messages("forum01")[0]
        house.sandbox.centre.chat("forum01").kind = "forum"
        house.sandbox.centre.chat("forum01").changed()
        await check(house, f"@forum01/{topic}")
        await house.cycle("alice")
        assert house.messages("forum01")[1]["topic"] == topic
