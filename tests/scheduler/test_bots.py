"""Starting and stopping bots while cycles run, against the real data centre."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from core.errors import NoContent, NoGroups, NoSpareSession, UnknownUser
from core.models import BotStatus, Cycle, Delivery, DeliveryState, PostContent, PostType, Schedule
from data.users.data_manager import DataManager, Transaction
from scheduler.turns import EMPTY_CYCLE_REST_SECONDS
from tests.support.house import SOON, House, open_house, until

G1, G2, G3 = "@plaza01", "@plaza02", "@plaza03"


@contextlib.asynccontextmanager
async def running_house(folder: Path, **options: Any) -> AsyncIterator[House]:
    """A house whose scheduler ticks."""
    async with open_house(folder, **options) as house:
        await house.scheduler.take_over()
        ticking = asyncio.create_task(house.scheduler.run())
        try:
            yield house
        finally:
            await house.scheduler.leave(5)
            await ticking


async def test_a_started_bot_posts_at_once_and_again_after_its_delay(tmp_path: Path) -> None:
    async with running_house(tmp_path, tick_seconds=30) as house:
        await house.add_user("alice", [G1], delay_between_cycles=0.05)
        change = await house.bots.start("alice")
        assert (change.status, change.changed) == (BotStatus.RUNNING, True)
        await until(lambda: len(house.texts(G1)) >= 3, "three cycles, without waiting for a tick")


async def test_starting_twice_changes_nothing(tmp_path: Path) -> None:
    async with running_house(tmp_path) as house:
        await house.add_user("alice", [G1], schedule=Schedule(cron=("0 0 29 2 *",)))  # no cycle changes anything either
        await house.bots.start("alice")
        revision = house.user("alice").revision
        again = await house.bots.start("alice")
        assert (again.changed, again.text) == (False, "The bot is running already")
        assert house.user("alice").revision == revision


async def test_what_is_missing_is_named_and_nothing_is_spent(tmp_path: Path) -> None:
    async with running_house(tmp_path, accounts=1) as house:
        with pytest.raises(UnknownUser):
            await house.bots.start("nobody")
        await house.add_user("alice", [])
        with pytest.raises(NoGroups):
            await house.bots.start("alice")
        await house.change_user("alice", groups=(G1,), post_content="  ")
        with pytest.raises(NoContent):
            await house.bots.start("alice")
        assert house.user("alice").assigned_sessions == ()
        await house.change_user("alice", post_content="Hi")
        await house.bots.start("alice")
        await house.add_user("bob", [G1])
        with pytest.raises(NoSpareSession):
            await house.bots.start("bob")
        assert house.user("bob").bot_status is BotStatus.STOPPED


async def test_a_stop_during_a_cycle_lets_it_finish_and_begins_no_other(tmp_path: Path) -> None:
    async with running_house(tmp_path, sessions_at_start=1) as house:
        await house.add_user("alice", [G1, G2, G3], delay_between_posts=0.2, delay_between_cycles=0.0)
        await house.bots.start("alice")
        await until(lambda: any(house.texts(group) for group in (G1, G2, G3)), "the first post")
        change = await house.bots.stop("alice")
        assert (change.status, change.changed) == (BotStatus.STOPPING, True)
        assert house.bots.progress("alice") is not None
        await until(lambda: house.user("alice").bot_status is BotStatus.STOPPED, "the bot to stop")
        assert [len(house.texts(group)) for group in (G1, G2, G3)] == [1, 1, 1]
        assert house.user("alice").next_run_at is None


async def test_a_second_stop_ends_the_cycle_after_the_post_in_flight(tmp_path: Path) -> None:
    async with running_house(tmp_path, sessions_at_start=1) as house:
        await house.add_user("alice", [G1, G2, G3], delay_between_posts=30.0)
        await house.bots.start("alice")
        await until(lambda: any(house.texts(group) for group in (G1, G2, G3)), "the first post")
        await house.bots.stop("alice")
        await house.bots.stop("alice")
        await until(lambda: house.user("alice").bot_status is BotStatus.STOPPED, "the bot to stop")
        assert sum(len(house.texts(group)) for group in (G1, G2, G3)) == 1


async def test_a_start_while_it_is_stopping_goes_on_with_the_next_cycle(tmp_path: Path) -> None:
    async with running_house(tmp_path, sessions_at_start=1) as house:
        await house.add_user("alice", [G1, G2], delay_between_posts=0.2, delay_between_cycles=0.0)
        await house.bots.start("alice")
        await until(lambda: any(house.texts(group) for group in (G1, G2)), "the first post")
        await house.bots.stop("alice")
        assert (await house.bots.start("alice")).changed
        await until(lambda: len(house.texts(G1)) >= 2, "the next cycle")
        assert house.user("alice").bot_status is BotStatus.RUNNING


async def test_a_stopped_bot_stays_stopped_when_asked_again(tmp_path: Path) -> None:
    async with running_house(tmp_path) as house:
        await house.add_user("alice", [G1])
        change = await house.bots.stop("alice")
        assert (change.status, change.changed) == (BotStatus.STOPPED, False)


async def test_a_slow_user_never_holds_up_another(tmp_path: Path) -> None:
    async with running_house(tmp_path, sessions_at_start=1, send_timeout_seconds=3) as house:
        house.sandbox.add_fault({"do": "silent", "account": "acc01", "method": "messages.sendMessage"})
        await house.add_user("alice", [G1])
        await house.add_user("bob", [G2], delay_between_cycles=0.0)
        await house.bots.start("alice")
        await house.bots.start("bob")
        await until(lambda: len(house.texts(G2)) >= 3, "three cycles of bob while alice hangs")
        assert house.bots.progress("alice") is not None


async def test_sending_has_slots_of_its_own_apart_from_connections(tmp_path: Path) -> None:
    async with running_house(tmp_path, max_concurrent_sends=1, sessions_at_start=1) as house:
        await house.add_user("alice", [G1])
        async with house.services.sends.taken_by("somebody else"):
            await house.bots.start("alice")
            await until(lambda: house.services.sends.is_waiting("alice"), "alice to wait for a turn to send")
            assert house.services.clients.open == 1
            assert house.texts(G1) == []
        await until(lambda: house.texts(G1), "the post")


async def test_a_user_with_five_groups_is_not_starved_by_one_with_five_hundred(tmp_path: Path) -> None:
    everywhere = [f"@plaza{number:02}" for number in range(1, 501)]
    async with running_house(tmp_path, accounts=6, groups=500, max_concurrent_sessions=1) as house:
        await house.add_user("big", everywhere)
        await house.add_user("small", everywhere[:5])
        await house.bots.start("big")
        await until(lambda: said(house, "big") >= 3, "the big cycle to be under way")
        before = said(house, "big")
        await house.bots.start("small")
        await until(lambda: said(house, "small") == 5, "the small user's posts")
        assert said(house, "big") <= before + 20, "turn by turn, not after all of the big one's"
        await until(lambda: said(house, "big") == 500, "the big user's posts, none of them lost")
        ids = [message["random_id"] for group in everywhere for message in house.messages(group)]
        assert len(ids) == len(set(ids)) == 505


async def test_while_one_user_rests_between_posts_another_has_the_connection(tmp_path: Path) -> None:
    async with running_house(tmp_path, max_concurrent_sessions=1, sessions_at_start=1) as house:
        await house.add_user("slow", [G1, G2], delay_between_posts=3600.0)
        await house.add_user("quick", [G1, G2])
        await house.bots.start("slow")
        await until(lambda: said(house, "slow") == 1, "the first post of the one who rests an hour now")
        await house.bots.start("quick")
        await until(lambda: said(house, "quick") == 2, "both posts of the other")


def said(house: House, user: str) -> int:
    """How many posts of the user stand in the chats."""
    return house.journal.stats(user).total_success


async def test_an_idle_daemon_takes_in_what_a_command_wrote(tmp_path: Path) -> None:
    async with running_house(tmp_path, sessions_at_start=1, tick_seconds=0.2) as house:
        await house.add_user("alice", [G1], bot_status=BotStatus.STOPPED)
        await house.give_sessions("alice")
        command = DataManager.open(house.settings.state_dir, house.services.clock)

        def change(tx: Transaction) -> None:
            now = house.services.clock.now()
            tx.put_user("alice", replace(tx.user("alice"), groups=(G2,), bot_status=BotStatus.RUNNING, next_run_at=now))

        await command.transact(change)
        await until(
            lambda: house.texts(G2), "the post of the bot the command set running, though nothing else happened"
        )
        assert house.user("alice").groups == (G2,), "dashboards are told"
        await command.transact(lambda tx: tx.put_user("alice", replace(tx.user("alice"), bot_status=BotStatus.STOPPED)))
        await until(lambda: house.user("alice").bot_status is BotStatus.STOPPED, "the stop to be noticed")
        await until(lambda: house.scheduler.register.waiting == 0, "nobody to be due any more")
        await command.close()


async def test_a_stop_that_comes_just_before_a_due_cycle_begins_lets_nothing_be_posted(tmp_path: Path) -> None:
    async with running_house(tmp_path, sessions_at_start=1) as house:
        await house.add_user("alice", [G1], bot_status=BotStatus.RUNNING)
        await house.give_sessions("alice")
        begun, done = threading.Event(), threading.Event()

        def hold_up_others(_: Transaction) -> None:
            begun.set()
            done.wait(SOON)

        busy = asyncio.create_task(house.store.transact(hold_up_others))
        await until(begun.is_set, "whatever is written to wait")
        stopping = asyncio.create_task(house.bots.stop("alice"))
        await asyncio.sleep(0)
        house.scheduler.wake("alice", house.services.clock.now())
        await until(lambda: "alice" in house.scheduler.running, "the tick to start the cycle")
        done.set()
        await asyncio.gather(busy, stopping)
        await until(lambda: not house.scheduler.running, "its end")
        await until(lambda: house.user("alice").bot_status is BotStatus.STOPPED, "the bot to be stopped")
        await until(lambda: house.events("alice")[-1].action == "bot_stopped", "the user to be told")
        assert (house.texts(G1), house.user("alice").cycles) == ([], 0)


async def test_racing_starts_and_stops_end_in_the_last_wanted_state_without_overlapping_cycles(tmp_path: Path) -> None:
    async with running_house(tmp_path, accounts=6, sessions_at_start=1) as house:
        users = [f"user{number}" for number in range(6)]
        for number, user in enumerate(users, 1):
            await house.add_user(user, [f"@plaza0{number}"], delay_between_cycles=0.0)

        async def fight(user: str) -> None:
            for _ in range(8):
                await asyncio.gather(house.bots.start(user), house.bots.stop(user), house.bots.start(user))
            await house.bots.stop(user)

        await asyncio.gather(*(fight(user) for user in users))
        await until(lambda: all(house.user(user).bot_status is BotStatus.STOPPED for user in users), "all to stop")
        for number, user in enumerate(users, 1):
            ids = [message["random_id"] for message in house.messages(f"@plaza0{number}")]
            assert len(ids) == len(set(ids))
            assert await house.journal.unfinished_cycle(user) is None
        assert not house.scheduler.running


async def left_behind(house: House, state: DeliveryState) -> None:
    """Alice's bot waits, with a cycle that broke off: the post to G1 was in that state, the one to G2 planned."""
    await house.add_user("alice", [G1, G2], bot_status=BotStatus.RUNNING)
    (name,) = await house.give_sessions("alice")
    now = house.services.clock.now()
    cycle = Cycle(id=1, user="alice", post_type=PostType.TEXT, post_content=PostContent(text="Old"), started_at=now)
    planned = [
        Delivery(user="alice", cycle=1, group=group, session=name, random_id=number, planned_at=now)
        for number, group in enumerate((G1, G2), 1)
    ]
    first, _ = await house.journal.plan_cycle(cycle, planned)
    await house.journal.update(replace(first, state=state))


@pytest.mark.parametrize(("before", "now"), [(BotStatus.RUNNING, True), (BotStatus.STOPPING, False)])
async def test_a_cycle_that_waited_when_its_bot_was_stopped_at_once_or_twice_is_not_gone_on_with(
    tmp_path: Path, before: BotStatus, now: bool
) -> None:
    async with running_house(tmp_path, sessions_at_start=1) as house:
        await left_behind(house, DeliveryState.PLANNED)
        await house.change_user("alice", bot_status=before)
        await house.bots.stop("alice", now=now)
        await house.bots.start("alice")
        await until(lambda: house.texts(G2), "the new cycle")
        await until(lambda: not house.scheduler.running, "its end")
        assert (house.texts(G1), house.texts(G2)) == (["Hello from alice"], ["Hello from alice"])
        assert "Left out @plaza02: the bot was stopped" in house.said("alice")
        assert not house.user("alice").drop_unfinished


async def test_of_a_cycle_that_was_let_go_only_the_post_in_flight_is_finished(tmp_path: Path) -> None:
    async with running_house(tmp_path, sessions_at_start=1) as house:
        await left_behind(house, DeliveryState.SENDING)
        await house.bots.stop("alice", now=True)
        await house.bots.start("alice")
        await until(lambda: house.texts(G1), "the post that was in flight")
        await until(lambda: not house.scheduler.running, "its end")
        assert (house.texts(G1), house.texts(G2)) == (["Old"], [])


async def test_a_bot_that_was_only_stopped_goes_on_with_its_cycle_when_it_starts_again(tmp_path: Path) -> None:
    async with running_house(tmp_path, sessions_at_start=1) as house:
        await left_behind(house, DeliveryState.PLANNED)
        await house.bots.stop("alice")
        await house.bots.start("alice")
        await until(lambda: house.texts(G2), "what was left")
        await until(lambda: not house.scheduler.running, "its end")
        assert (house.texts(G1), house.texts(G2)) == (["Old"], ["Old"])


async def test_after_a_restart_bots_are_stopped_unless_the_setting_resumes_them(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        await house.add_user("alice", [G1], bot_status=BotStatus.RUNNING)
        await house.add_user("bob", [G1], bot_status=BotStatus.STOPPING)
        await house.scheduler.take_over()
        assert {house.user(name).bot_status for name in ("alice", "bob")} == {BotStatus.STOPPED}
        assert "restarted" in (house.user("alice").status_reason or "")
    async with open_house(tmp_path / "other", resume_on_start=True) as house:
        await house.add_user("alice", [G1], bot_status=BotStatus.RUNNING)
        await house.add_user("bob", [G1], bot_status=BotStatus.STOPPING)
        await house.scheduler.take_over()
        assert house.user("alice").bot_status is BotStatus.RUNNING
        assert house.user("bob").bot_status is BotStatus.STOPPED


async def test_a_bot_without_any_account_left_stops_and_says_why(tmp_path: Path) -> None:
    async with running_house(tmp_path, accounts=1) as house:
        await house.add_user("alice", [G1], delay_between_cycles=0.0)
        house.sandbox.ban("acc01")
        await house.bots.start("alice")
        await until(lambda: house.user("alice").bot_status is BotStatus.ERROR, "the bot to stop")
        assert "no account is left" in (house.user("alice").status_reason or "")


async def test_cycles_in_which_nothing_can_be_posted_do_not_follow_each_other_without_rest(tmp_path: Path) -> None:
    async with running_house(tmp_path, sessions_at_start=1) as house:
        house.sandbox.add_fault({"error": "CHAT_WRITE_FORBIDDEN", "method": "messages.sendMessage"})
        await house.add_user("alice", [G1], delay_between_cycles=0.0)
        await house.bots.start("alice")

        def ends() -> list[datetime]:
            return [event.at for event in house.events("alice") if event.action == "cycle_finished"]

        await until(lambda: len(ends()) == 2, "the second cycle")
        first, second = ends()
        assert (second - first).total_seconds() >= EMPTY_CYCLE_REST_SECONDS

        def planned() -> datetime:
            return house.user("alice").next_run_at or first

        await until(lambda: planned() > second, "the entry of the third")
        assert (planned() - second).total_seconds() >= 2 * EMPTY_CYCLE_REST_SECONDS, "longer each time"
        assert (await house.bots.stop("alice")).status is BotStatus.STOPPED, "nobody waits for the rest to end"
