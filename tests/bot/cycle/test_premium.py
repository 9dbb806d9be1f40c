"""Posts that only Telegram Premium can send go to the accounts that have it, and to no other."""

from pathlib import Path

from core.models import DeliveryState, Media, PostContent, PostType
from sandbox.world import AccountSpec, ChatSpec, World
from tests.bot.cycle.test_worker import PIXEL
from tests.support.house import House, open_house

PLACES = ("@plaza01", "@plaza02", "@plaza03", "@plaza04")
LONG = "x" * 2000


def world(*premium: bool) -> World:
    return World(
        accounts=[AccountSpec(name=f"acc0{number}", premium=has) for number, has in enumerate(premium, 1)],
        chats=[ChatSpec(username=place.removeprefix("@")) for place in PLACES],
    )


async def open_with_long_caption(house: House) -> None:
    photo = house.settings.state_dir / "media" / "alice" / "cat.png"
    photo.parent.mkdir(parents=True)
    photo.write_bytes(PIXEL)
    content = PostContent(text=LONG, media=(Media(file="cat.png"),))
    await house.add_user("alice", list(PLACES), post_type=PostType.PHOTO, post_content=content)
    await house.give_sessions("alice")


async def test_a_caption_for_premium_is_posted_by_the_account_that_has_it(tmp_path: Path) -> None:
    async with open_house(tmp_path, world(False, True), sessions_at_start=2) as house:
        await open_with_long_caption(house)
        await house.cycle("alice")
        assert [house.texts(place) for place in PLACES] == [[LONG]] * len(PLACES)
        assert {message["sender"] for place in PLACES for message in house.messages(place)} == {"acc02"}
        assert house.sandbox.report()["refused"] == [], "the account without Premium did not even try"
        assert [house.store.snapshot.sessions[name].premium for name in ("acc01", "acc02")] == [False, True]


async def test_without_premium_the_post_is_left_out_and_the_reason_names_it(tmp_path: Path) -> None:
    async with open_house(tmp_path, world(False, False), sessions_at_start=2) as house:
        await open_with_long_caption(house)
        for _ in range(2):
            await house.cycle("alice")
            deliveries = await house.deliveries("alice")
            assert {one.state for one in deliveries.values()} == {DeliveryState.SKIPPED}
            assert all("needs Telegram Premium" in (one.reason or "") for one in deliveries.values())
        assert house.sandbox.report()["refused"] == []


async def test_the_preview_says_who_has_the_premium_a_post_needs(tmp_path: Path) -> None:
    async with open_house(tmp_path, world(False, True), sessions_at_start=2) as house:
        await open_with_long_caption(house)
        report = await house.bots.preflight("alice", house.user("alice"))
        assert (report.problems, report.posts) == ([], len(PLACES))
        assert {check.session for check in report.groups} == {"acc02"}
        [without] = [one for one in report.groups[0].accounts if one.session == "acc01"]
        assert (without.can_post, "needs Telegram Premium" in (without.reason or "")) == (False, True)
        assert report.post.text == LONG
