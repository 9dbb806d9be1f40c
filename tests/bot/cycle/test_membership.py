"""Who is not in a group leaves it to an account that is, in the same cycle; who is limited there leaves it to nobody.
What the preview says of that is what the cycle does."""

from pathlib import Path
from typing import Any

import pytest

from bot.chats.membership import NOT_A_MEMBER
from bot.reactions.table import BY_CODE
from core.models import DeliveryState, PostContent, PostType
from sandbox.state.peers import Member
from sandbox.world import AccountSpec, ChatSpec, World
from tests.support.house import House, open_house

INVITE = "AbCdEfGhIjKlMnOp"
SEND = "messages.sendMessage"
PLAZA = "@plaza01"


def world(*chats: ChatSpec, accounts: int = 3) -> World:
    return World(
        accounts=[AccountSpec(name=f"acc0{number}") for number in range(1, accounts + 1)],
        chats=list(chats) or [ChatSpec(username="plaza01")],
    )


async def give_all(house: House, *groups: str, **fields: Any) -> None:
    """Alice has every account of the world, however few her groups are."""
    await house.add_user("alice", [f"@place{number:02d}" for number in range(7)])
    await house.give_sessions("alice")
    await house.change_user("alice", groups=groups, **fields)


def leave(house: House, account: str, chat: str) -> None:
    """What its owner does in Telegram's app."""
    place = house.sandbox.centre.chat(chat)
    del place.members[house.sandbox.centre.account(account).id]
    place.changed()


def join(house: House, name: str, chat: str) -> None:
    account = house.sandbox.centre.account(name)
    place = house.sandbox.centre.chat(chat)
    place.members[account.id] = Member(account)
    place.changed()


def senders(house: House, chat: str) -> list[str]:
    return [message["sender"] for message in house.messages(chat)]


async def test_an_account_that_left_a_group_leaves_it_to_one_that_is_in_it_within_the_cycle(tmp_path: Path) -> None:
    async with open_house(tmp_path, world(), sessions_at_start=3) as house:
        await give_all(house, PLAZA)
        await house.cycle("alice")
        [first] = senders(house, PLAZA)
        leave(house, first, "plaza01")
        await house.cycle("alice")
        _, second = senders(house, PLAZA)
        assert second != first
        delivery = (await house.deliveries("alice"))[PLAZA]
        assert (delivery.state, delivery.session, delivery.error) == (DeliveryState.DELIVERED, second, None)
        assert len(house.sandbox.report()["refused"]) == 1
        assert "not a member" in house.user("alice").group_holds[PLAZA][first].reason
        await house.cycle("alice")
        assert senders(house, PLAZA)[2] == second
        assert len(house.sandbox.report()["refused"]) == 1, "who is not in the group is not asked again"


@pytest.mark.parametrize("error", ["CHAT_WRITE_FORBIDDEN", "CHAT_ADMIN_REQUIRED", "CHAT_SEND_PLAIN_FORBIDDEN"])
async def test_an_account_that_may_not_write_in_its_group_is_not_stood_in_for(tmp_path: Path, error: str) -> None:
    async with open_house(tmp_path, world(), sessions_at_start=3) as house:
        await give_all(house, PLAZA)
        house.sandbox.add_fault({"error": error, "method": SEND})
        await house.cycle("alice")
        failed = (await house.deliveries("alice"))[PLAZA]
        assert (failed.state, failed.error) == (DeliveryState.FAILED, error)
        await house.cycle("alice")
        assert senders(house, PLAZA) == []
        assert len(house.sandbox.report()["refused"]) == 1, "nobody else tried"


@pytest.mark.parametrize("error", ["CHAT_ADMIN_REQUIRED", "CHAT_GUEST_SEND_FORBIDDEN", "RIGHT_FORBIDDEN"])
async def test_whatever_words_meet_an_account_that_left_the_group_goes_to_a_member(tmp_path: Path, error: str) -> None:
    async with open_house(tmp_path, world(), sessions_at_start=3) as house:
        await give_all(house, PLAZA)
        await house.cycle("alice")
        [first] = senders(house, PLAZA)
        leave(house, first, "plaza01")
        house.sandbox.add_fault({"error": error, "method": SEND, "account": first})
        await house.cycle("alice")
        assert len(senders(house, PLAZA)) == 2


@pytest.mark.parametrize("member", ["acc01", "acc02", "acc03"])
async def test_a_group_goes_from_account_to_account_until_one_is_in_it(tmp_path: Path, member: str) -> None:
    async with open_house(
        tmp_path, world(ChatSpec(username="plaza01", members=[member])), sessions_at_start=3
    ) as house:
        await give_all(house, PLAZA)
        await house.cycle("alice")
        assert senders(house, PLAZA) == [member]


async def test_where_nobody_is_in_the_group_every_account_is_named(tmp_path: Path) -> None:
    async with open_house(tmp_path, world(ChatSpec(username="plaza01", members=[])), sessions_at_start=3) as house:
        await give_all(house, PLAZA)
        await house.cycle("alice")
        delivery = (await house.deliveries("alice"))[PLAZA]
        assert (delivery.state, delivery.error) == (DeliveryState.FAILED, "USER_NOT_PARTICIPANT")
        assert all(name in str(delivery.reason) for name in ("acc01", "acc02", "acc03"))


async def test_an_account_that_joins_after_the_preview_posts(tmp_path: Path) -> None:
    async with open_house(tmp_path, world(ChatSpec(username="plaza01", members=[])), sessions_at_start=3) as house:
        await give_all(house, PLAZA)
        report = await house.bots.preflight("alice", house.user("alice"))
        assert "not a member" in str(report.groups[0].reason)
        join(house, "acc02", "plaza01")
        await house.cycle("alice")
        assert senders(house, PLAZA) == ["acc02"]


async def test_an_account_that_joins_after_it_was_refused_posts_once_the_check_saw_it(tmp_path: Path) -> None:
    place = world(ChatSpec(username="plaza01", members=[]), accounts=1)
    async with open_house(tmp_path, place, sessions_at_start=1) as house:
        await give_all(house, PLAZA)
        await house.cycle("alice")
        join(house, "acc01", "plaza01")
        report = await house.bots.preflight("alice", house.user("alice"))
        assert report.groups[0].session == "acc01"
        assert report.groups[0].accounts[0].can_post
        await house.cycle("alice")
        assert senders(house, PLAZA) == ["acc01"]


async def test_a_post_that_arrived_before_its_account_left_is_found_and_not_sent_again(tmp_path: Path) -> None:
    async with open_house(tmp_path, world(), sessions_at_start=3, send_timeout_seconds=1.0) as house:
        await give_all(house, PLAZA)
        house.sandbox.add_fault({"do": "drop_after", "method": SEND, "count": 1})
        house.sandbox.add_fault({"error": "CHAT_WRITE_FORBIDDEN", "method": SEND})
        house.sandbox.centre.on_delivered.append(lambda sender: leave(house, sender.name, "plaza01"))
        await house.cycle("alice")
        assert house.texts(PLAZA) == ["Hello from alice"]
        assert (await house.deliveries("alice"))[PLAZA].state is DeliveryState.DELIVERED


async def test_the_posts_of_a_limited_account_are_not_moved_though_others_are_members(tmp_path: Path) -> None:
    async with open_house(tmp_path, world(), sessions_at_start=3) as house:
        await give_all(house, PLAZA)
        house.sandbox.add_fault({"error": "PEER_FLOOD", "method": SEND, "count": 1})
        for _ in range(3):
            await house.cycle("alice")
        assert senders(house, PLAZA) == []


@pytest.mark.parametrize("preview", [True, False])
async def test_an_account_that_the_groups_people_took_out_is_not_stood_in_for(tmp_path: Path, preview: bool) -> None:
    async with open_house(tmp_path, world(), sessions_at_start=3) as house:
        await give_all(house, PLAZA)
        await house.cycle("alice")
        [first] = senders(house, PLAZA)
        leave(house, first, "plaza01")
        house.sandbox.centre.chat("plaza01").kicked.add(house.sandbox.centre.account(first).id)
        for _ in range(2):
            if preview:
                report = await house.bots.preflight("alice", house.user("alice"))
                assert report.groups[0].session is None
            await house.cycle("alice")
            assert "was removed from this group" in str((await house.deliveries("alice"))[PLAZA].reason)
        assert senders(house, PLAZA) == [first]


def test_every_refusal_that_tells_of_no_membership_lets_others_try() -> None:
    told = {
        code
        for code, (_, text) in BY_CODE.items()
        if any(words in text for words in ("not a member", "does not know this group", "is not in it", "join first"))
    }
    assert told == NOT_A_MEMBER


async def said_and_done(house: House) -> tuple[dict[str, str | None], dict[str, str | None]]:
    """group → account: by the preview, and by the cycle after it."""
    report = await house.bots.preflight("alice", house.user("alice"))
    await house.cycle("alice")
    made = await house.deliveries("alice")
    done = {group: one.session if one.state is DeliveryState.DELIVERED else None for group, one in made.items()}
    return {check.group: check.session for check in report.groups}, done


async def test_the_preview_names_the_accounts_that_post_where_groups_are_private(tmp_path: Path) -> None:
    chats = [
        ChatSpec(key=f"private{number}", title="Private", invite=f"{INVITE}{number}", members=[f"acc0{1 + number % 3}"])
        for number in range(6)
    ]
    async with open_house(tmp_path, world(*chats), sessions_at_start=3) as house:
        await give_all(house, *(f"https://t.me/+{chat.invite}" for chat in chats))
        said, done = await said_and_done(house)
        assert said == done
        assert None not in said.values()
        assert house.user("alice").group_holds == {}, "nobody had to be refused to find out"


async def test_the_preview_names_the_accounts_that_post_when_some_left_since_the_last_cycle(tmp_path: Path) -> None:
    places = [f"plaza0{number}" for number in range(1, 6)]
    async with open_house(tmp_path, world(*(ChatSpec(username=one) for one in places)), sessions_at_start=3) as house:
        await give_all(house, *(f"@{one}" for one in places))
        await house.cycle("alice")
        for place in places[:3]:
            leave(house, senders(house, place)[0], place)
        said, done = await said_and_done(house)
        assert said == done
        assert None not in said.values()
        assert house.sandbox.report()["refused"] == []


async def test_a_cycle_without_a_preview_ends_with_the_accounts_a_preview_would_have_named(tmp_path: Path) -> None:
    chats = [
        ChatSpec(username=f"plaza0{number}", members=[f"acc0{1 + number % 3}", f"acc0{1 + (number + 1) % 3}"])
        for number in range(1, 7)
    ]
    groups = [f"@{chat.username}" for chat in chats]
    async with open_house(tmp_path / "one", world(*chats), sessions_at_start=3) as house:
        await give_all(house, *groups)
        said, _ = await said_and_done(house)
    async with open_house(tmp_path / "two", world(*chats), sessions_at_start=3) as house:
        await give_all(house, *groups)
        await house.cycle("alice")
        assert {group: senders(house, group)[0] for group in groups} == said


async def forwarding(house: House, *groups: str) -> None:
    """Alice forwards a message that acc02 alone can see."""
    await give_all(house, "-1001500000009")
    await house.cycle("alice")
    number = house.messages("source")[0]["id"]
    content = PostContent(message=f"https://t.me/c/1500000009/{number}")
    await house.change_user("alice", groups=groups, post_type=PostType.FORWARD, post_content=content, group_holds={})


def with_a_source() -> World:
    source = ChatSpec(key="source", title="Source", id=1_500_000_009, members=["acc02"])
    return world(source, *(ChatSpec(username=f"plaza0{number}") for number in range(1, 5)))


async def test_the_preview_names_the_accounts_that_see_the_message_to_forward(tmp_path: Path) -> None:
    groups = [f"@plaza0{number}" for number in range(1, 5)]
    async with open_house(tmp_path, with_a_source(), sessions_at_start=3) as house:
        await forwarding(house, *groups)
        said, done = await said_and_done(house)
        assert said == dict.fromkeys(groups, "acc02")
        assert {group: done[group] for group in groups} == said


async def test_what_one_account_cannot_see_is_forwarded_by_another_without_any_preview(tmp_path: Path) -> None:
    groups = [f"@plaza0{number}" for number in range(1, 5)]
    async with open_house(tmp_path, with_a_source(), sessions_at_start=3) as house:
        await forwarding(house, *groups)
        await house.cycle("alice")
        assert [senders(house, group) for group in groups] == [["acc02"]] * 4
        assert house.user("alice").group_holds == {}, "the groups it goes to are not to blame"


async def test_one_basic_group_nobody_knows_keeps_no_other_group_from_being_checked(tmp_path: Path) -> None:
    kitchen = ChatSpec(key="kitchen", title="Kitchen", kind="group", members=["acc01"])
    foreign = ChatSpec(key="foreign", title="Foreign", kind="group", members=["acc02"])
    async with open_house(
        tmp_path, world(kitchen, foreign, ChatSpec(username="plaza01"), accounts=2), sessions_at_start=1
    ) as house:
        known, empty = (f"-{house.sandbox.centre.chat(key).id}" for key in ("kitchen", "foreign"))
        await house.add_user("alice", ["-4567", empty, known, PLAZA])
        await house.give_sessions("alice")
        said, done = await said_and_done(house)
        assert said == done == {"-4567": None, empty: None, known: "acc01", PLAZA: "acc01"}
        report = await house.bots.preflight("alice", house.user("alice"))
        assert [check.accounts[0].can_post for check in report.groups] == [False, False, True, True]
        assert house.store.snapshot.sessions["acc01"].hold is None, "an unknown group is no fault of the account"


async def test_a_basic_group_nobody_knows_costs_the_cycle_that_group_alone(tmp_path: Path) -> None:
    async with open_house(tmp_path, world(accounts=1)) as house:
        await house.add_user("alice", ["-4567", PLAZA])
        await house.cycle("alice")
        made = await house.deliveries("alice")
        assert (made["-4567"].state, made["-4567"].error) == (DeliveryState.FAILED, "CHAT_ID_INVALID")
        assert made[PLAZA].state is DeliveryState.DELIVERED
        assert house.store.snapshot.sessions["acc01"].hold is None


@pytest.mark.parametrize(
    "method", ["channels.getFullChannel", "messages.getForumTopicsByID", "messages.checkChatInvite"]
)
async def test_one_chat_that_refuses_a_question_keeps_no_other_group_from_being_checked(
    tmp_path: Path, method: str
) -> None:
    slow = ChatSpec(username="slow01", slow_mode=60, invite=INVITE)
    forum = ChatSpec(username="forum01", kind="forum", topics=["Buy"])
    async with open_house(tmp_path, world(slow, forum, ChatSpec(username="plaza01"), accounts=1)) as house:
        house.sandbox.add_fault({"error": "CHANNEL_PRIVATE", "method": method})
        topic = max(house.sandbox.centre.chat("forum01").topics)
        await house.add_user("alice", ["@slow01", f"@forum01/{topic}", f"https://t.me/+{INVITE}", PLAZA])
        await house.give_sessions("alice")
        report = await house.bots.preflight("alice", house.user("alice"))
        assert report.accounts[0].reason is None
        assert report.groups[3].session == "acc01"
        assert report.groups[3].accounts[0].can_post
