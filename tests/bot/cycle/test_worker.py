"""One cycle against a data centre that misbehaves: what lands, what is written down, what the user reads."""

import asyncio
import base64
from datetime import timedelta, timezone
from pathlib import Path

import pytest

from bot.cycle.run import CycleControl, StopReason
from core.errors import NoSpareSession
from core.models import (
    BotStatus,
    DeliveryState,
    Media,
    Poll,
    PostContent,
    PostType,
    Schedule,
    SessionState,
    TextFormat,
)
from sandbox.world import demo_world
from sessions.roster.assignment import BAN_WAVE
from tests.support.house import House, house_on, open_house, until

G1, G2, G3 = "@plaza01", "@plaza02", "@plaza03"
SEND = "messages.sendMessage"
PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


async def test_every_group_gets_the_post_once_and_the_journal_knows_its_message_id(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        await house.add_user("alice", [G1, G2, G3])
        await house.cycle("alice")
        assert [house.texts(group) for group in (G1, G2, G3)] == [["Hello from alice"]] * 3
        for group, delivery in (await house.deliveries("alice")).items():
            assert delivery.state is DeliveryState.DELIVERED
            assert [message["id"] for message in house.messages(group)] == [delivery.message_id]
            assert [message["random_id"] for message in house.messages(group)] == [delivery.random_id]
        assert house.journal.stats("alice").total_success == 3


async def test_a_repeated_random_id_is_told_at_once_and_not_after_seconds_of_waiting(tmp_path: Path) -> None:
    world = demo_world()
    world.repeats = "error"
    async with open_house(tmp_path, world, send_timeout_seconds=1.0) as house:
        house.sandbox.add_fault({"do": "drop_after", "method": SEND, "count": 1})
        await house.add_user("alice", [G1])
        await house.cycle("alice")
        assert house.texts(G1) == ["Hello from alice"]
        assert (await house.deliveries("alice"))[G1].state is DeliveryState.DELIVERED
        assert len(house.sandbox.report()["dedup_hits"]) == 1


async def test_a_chat_that_never_answers_does_not_use_up_the_tries_of_the_others(tmp_path: Path) -> None:
    async with open_house(tmp_path, accounts=1, send_timeout_seconds=0.2) as house:
        house.sandbox.add_fault({"do": "ignore", "method": SEND, "chat": "plaza01"})
        await house.add_user("alice", [G1, G2, G3])
        control = CycleControl()
        await house.give_sessions("alice")
        cycle = asyncio.create_task(house.cycle("alice", control))
        await until(lambda: house.texts(G2) and house.texts(G3), "the posts to the groups that answer")
        control.end(StopReason.STOPPED)
        await cycle
        ends = {group: delivery.state for group, delivery in (await house.deliveries("alice")).items()}
        assert ends == {G1: DeliveryState.UNKNOWN, G2: DeliveryState.DELIVERED, G3: DeliveryState.DELIVERED}


async def test_when_the_post_itself_is_refused_accounts_that_pause_do_not_pause_on(tmp_path: Path) -> None:
    async with open_house(tmp_path, sessions_at_start=2) as house:
        await house.add_user("alice", [G1, G2, G3, "@plaza04"], delay_between_posts=3600.0)
        late = {"do": "delay", "method": "contacts.resolveUsername", "account": "acc01", "seconds": 1.5}
        house.sandbox.add_fault(late)
        house.sandbox.add_fault({"error": "MESSAGE_EMPTY", "method": SEND, "account": "acc01"})
        await house.cycle("alice")  # bounded: an hour's pause would not end in time
        assert sum(len(house.texts(group)) for group in (G1, G2, G3, "@plaza04")) == 1, "one account was pausing"
        assert [event.action for event in house.events("alice")].count("content_refused") == 1


async def test_a_long_flood_wait_rests_the_account_and_no_other_account_posts_for_it(tmp_path: Path) -> None:
    async with open_house(tmp_path, sessions_at_start=2) as house:
        house.sandbox.add_fault({"error": "FLOOD_WAIT_600", "method": SEND, "account": "acc01"})
        await house.add_user("alice", [G1, G2, G3])
        await house.cycle("alice")
        by_account = {group: {message["sender"] for message in house.messages(group)} for group in (G1, G2, G3)}
        assert set().union(*by_account.values()) == {"acc02"}
        left_out = [group for group, senders in by_account.items() if not senders]
        assert left_out
        deliveries = await house.deliveries("alice")
        assert {deliveries[group].state for group in left_out} == {DeliveryState.SKIPPED}
        floods = house.sandbox.report()["floods"]

        await house.cycle("alice")
        assert house.sandbox.report()["floods"] == floods, "it was not even asked again before its time"
        assert {group for group in (G1, G2, G3) if not house.texts(group)} == set(left_out)


async def test_a_group_that_refuses_is_paused_with_a_reason_and_never_taken_off_the_list(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        house.sandbox.add_fault({"error": "CHAT_WRITE_FORBIDDEN", "method": SEND, "chat": "plaza01"})
        await house.add_user("alice", [G1, G2])
        await house.cycle("alice")
        assert house.user("alice").groups == (G1, G2)
        failed = (await house.deliveries("alice"))[G1]
        assert (failed.state, failed.error) == (DeliveryState.FAILED, "CHAT_WRITE_FORBIDDEN")
        [hold] = house.user("alice").group_holds[G1].values()
        assert hold.count == 1
        assert house.texts(G2) == ["Hello from alice"]

        refusals = len(house.sandbox.report()["refused"])
        await house.cycle("alice")
        assert len(house.sandbox.report()["refused"]) == refusals, "a paused group is not asked again"
        assert (await house.deliveries("alice"))[G1].state is DeliveryState.SKIPPED


async def test_a_banned_account_is_replaced_and_its_posts_go_to_the_spare(tmp_path: Path) -> None:
    async with open_house(tmp_path, sessions_at_start=2) as house:
        house.sandbox.ban("acc01")
        await house.add_user("alice", [G1, G2, G3])
        await house.cycle("alice")
        assert [house.texts(group) for group in (G1, G2, G3)] == [["Hello from alice"]] * 3
        user = house.user("alice")
        assert user.assigned_sessions == ("acc02", "acc03")
        assert [(ban.name, ban.replaced_by) for ban in user.banned_sessions] == [("acc01", "acc03")]
        assert house.store.snapshot.sessions["acc01"].state is SessionState.BANNED
        assert (house.settings.state_dir / "sessions" / "banned" / "acc01.session").exists()
        assert "acc01 was replaced by acc03" in house.said("alice")


async def test_without_a_spare_the_other_accounts_take_over_and_the_user_is_told(tmp_path: Path) -> None:
    async with open_house(tmp_path, accounts=2, sessions_at_start=2) as house:
        house.sandbox.ban("acc01")
        await house.add_user("alice", [G1, G2, G3])
        await house.cycle("alice")
        assert [house.texts(group) for group in (G1, G2, G3)] == [["Hello from alice"]] * 3
        assert "was not replaced" in house.said("alice")


async def test_a_wave_of_bans_stops_the_bot_and_spends_one_spare_at_most(tmp_path: Path) -> None:
    async with open_house(tmp_path, accounts=7, sessions_at_start=4) as house:
        for account in ("acc01", "acc02", "acc03"):
            house.sandbox.ban(account)
        await house.add_user("alice", [f"@plaza0{n}" for n in range(1, 7)], bot_status=BotStatus.RUNNING)
        await house.cycle("alice")
        user = house.user("alice")
        assert (user.bot_status, user.status_reason) == (BotStatus.STOPPING, BAN_WAVE)
        assert sum(ban.replaced_by is not None for ban in user.banned_sessions) <= 1
        assert "banned within a short time" in house.said("alice")


async def test_when_every_account_is_gone_the_cycle_says_so(tmp_path: Path) -> None:
    async with open_house(tmp_path, accounts=1) as house:
        house.sandbox.ban("acc01")
        await house.add_user("alice", [G1])
        await house.cycle("alice")
        assert (await house.deliveries("alice"))[G1].state is DeliveryState.SKIPPED
        with pytest.raises(NoSpareSession):
            await house.cycles.begin("alice", CycleControl())


async def test_a_revoked_login_asks_for_a_new_one_and_is_not_replaced(tmp_path: Path) -> None:
    async with open_house(tmp_path, sessions_at_start=2) as house:
        house.sandbox.ban("acc01", "revoked")
        await house.add_user("alice", [G1, G2, G3])
        await house.cycle("alice")
        assert house.store.snapshot.sessions["acc01"].state is SessionState.NEEDS_LOGIN
        assert house.user("alice").assigned_sessions == ("acc01", "acc02")
        assert [house.texts(group) for group in (G1, G2, G3)] == [["Hello from alice"]] * 3


async def test_refused_content_fails_everywhere_with_one_explanation(tmp_path: Path) -> None:
    async with open_house(tmp_path, sessions_at_start=1) as house:
        house.sandbox.add_fault({"error": "MESSAGE_TOO_LONG", "method": SEND})
        await house.add_user("alice", [G1, G2, G3])
        await house.cycle("alice")
        assert {delivery.state for delivery in (await house.deliveries("alice")).values()} == {DeliveryState.FAILED}
        assert len(house.sandbox.report()["refused"]) == 1
        assert house.said("alice").count("refused the post itself") == 1


async def test_a_group_taken_off_the_list_during_a_cycle_gets_no_post(tmp_path: Path) -> None:
    async with open_house(tmp_path, sessions_at_start=1) as house:
        await house.add_user("alice", [G1, G2, G3], delay_between_posts=0.5)
        cycle = asyncio.create_task(house.cycle("alice"))
        await until(lambda: sum(bool(house.texts(group)) for group in (G1, G2, G3)) == 1, "the first post")
        rest = [group for group in (G1, G2, G3) if not house.texts(group)]
        await house.change_user("alice", groups=tuple(group for group in (G1, G2, G3) if group != rest[1]))
        await cycle
        assert house.texts(rest[0]) == ["Hello from alice"]
        assert house.texts(rest[1]) == []
        delivery = (await house.deliveries("alice"))[rest[1]]
        assert (delivery.state, delivery.reason) == (DeliveryState.SKIPPED, "you took it off your list")


async def end_after_the_first_of_three_posts(house: House, why: StopReason) -> None:
    await house.add_user("alice", [G1, G2, G3], delay_between_posts=30.0)
    control = CycleControl()
    cycle = asyncio.create_task(house.cycle("alice", control))
    await until(lambda: any(house.texts(group) for group in (G1, G2, G3)), "the first post")
    control.end(why)
    await cycle


async def test_a_stop_now_finishes_the_post_in_flight_and_closes_the_rest(tmp_path: Path) -> None:
    async with open_house(tmp_path, sessions_at_start=1) as house:
        await end_after_the_first_of_three_posts(house, StopReason.STOPPED)
        states = [delivery.state for delivery in (await house.deliveries("alice")).values()]
        assert sorted(states) == [DeliveryState.DELIVERED, DeliveryState.SKIPPED, DeliveryState.SKIPPED]
        assert await house.journal.unfinished_cycle("alice") is None


async def test_a_cycle_cut_off_by_a_shutdown_goes_on_with_the_same_posts(tmp_path: Path) -> None:
    async with open_house(tmp_path, sessions_at_start=1) as house:
        await end_after_the_first_of_three_posts(house, StopReason.SHUTDOWN)
        planned = {group: delivery.random_id for group, delivery in (await house.deliveries("alice")).items()}
        await house.change_user("alice", post_content="Something new", delay_between_posts=0.0)
        await house.cycle("alice")
        assert [house.texts(group) for group in (G1, G2, G3)] == [["Hello from alice"]] * 3
        assert {group: delivery.random_id for group, delivery in (await house.deliveries("alice")).items()} == planned


async def test_a_cycle_that_goes_on_waits_for_a_short_rest_of_its_account_as_if_nothing_had_happened(
    tmp_path: Path,
) -> None:
    async with open_house(tmp_path, sessions_at_start=1) as house:
        await end_after_the_first_of_three_posts(house, StopReason.SHUTDOWN)
        rests_until = house.services.clock.now() + timedelta(seconds=1)
        await house.services.sessions.hold("acc01", rests_until, "FLOOD_WAIT", "Telegram asked this account to wait")
        await house.change_user("alice", delay_between_posts=0.0)
        await house.cycle("alice")
        assert [len(house.texts(group)) for group in (G1, G2, G3)] == [1, 1, 1]


async def test_usernames_are_looked_up_once_an_account_even_after_a_restart(tmp_path: Path) -> None:
    def look_ups(house: House) -> int:
        return sum(house.sandbox.report()["rpc"].get("contacts.resolveUsername", {}).values())

    async with open_house(tmp_path) as house:
        await house.add_user("alice", [G1, G2, G3])
        await house.cycle("alice")
        await house.cycle("alice")
        assert look_ups(house) == 3
        await house.services.clients.close()
        await house.journal.close()
        await house.store.close()
        async with house_on(tmp_path, house.sandbox) as again:
            await again.cycle("alice")
            assert look_ups(again) == 3
            assert len(again.texts(G1)) == 3


async def test_posts_of_several_kinds_take_turns_cycle_by_cycle(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        photo = house.settings.state_dir / "media" / "alice" / "cat.png"
        photo.parent.mkdir(parents=True)
        photo.write_bytes(PIXEL)
        posts = (
            PostContent(text="<b>Post</b> {n} for {group}", format=TextFormat.HTML),
            PostContent(type=PostType.PHOTO, text="A cat", media=(Media(file="cat.png"),)),
            PostContent(type=PostType.POLL, poll=Poll(question="Tea?", answers=("yes", "no"))),
        )
        await house.add_user("alice", [G1, G2], post_content=PostContent(posts=posts))
        for _ in range(4):
            await house.cycle("alice")
        for group in (G1, G2):
            title = house.sandbox.report()["chats"][group[1:]]["title"]
            assert house.texts(group) == [f"Post 1 for {title}", "A cat", "", f"Post 4 for {title}"]
        assert house.journal.stats("alice").total_success == 8


async def test_a_file_that_is_gone_fails_the_post_everywhere_and_names_the_file(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        content = PostContent(media=(Media(file="gone.png"),))
        await house.add_user("alice", [G1, G2], post_type=PostType.PHOTO, post_content=content)
        await house.cycle("alice")
        assert {delivery.state for delivery in (await house.deliveries("alice")).values()} == {DeliveryState.FAILED}
        assert "gone.png" in house.said("alice")


async def test_an_account_that_made_its_posts_of_the_day_rests_and_the_user_reads_why(tmp_path: Path) -> None:
    async with open_house(tmp_path, daily_posts_per_account=2, sessions_at_start=1) as house:
        await house.add_user("alice", [G1, G2, G3])
        await house.cycle("alice")
        assert sum(len(house.texts(group)) for group in (G1, G2, G3)) == 2
        assert "made its 2 posts of 24 hours" in house.said("alice")


async def test_several_groups_in_a_row_that_ban_the_account_mean_the_account_is_limited(tmp_path: Path) -> None:
    async with open_house(tmp_path, sessions_at_start=1) as house:
        house.sandbox.add_fault({"error": "USER_BANNED_IN_CHANNEL", "method": SEND})
        await house.add_user("alice", [f"@plaza0{number}" for number in range(1, 7)])
        await house.cycle("alice")
        assert len(house.sandbox.report()["refused"]) == 3, "after the third it asks no further"
        hold = house.store.snapshot.sessions["acc01"].hold
        assert hold is not None
        assert (hold.until - house.services.clock.now()).total_seconds() > 23 * 3600


async def test_an_account_that_is_not_in_a_group_hands_it_to_one_that_is(tmp_path: Path) -> None:
    world = demo_world(accounts=2, groups=3)
    for chat in world.chats:
        chat.members = ["acc02"]
    async with open_house(tmp_path, world, sessions_at_start=2) as house:
        await house.add_user("alice", [G1, G2, G3])
        await house.cycle("alice")
        await house.cycle("alice")
        assert all(house.texts(group) for group in (G1, G2, G3))
        senders = {message["sender"] for group in (G1, G2, G3) for message in house.messages(group)}
        assert senders == {"acc02"}
        assert house.sandbox.report()["rpc"][SEND].keys() == {"acc02"}, "nobody posts where it is no member"


async def test_a_session_file_that_cannot_be_opened_is_told_in_words_and_holds_nobody_up(tmp_path: Path) -> None:
    async with open_house(tmp_path, sessions_at_start=2) as house:
        await house.add_user("alice", [G1, G2, G3])
        await house.give_sessions("alice")
        (house.settings.state_dir / "sessions" / "assigned" / "acc01.session").write_bytes(b"junk")
        await house.cycle("alice")
        assert all(house.texts(group) for group in (G1, G2, G3))
        assert "the session file of acc01 cannot be opened" in house.said("alice")
        assert house.store.snapshot.sessions["acc01"].hold is None


async def test_date_and_time_in_a_post_are_those_of_its_users_time_zone(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        schedule = Schedule(timezone="Asia/Kathmandu")
        await house.add_user("alice", [G1], post_content="{date} {time}", schedule=schedule)
        before = house.services.clock.now()
        await house.cycle("alice")
        there = timezone(timedelta(hours=5, minutes=45))
        moments = {f"{moment.astimezone(there):%Y-%m-%d %H:%M}" for moment in (before, house.services.clock.now())}
        assert set(house.texts(G1)) <= moments
        assert house.texts(G1)
