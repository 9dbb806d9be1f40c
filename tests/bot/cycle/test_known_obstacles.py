"""What is known of a chat beforehand: rights are obeyed without asking, and two spellings of one chat get one post."""

import asyncio
from pathlib import Path
from typing import Any

from telethon import TelegramClient
from telethon.tl.functions.messages import MigrateChatRequest

from bot.cycle.run import CycleControl, StopReason
from core.models import DeliveryState, Media, PostContent, PostType
from sandbox.world import AccountSpec, ChatSpec, World
from tests.bot.cycle.test_worker import PIXEL
from tests.support.house import House, open_house, until

INVITE = "AbCdEfGhIjKlMnOp"
PLAZA_ID = 1_500_000_001


def world(accounts: int = 2, **chat: Any) -> World:
    return World(
        accounts=[AccountSpec(name=f"acc0{number}") for number in range(1, accounts + 1)],
        chats=[
            ChatSpec(username="plaza01", id=PLAZA_ID, invite=INVITE, **chat),
            ChatSpec(username="forum01", kind="forum", topics=["Buy", "Sell"]),
        ],
    )


async def add_photographer(house: House, *groups: str) -> None:
    photo = house.settings.state_dir / "media" / "alice" / "cat.png"
    photo.parent.mkdir(parents=True)
    photo.write_bytes(PIXEL)
    content = PostContent(media=(Media(file="cat.png"),))
    await house.add_user("alice", list(groups), post_type=PostType.PHOTO, post_content=content)


async def test_a_photo_a_group_does_not_take_is_not_even_tried(tmp_path: Path) -> None:
    async with open_house(tmp_path, world(1, default_banned=["send_photos"]), sessions_at_start=1) as house:
        await add_photographer(house, "@plaza01")
        await house.cycle("alice")
        delivery = (await house.deliveries("alice"))["@plaza01"]
        assert (delivery.state, delivery.error) == (DeliveryState.FAILED, "CHAT_SEND_PHOTOS_FORBIDDEN")
        assert house.sandbox.report()["refused"] == [], "Telegram was not asked for what it would refuse"
        assert "does not take photos" in house.said("alice")
        assert house.user("alice").groups == ("@plaza01",)


async def test_the_planner_names_each_account_that_may_not_send_this_kind(tmp_path: Path) -> None:
    async with open_house(tmp_path, world(2, default_banned=["send_photos"]), sessions_at_start=2) as house:
        await add_photographer(house, "@plaza01", "@forum01")
        await house.give_sessions("alice")
        await house.cycle("alice")
        await house.change_user("alice", group_holds={})
        for _ in range(2):
            await house.cycle("alice")
            await house.change_user("alice", group_holds={})
        delivery = (await house.deliveries("alice"))["@plaza01"]
        assert delivery.state is DeliveryState.SKIPPED
        assert delivery.reason == (
            "no account can post here; acc01: The group does not take photos.; acc02: The group does not take photos."
        )
        assert len(house.messages("forum01")) == 3


async def test_an_administrator_of_the_group_takes_over_what_members_may_not_send(tmp_path: Path) -> None:
    place = world(2, default_banned=["send_photos"], admins=["acc02"])
    async with open_house(tmp_path, place, sessions_at_start=2) as house:
        await add_photographer(house, "@plaza01", "@forum01")
        await house.give_sessions("alice")
        for _ in range(2):
            await house.cycle("alice")
        assert house.messages("plaza01"), "the second cycle at the latest knows who may"
        assert {message["sender"] for message in house.messages("plaza01")} == {"acc02"}


async def test_a_restriction_on_one_account_is_not_got_round_with_another(tmp_path: Path) -> None:
    place = world(2, banned={"acc02": ["send_messages"], "acc01": []})
    async with open_house(tmp_path, place, sessions_at_start=2) as house:
        await house.add_user("alice", ["@plaza01", "@forum01"])
        await house.give_sessions("alice")
        for _ in range(3):
            await house.cycle("alice")
            await house.change_user("alice", group_holds={})
        senders = [message["sender"] for message in house.messages("plaza01")]
        by_account = {delivery.session for delivery in await house.journal.deliveries("alice", group="@plaza01")}
        assert senders == [], "acc02 has the group, and acc01 does not stand in for it"
        assert by_account - {""} == {"acc02"}
        assert house.sandbox.report()["refused"] == []


async def test_two_spellings_of_one_chat_get_one_post_from_the_first_cycle_on(tmp_path: Path) -> None:
    spellings = [f"-100{PLAZA_ID}", "@plaza01", f"https://t.me/+{INVITE}"]
    async with open_house(tmp_path, world(), sessions_at_start=2) as house:
        await house.add_user("alice", spellings)
        for cycle in (1, 2):
            await house.cycle("alice")
            assert house.texts("plaza01") == ["Hello from alice"] * cycle
            states = [delivery.state for delivery in (await house.deliveries("alice")).values()]
            assert sorted(states) == [DeliveryState.DELIVERED, DeliveryState.SKIPPED, DeliveryState.SKIPPED]
        reasons = {delivery.reason for delivery in (await house.deliveries("alice")).values()}
        assert f"it is the same chat as {spellings[0]}, which gets this post already" in reasons
        assert house.user("alice").groups == tuple(spellings), "the list stays as its user wrote it"


async def test_topics_of_one_forum_are_places_of_their_own(tmp_path: Path) -> None:
    async with open_house(tmp_path, world(), sessions_at_start=1) as house:
        chat = house.sandbox.world.chats[1]
        topics = sorted(house.sandbox.centre.chat("forum01").topics)
        groups = [f"@forum01/{topics[-1]}", f"@forum01/{topics[-2]}", f"-100{chat.id}/{topics[-1]}"]
        await house.add_user("alice", groups)
        for _ in range(2):
            await house.cycle("alice")
        assert len(house.messages("forum01")) == 4


async def test_a_cycle_that_was_cut_off_does_not_post_to_the_other_spelling(tmp_path: Path) -> None:
    async with open_house(tmp_path, world(1), sessions_at_start=1) as house:
        await house.add_user("alice", ["@plaza01", f"-100{PLAZA_ID}"], delay_between_posts=30.0)
        control = CycleControl()
        cycle = asyncio.create_task(house.cycle("alice", control))
        await until(lambda: house.texts("plaza01"), "the first post")
        control.end(StopReason.SHUTDOWN)
        await cycle
        assert await house.journal.unfinished_cycle("alice") is not None, "the other spelling is still to be looked at"
        await house.change_user("alice", delay_between_posts=0.0)
        await house.cycle("alice")
        assert house.texts("plaza01") == ["Hello from alice"]


async def test_a_group_that_takes_no_photos_still_gets_the_texts_between_them(tmp_path: Path) -> None:
    async with open_house(tmp_path, world(1, default_banned=["send_photos"]), sessions_at_start=1) as house:
        await add_photographer(house, "@plaza01")
        content = PostContent(
            posts=(PostContent(media=(Media(file="cat.png"),)), PostContent(type=PostType.TEXT, text="hi"))
        )
        await house.change_user("alice", post_content=content)
        for state in (DeliveryState.FAILED, DeliveryState.DELIVERED, DeliveryState.SKIPPED, DeliveryState.DELIVERED):
            await house.cycle("alice")
            newest = (await house.deliveries("alice"))["@plaza01"]
            assert newest.state is state
        assert house.texts("plaza01") == ["hi", "hi"]
        [hold] = house.user("alice").group_holds["@plaza01"].values()
        assert (hold.code, hold.count) == ("CHAT_SEND_PHOTOS_FORBIDDEN", 1), "a text does not take the hold away"
        assert house.sandbox.report()["refused"] == []


def with_basic_group() -> World:
    return World(
        accounts=[AccountSpec(name="acc01"), AccountSpec(name="owner")],
        chats=[ChatSpec(key="kitchen", title="Kitchen", kind="group", creator="owner", members=["acc01"])],
    )


async def become_a_supergroup(house: House, folder: Path) -> int:
    """What its owner does in Telegram's app; the new id."""
    kitchen = house.sandbox.centre.chat("kitchen")
    client = TelegramClient(str(house.sandbox.write_session("owner", folder / "phone", 7)), 1, "hash")
    await client.connect()
    try:
        await client(MigrateChatRequest(kitchen.id))
    finally:
        await client.disconnect()
    assert kitchen.moved_to is not None
    return kitchen.moved_to.id


async def test_a_basic_group_that_became_a_supergroup_still_gets_its_post_and_only_one(tmp_path: Path) -> None:
    async with open_house(tmp_path, with_basic_group(), sessions_at_start=1) as house:
        old = f"-{house.sandbox.centre.chat('kitchen').id}"
        await house.add_user("alice", [old])
        await house.cycle("alice")
        assert house.texts("kitchen") == ["Hello from alice"]
        new_id = await become_a_supergroup(house, tmp_path)
        await house.cycle("alice")
        assert (await house.deliveries("alice"))[old].state is DeliveryState.DELIVERED
        await house.change_user("alice", groups=(old, f"-100{new_id}"))
        await house.cycle("alice")
        ends = {group: one.state for group, one in (await house.deliveries("alice")).items()}
        assert ends == {old: DeliveryState.DELIVERED, f"-100{new_id}": DeliveryState.SKIPPED}
        assert house.texts(f"supergroup{new_id}") == ["Hello from alice"] * 2
        assert house.user("alice").group_holds == {}
