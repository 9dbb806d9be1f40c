"""Uploaded files that the machine cannot read for a while, or that Telegram forgot, are no fault of the post."""

import asyncio
import contextlib
import os
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.compose.media import file_of
from bot.preflight.preflight import preflight
from core.errors import InvalidInput, StateDamaged, StateError
from core.models import DeliveryState, Media, MediaKind, PostContent, PostType
from data.media.layout import ABOUT, shown_name
from tests.support.house import House, open_house, until
from tests.support.pictures import png

G1, G2 = "@plaza01", "@plaza02"
CAT, DOG, PAPER = Media(file="cat.png"), Media(file="dog.png"), Media(file="paper.pdf")
POSTS = {
    PostType.PHOTO: PostContent(text="see", media=(CAT,)),
    PostType.DOCUMENT: PostContent(text="see", media=(PAPER,)),
    PostType.ALBUM: PostContent(text="see", media=(CAT, DOG)),
}


@contextlib.contextmanager
def no_descriptor_left() -> Iterator[None]:
    """Nothing can be opened; what is open stays so."""
    free = os.dup(0)
    os.close(free)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def media_of(house: House, user: str = "alice") -> Path:
    folder = house.settings.state_dir / "media" / user
    folder.mkdir(parents=True)
    (folder / "cat.png").write_bytes(png())
    (folder / "dog.png").write_bytes(png(shade=10))
    (folder / "paper.pdf").write_bytes(b"%PDF" + bytes(1000))
    return folder


def uploads(house: House) -> int:
    return sum(house.sandbox.report()["rpc"].get("messages.uploadMedia", {}).values())


async def test_posts_are_made_once_descriptors_are_there_again(tmp_path: Path) -> None:
    async with open_house(tmp_path, sessions_at_start=1) as house:
        media_of(house)
        late = {"do": "delay", "method": "contacts.resolveUsername", "seconds": 1.0, "count": 1}
        house.sandbox.add_fault(late)
        await house.add_user("alice", [G1, G2], post_type=PostType.PHOTO, post_content=POSTS[PostType.PHOTO])
        cycle = asyncio.create_task(house.cycle("alice"))
        await until(lambda: "contacts.resolveUsername" in house.sandbox.report()["rpc"], "the first question")
        with no_descriptor_left(), pytest.raises(StateError):
            await cycle
        assert {delivery.state for delivery in (await house.deliveries("alice")).values()} == {DeliveryState.PLANNED}
        await house.cycle("alice")
        assert (len(house.texts(G1)), len(house.texts(G2))) == (1, 1)
        assert "content_refused" not in {event.action for event in house.events("alice")}
        assert house.user("alice").group_holds == {}


def test_the_name_that_people_see_is_not_lost_for_want_of_a_descriptor(tmp_path: Path) -> None:
    about = tmp_path / ABOUT / "alice"
    about.mkdir(parents=True)
    (about / "a1b2.pdf.json").write_bytes(b"{broken")
    assert shown_name(tmp_path / "alice", "a1b2.pdf") == "a1b2.pdf"
    with no_descriptor_left(), pytest.raises(StateError):
        shown_name(tmp_path / "alice", "a1b2.pdf")


async def test_an_account_is_not_blamed_when_its_key_cannot_be_read_for_want_of_a_descriptor(tmp_path: Path) -> None:
    async with open_house(tmp_path, sessions_at_start=1) as house:
        await house.add_user("alice", [G1])
        await house.give_sessions("alice")
        with no_descriptor_left(), pytest.raises(StateError) as short:
            house.pool.credentials("acc01")
        assert not isinstance(short.value, StateDamaged)
        assert house.pool.credentials("acc01").dc_id == house.sandbox.dc_id


@pytest.mark.parametrize("name", ["gone.png", "x" * 300, "folder", "cat.png/inside"])
def test_a_file_that_is_not_there_is_the_posts_own_fault(tmp_path: Path, name: str) -> None:
    (tmp_path / "cat.png").write_bytes(png())
    (tmp_path / "folder").mkdir()
    with pytest.raises(InvalidInput, match="there is no uploaded file"):
        file_of(tmp_path, Media(file=name), MediaKind.PHOTO, "post_content.media[0].file")


@pytest.mark.parametrize("kind", POSTS, ids=str)
async def test_a_file_that_telegram_forgot_is_brought_anew_before_the_post_is_blamed(
    tmp_path: Path, kind: PostType
) -> None:
    async with open_house(tmp_path, sessions_at_start=1) as house:
        media_of(house)
        await house.add_user("alice", [G1, G2], post_type=kind, post_content=POSTS[kind])
        await house.cycle("alice")
        house.sandbox.forget_files()
        await house.cycle("alice")
        parts = len(POSTS[kind].media)
        assert [house.texts(group).count("see") for group in (G1, G2)] == [2, 2]
        assert [len(house.messages(group)) for group in (G1, G2)] == [2 * parts, 2 * parts]
        assert uploads(house) == 2 * parts, "each file once more, and not once a group"
        assert len({message["random_id"] for group in (G1, G2) for message in house.messages(group)}) == 4 * parts
        assert (await preflight(house.services, "alice", house.user("alice"))).problems == []


async def test_a_file_that_telegram_does_not_take_is_blamed_after_it_was_brought_anew_once(tmp_path: Path) -> None:
    async with open_house(tmp_path, sessions_at_start=1) as house:
        media_of(house)
        await house.add_user("alice", [G1, G2], post_type=PostType.PHOTO, post_content=POSTS[PostType.PHOTO])
        await house.cycle("alice")
        house.sandbox.add_fault({"error": "PHOTO_SAVE_FILE_INVALID", "method": "messages.sendMedia"})
        await house.cycle("alice")
        assert len(house.sandbox.report()["refused"]) == 2
        assert uploads(house) == 2
        assert house.said("alice").count("Telegram refused the post itself") == 1
        assert {delivery.state for delivery in (await house.deliveries("alice")).values()} == {DeliveryState.FAILED}
