"""What is remembered of posts to pace the next ones: of the last day, and nothing older."""

from datetime import timedelta
from pathlib import Path

from tests.scheduler.support import time_house


async def test_groups_that_come_and_go_for_weeks_are_forgotten_a_day_later(tmp_path: Path) -> None:
    async with time_house(tmp_path, ticking=False) as house:
        books = house.services.history
        most = 0
        for day in range(20):
            for number in range(1000):
                books.posted("alice", f"acc{day}", f"@group{day}-{number}", house.clock.now())
                house.clock.set_wall(86.4)
            most = max(most, books.kept)
        assert most < 3 * 2000 + 1000, "two moments a post, of two days at most"
        last = house.clock.now() - timedelta(seconds=86.4)
        standing = books.in_group("alice", "acc19", "@group19-999", 0, None)
        assert (standing.group_last, standing.own_last_in_group) == (last, last)
