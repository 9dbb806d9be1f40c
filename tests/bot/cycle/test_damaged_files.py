"""Somebody saves a typo into a file of ours while posts are made: nothing is given up, and it goes on once mended."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace
from pydantic import SecretStr

from bot.health import Health
from bot.preflight.preflight import preflight
from core.errors import StateDamaged
from core.models import DeliveryState
from tests.support.house import House, open_house, until

GROUPS = [f"@plaza{number:02}" for number in range(1, 7)]
SEND = "messages.sendMessage"
TYPO = b'{"version":1,"revision":\n'


def posted(house: House) -> list[int]:
    return [len(house.texts(group)) for group in GROUPS]


async def cycle_with_a_typo(house: House, file: Path) -> bytes:
    """A cycle in which the file is damaged after the first post; what stood in it."""
    cycle = asyncio.create_task(house.cycle("alice"))
    await until(lambda: any(posted(house)), "the first post")
    good = file.read_bytes() if file.exists() else b"{}"
    file.write_bytes(TYPO)
    with pytest.raises(StateDamaged):
        await cycle
    return good


def says_no_place(house: House, folder: Path) -> bool:
    return str(folder) not in house.said("alice")


async def test_a_flood_wait_that_cannot_be_noted_because_users_json_is_damaged_gives_up_no_post(tmp_path: Path) -> None:
    async with open_house(tmp_path, sessions_at_start=1) as house:
        house.sandbox.add_fault({"error": "FLOOD_WAIT_1", "method": SEND, "after": 2, "count": 1})
        await house.add_user("alice", GROUPS, delay_between_posts=0.3)
        users = house.settings.state_dir / "users.json"
        good = await cycle_with_a_typo(house, users)
        left = {delivery.state for delivery in (await house.deliveries("alice")).values()}
        assert left == {DeliveryState.DELIVERED, DeliveryState.PLANNED}, "what was refused was not sent"
        with pytest.raises(StateDamaged):
            await house.cycle("alice")
        users.write_bytes(good)
        await house.cycle("alice")
        assert posted(house) == [1] * len(GROUPS)
        assert "post_failed" not in {event.action for event in house.events("alice")}
        assert says_no_place(house, tmp_path)


async def test_a_group_that_refuses_while_users_json_is_damaged_takes_no_other_post_with_it(tmp_path: Path) -> None:
    async with open_house(tmp_path, sessions_at_start=1) as house:
        house.sandbox.add_fault({"error": "CHAT_WRITE_FORBIDDEN", "method": SEND, "after": 2, "count": 1})
        await house.add_user("alice", GROUPS, delay_between_posts=0.3)
        users = house.settings.state_dir / "users.json"
        users.write_bytes(await cycle_with_a_typo(house, users))
        await house.cycle("alice")
        assert posted(house) == [1] * len(GROUPS)
        assert says_no_place(house, tmp_path)


async def on_an_added_pair(house: House, session: str) -> Path:
    """Let the account run on an API pair that stands in no setting; the file the pair stands in."""
    house.services.sessions.pairs.add(1003, SecretStr("ab" * 16), house.services.clock.now())
    await house.store.transact(lambda tx: tx.put_session(session, replace(tx.session(session), api_id=1003)))
    return house.settings.state_dir / "api_pairs.json"


async def test_a_damaged_list_of_api_pairs_gives_up_no_post(tmp_path: Path) -> None:
    async with open_house(tmp_path, sessions_at_start=1) as house:
        house.sandbox.add_fault({"do": "drop_before", "method": SEND, "after": 2, "count": 1})
        await house.add_user("alice", GROUPS, delay_between_posts=0.3)
        await house.give_sessions("alice")
        pairs = await on_an_added_pair(house, "acc01")
        pairs.write_bytes(await cycle_with_a_typo(house, pairs))
        await house.cycle("alice")
        assert posted(house) == [1] * len(GROUPS)
        assert says_no_place(house, tmp_path)


async def test_a_hash_that_does_not_open_leaves_the_groups_to_other_accounts_and_names_no_place(tmp_path: Path) -> None:
    async with open_house(tmp_path, sessions_at_start=2) as house:
        await house.add_user("alice", GROUPS)
        await house.give_sessions("alice")
        pairs = await on_an_added_pair(house, "acc01")
        sealed = json.loads(pairs.read_bytes())
        sealed["pairs"]["1003"]["api_hash"] = "UEZTMQ=="
        pairs.write_text(json.dumps(sealed))
        await house.cycle("alice")
        assert posted(house) == [1] * len(GROUPS)
        assert {delivery.session for delivery in (await house.deliveries("alice")).values()} == {"acc02"}
        assert "the hash of API pair 1003 cannot be opened" in house.said("alice")
        assert says_no_place(house, tmp_path)


async def test_neither_a_preview_nor_a_look_after_an_account_tells_where_a_damaged_file_lies(tmp_path: Path) -> None:
    async with open_house(tmp_path, sessions_at_start=1) as house:
        await house.add_user("alice", GROUPS)
        await house.give_sessions("alice")
        (await on_an_added_pair(house, "acc01")).write_bytes(TYPO)
        [account] = (await preflight(house.services, "alice", house.user("alice"))).accounts
        assert account.reason is not None
        assert str(tmp_path) not in account.reason
        with pytest.raises(StateDamaged):  # the account itself may be well
            await Health.of(house.services, house.journal).check("acc01")


async def test_a_missing_session_file_is_told_without_its_place(tmp_path: Path) -> None:
    async with open_house(tmp_path, sessions_at_start=1) as house:
        await house.add_user("alice", GROUPS[:1])
        await house.give_sessions("alice")
        (house.settings.state_dir / "sessions" / "assigned" / "acc01.session").unlink()
        await house.cycle("alice")
        assert "there is no session file for acc01" in house.said("alice")
        assert says_no_place(house, tmp_path)


@pytest.mark.parametrize("lose", [Path.unlink, lambda path: path.write_bytes(b"PFS1 cut")], ids=["removed", "damaged"])
async def test_an_account_whose_key_is_lost_leaves_its_groups_to_the_others(
    tmp_path: Path, lose: Callable[[Path], object]
) -> None:
    async with open_house(tmp_path, sessions_at_start=3) as house:
        await house.add_user("alice", GROUPS)
        await house.give_sessions("alice")
        for name in ("acc01", "acc02"):
            lose(house.settings.state_dir / "sessions" / "assigned" / f"{name}.session")
        for _ in range(2):
            await house.cycle("alice")
        assert posted(house) == [2] * len(GROUPS)
        assert "post_failed" not in {event.action for event in house.events("alice")}
        assert "acc01 posts nothing in this cycle" in house.said("alice")
        assert says_no_place(house, tmp_path)


@pytest.mark.parametrize("accounts", [1, 2])
async def test_without_any_key_the_posts_are_skipped_and_no_group_counts_as_the_cause(
    tmp_path: Path, accounts: int
) -> None:
    async with open_house(tmp_path, sessions_at_start=accounts) as house:
        await house.add_user("alice", GROUPS)
        await house.give_sessions("alice")
        for name in house.user("alice").assigned_sessions:
            (house.settings.state_dir / "sessions" / "assigned" / f"{name}.session").unlink()
        await house.cycle("alice")
        assert {one.state for one in (await house.deliveries("alice")).values()} == {DeliveryState.SKIPPED}
        assert "acc01: there is no session file for acc01" in house.said("alice")
