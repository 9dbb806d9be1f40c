"""How many accounts a bot has: one a group at most, more when it gets more groups, up to the setting; and none in place
of what was banned or taken away."""

from datetime import timedelta
from pathlib import Path
from typing import Any

from core.models import BannedSession
from tests.support.house import House, open_house

GROUPS = tuple(f"@plaza{number:02d}" for number in range(1, 8))


async def started_with(house: House, groups: int, **fields: Any) -> None:
    await house.add_user("alice", list(GROUPS[:groups]), **fields)
    await house.bots.start("alice")


def accounts(house: House) -> int:
    return len(house.user("alice").assigned_sessions)


async def with_groups(house: House, groups: int) -> None:
    """Later the list is longer, and the next cycle runs."""
    await house.change_user("alice", groups=GROUPS[:groups])
    await house.cycle("alice")


async def test_more_groups_later_get_more_accounts_up_to_the_setting(tmp_path: Path) -> None:
    async with open_house(tmp_path, accounts=7, groups=7, sessions_at_start=3) as house:
        await started_with(house, 1)
        assert accounts(house) == 1
        await house.cycle("alice")
        await with_groups(house, 2)
        assert accounts(house) == 2
        assert "1 more account for your groups: acc02" in house.said("alice")
        await with_groups(house, 7)
        assert accounts(house) == 3
        assert all(house.texts(group) for group in GROUPS)
        senders = {house.messages(group)[-1]["sender"] for group in GROUPS}
        assert senders == {"acc01", "acc02", "acc03"}, "the new ones post at once"
        assert (house.settings.state_dir / "sessions" / "assigned" / "acc03.session").exists()
        await with_groups(house, 1)
        assert accounts(house) == 3, "fewer groups take no account away"


async def test_what_an_empty_pool_could_not_give_is_given_once_it_can(tmp_path: Path) -> None:
    async with open_house(tmp_path, accounts=4, groups=7, sessions_at_start=3) as house:
        await house.add_user("bob", list(GROUPS))
        await house.give_sessions("bob")
        await started_with(house, 3)
        assert accounts(house) == 1
        await house.cycle("alice")
        assert accounts(house) == 1
        await house.services.sessions.release("acc02")
        await house.cycle("alice")
        assert set(house.user("alice").assigned_sessions) == {"acc04", "acc02"}
        assert len(house.user("bob").assigned_sessions) == 2, "what was taken from a user is not given back by itself"
        await house.cycle("bob")
        assert len(house.user("bob").assigned_sessions) == 2


async def test_an_account_that_was_released_or_lost_is_not_made_up_for(tmp_path: Path) -> None:
    async with open_house(tmp_path, accounts=7, groups=7, sessions_at_start=3, max_replacements_per_day=0) as house:
        await started_with(house, 3)
        await house.services.sessions.release("acc03")
        await house.cycle("alice")
        assert accounts(house) == 2
        house.sandbox.ban("acc01")
        for _ in range(2):
            await house.cycle("alice")
        assert accounts(house) == 1
        await with_groups(house, 7)
        assert accounts(house) == 1


async def test_within_a_day_of_a_ban_more_groups_bring_no_more_accounts(tmp_path: Path) -> None:
    async with open_house(tmp_path, accounts=7, groups=7, sessions_at_start=3) as house:
        await started_with(house, 1)
        now = house.services.clock.now()
        ban = BannedSession(name="gone", at=now - timedelta(hours=23), reason="Telegram banned it", replaced_by="acc01")
        await house.change_user("alice", banned_sessions=(ban,))
        await with_groups(house, 7)
        assert accounts(house) == 1
        earlier = BannedSession(name="gone", at=now - timedelta(hours=25), reason="Telegram banned it")
        await house.change_user("alice", banned_sessions=(earlier,))
        await house.cycle("alice")
        assert accounts(house) == 3


async def test_who_posts_with_their_own_accounts_alone_gets_none_of_the_pool(tmp_path: Path) -> None:
    async with open_house(tmp_path, accounts=7, groups=7, sessions_at_start=3) as house:
        await house.add_user("alice", list(GROUPS))
        await house.services.sessions.move("acc05", "alice")
        await house.services.sessions.set_owner("acc05", "alice")
        await house.bots.start("alice")
        await house.cycle("alice")
        assert house.user("alice").assigned_sessions == ("acc05",)


async def test_a_bot_of_an_older_version_gets_its_accounts_when_it_is_started(tmp_path: Path) -> None:
    async with open_house(tmp_path, accounts=7, groups=7, sessions_at_start=3) as house:
        await house.add_user("alice", list(GROUPS[:1]))
        await house.give_sessions("alice")
        await house.change_user("alice", accounts_given=0, groups=GROUPS)
        await house.cycle("alice")
        assert accounts(house) == 1
        assert "2 accounts" in (await house.bots.start("alice")).text
        assert accounts(house) == 3
