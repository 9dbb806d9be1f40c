"""A post's files reach the chats as they are: measured before, and refused before where Telegram would refuse them."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from telethon.tl import types as tl

from bot.compose.measures import photo_obstacle
from core.models import Media, PostContent, PostType
from sandbox.errors import RpcError
from sandbox.state.files import Files
from tests.support.films import film, sound
from tests.support.house import House, open_house
from tests.support.pictures import png


def put(house: House, name: str, content: bytes) -> None:
    folder = house.settings.state_dir / "media" / "alice"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)


def documents(house: House, chat: str = "plaza01") -> list[Any]:
    """What stands in the chat, as Telegram keeps it."""
    messages = house.sandbox.centre.directory.by_key[chat].box.messages.values()
    return [message.media.document for message in messages]


def attribute(document: Any, kind: type[Any]) -> Any:
    return next(one for one in document.attributes if isinstance(one, kind))


def large_film() -> bytes:
    """More than the 10 MB up to which Telegram measures by itself."""
    padding = 11 * 2**20
    return film("mp4", (640, 360)) + padding.to_bytes(4, "big") + b"free" + bytes(padding - 8)


@pytest.mark.parametrize(
    ("name", "content", "size"),
    [
        ("film.mp4", large_film(), (640, 360)),
        ("film.mkv", film("mkv", (640, 360)), (640, 360)),
        ("film.webm", film("webm", (640, 360)), (640, 360)),
        ("film.mov", film("mov", (640, 360), turned=-90), (360, 640)),
    ],
)
async def test_a_video_goes_out_with_its_numbers_and_a_thumbnail(
    tmp_path: Path, name: str, content: bytes, size: tuple[int, int]
) -> None:
    async with open_house(tmp_path, sessions_at_start=1) as house:
        put(house, name, content)
        await house.add_user(
            "alice", ["@plaza01"], post_type=PostType.VIDEO, post_content=PostContent(media=(Media(file=name),))
        )
        await house.cycle("alice")
        (sent,) = documents(house)
        shown = attribute(sent, tl.DocumentAttributeVideo)
        assert (shown.w, shown.h, shown.duration) == (*size, 2.0)
        (thumbnail,) = sent.thumbs
        assert (thumbnail.w, thumbnail.h) == (size[0] // 2, size[1] // 2)


async def test_sound_goes_out_with_its_length(tmp_path: Path) -> None:
    async with open_house(tmp_path, sessions_at_start=1) as house:
        for form in ("mp3", "ogg"):
            put(house, f"talk.{form}", sound(form))
        album = PostContent(type=PostType.ALBUM, media=(Media(file="talk.mp3"),) * 2)
        voice = PostContent(type=PostType.VOICE, media=(Media(file="talk.ogg"),))
        told = PostContent(type=PostType.VOICE, media=(Media(file="talk.ogg", duration=9),))
        await house.add_user("alice", ["@plaza01"], post_content=PostContent(posts=(album, voice, told)))
        for _ in range(3):
            await house.cycle("alice")
        lengths = [attribute(one, tl.DocumentAttributeAudio).duration for one in documents(house)]
        assert lengths == [3, 3, 3, 9]


@pytest.mark.parametrize(
    ("post_type", "name", "content", "said"),
    [
        (PostType.PHOTO, "cat.png", png(2100, 100), "one side can be 20 times the other"),
        (PostType.PHOTO, "cat.png", b"RIFF\0\0\0\0WEBPVP8 ", "cannot be read as a picture"),
        (PostType.VIDEO, "film.mp4", b"film" * 1000, "duration, width, height of 'film.mp4' cannot be read"),
        (PostType.VOICE, "talk.ogg", b"OggS" * 100, "duration of 'talk.ogg' cannot be read"),
    ],
)
async def test_the_preview_says_what_the_cycle_refuses_and_nothing_is_uploaded(
    tmp_path: Path, post_type: PostType, name: str, content: bytes, said: str
) -> None:
    async with open_house(tmp_path, sessions_at_start=1) as house:
        put(house, name, content)
        posted = PostContent(media=(Media(file=name),))
        await house.add_user("alice", ["@plaza01"], post_type=post_type, post_content=posted)
        await house.give_sessions("alice")
        report = await house.bots.preflight("alice", house.user("alice"))
        assert [said in problem for problem in report.problems] == [True]
        assert report.posts == 0
        await house.cycle("alice")
        (delivery,) = (await house.deliveries("alice")).values()
        assert (delivery.state, said in str(delivery.reason)) == ("failed", True)
        assert "upload.saveFilePart" not in house.sandbox.report()["rpc"]


@given(st.integers(1, 11_000), st.integers(1, 11_000))
def test_a_shape_is_refused_exactly_when_telegram_refuses_it(width: int, height: int) -> None:
    head = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR" + width.to_bytes(4, "big") + height.to_bytes(4, "big")
    try:
        Files(1).photo(head, 0.0, 2)
    except RpcError:
        assert photo_obstacle("image/png", width, height) is not None
    else:
        assert photo_obstacle("image/png", width, height) is None
