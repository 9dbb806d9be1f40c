"""Starts and stops that race: the last wish holds, and no user's cycles ever overlap."""

import asyncio
import random
from collections import defaultdict
from pathlib import Path

from core.models import BotStatus
from tests.scheduler.test_bots import running_house
from tests.support.house import House, until

USERS = 50
PAIRS = ",".join(f"{number}:{number:032x}" for number in range(2001, 2021))
CHANGES_A_USER = 10


async def test_500_racing_starts_and_stops_of_50_users_end_as_last_wished_without_overlapping_cycles(
    tmp_path: Path,
) -> None:
    chance = random.Random(7)
    async with running_house(tmp_path, api_pairs=PAIRS, accounts=2 * USERS, groups=2, sessions_at_start=2) as house:
        users = [f"user{number:02}" for number in range(USERS)]
        for user in users:
            await house.add_user(user, ["@plaza01", "@plaza02"], post_content=user, delay_between_cycles=0.0)
        wished: dict[str, str] = {}

        async def wish(user: str) -> None:
            for step in range(CHANGES_A_USER):
                wished[user] = chance.choices(["start", "stop", "now"], (6, 3, 1))[0] if step else "start"
                if wished[user] == "start":
                    await house.bots.start(user)
                else:
                    await house.bots.stop(user, now=wished[user] == "now")
                await asyncio.sleep(chance.random() / 5)

        await asyncio.gather(*(wish(user) for user in users))
        stopped = [user for user in users if wished[user] != "start"]
        running = [user for user in users if wished[user] == "start"]
        assert stopped
        assert running
        await until(lambda: all(house.user(user).bot_status is BotStatus.STOPPED for user in stopped), "all to stop")
        assert {house.user(user).bot_status for user in running} == {BotStatus.RUNNING}
        await asyncio.gather(*(house.bots.stop(user) for user in running))
        await until(lambda: not house.scheduler.running, "the last cycles to end")
        await check_order(house, users)


async def check_order(house: House, users: list[str]) -> None:
    """By the data centre's own log: each post once, and none of a cycle after one of the next cycle."""
    messages = house.messages("@plaza01") + house.messages("@plaza02")
    log = sorted(messages, key=lambda message: message["seq"])
    ids = [message["random_id"] for message in log]
    assert len(ids) == len(set(ids)), "no post is doubled"
    cycle_of: dict[int, int] = {}
    for user in users:
        for delivery in await house.journal.deliveries(user, limit=10_000):
            cycle_of[delivery.random_id] = delivery.cycle
    cycles: dict[str, list[int]] = defaultdict(list)
    for message in log:
        cycles[message["text"]].append(cycle_of[message["random_id"]])
    assert len(cycles) > USERS / 2, "most came to post in between"
    assert any(len(set(posted)) > 1 for posted in cycles.values()), "some more than one cycle"
    assert all(posted == sorted(posted) for posted in cycles.values())
