"""What is measured in an uploaded file, and how posts are held to it."""

import io
import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from PIL import ExifTags, Image

from core.confined import Bounds
from core.settings import Settings
from data.media.layout import ABOUT, sweep, thumbnail_of
from tests.api.services.test_media import picture
from tests.api.support import Api, problem
from tests.support.films import film, sound


def folder_of(settings: Settings, user: str = "alice") -> Path:
    folder = settings.state_dir / "media" / user
    folder.mkdir(parents=True, exist_ok=True)
    return folder


async def upload(api: Api, headers: dict[str, str], content: bytes) -> dict[str, Any]:
    taken = await api.http.post("/api/media", headers=headers, content=content)
    assert taken.status_code == 201, taken.text
    found: dict[str, Any] = taken.json()
    return found


async def refusal(api: Api, headers: dict[str, str], content: dict[str, Any]) -> str:
    refused = await api.http.patch("/api/config", headers=headers, json={"post_content": content})
    return str(problem(refused, 422, "invalid_input")["detail"])


@pytest.mark.parametrize("form", ["mp4", "mov", "mkv", "webm"])
async def test_a_video_is_measured_and_gets_a_thumbnail(
    api: Api, alice: dict[str, str], settings: Settings, form: str
) -> None:
    file = await upload(api, alice, film(form, (640, 360)))
    assert (file["kind"], file["width"], file["height"], file["duration"]) == ("video", 640, 360, 2.0)
    picture_of_it = Image.open(io.BytesIO(thumbnail_of(folder_of(settings), file["name"]) or b""))
    assert (picture_of_it.format, picture_of_it.size) == ("JPEG", (320, 180))


@pytest.mark.parametrize(
    ("content", "size", "red_at"),
    [
        (film("mp4", (640, 360), turned=-90), (360, 640), (90, 20)),  # a phone held upright
        (film("mov", (640, 360), turned=90), (360, 640), (90, 300)),
        (film("mp4", (640, 360), turned=180), (640, 360), (300, 90)),
        (film("mkv", (320, 360), pixel=Fraction(2, 1)), (640, 360), (20, 90)),
    ],
    ids=["upright", "upright the other way", "upside down", "wide pixels"],
)
async def test_a_video_is_as_wide_and_high_as_it_is_shown(
    api: Api, alice: dict[str, str], settings: Settings, content: bytes, size: tuple[int, int], red_at: tuple[int, int]
) -> None:
    file = await upload(api, alice, content)
    assert (file["width"], file["height"]) == size
    small = Image.open(io.BytesIO(thumbnail_of(folder_of(settings), file["name"]) or b""))
    assert small.size == (size[0] // 2, size[1] // 2)
    red, _, blue = small.getpixel(red_at)  # type: ignore[misc]  # three numbers of an RGB picture
    assert red > 200 > 50 > blue


async def test_a_picture_is_as_wide_and_high_as_it_is_shown(api: Api, alice: dict[str, str]) -> None:
    notes = Image.Exif()
    notes[ExifTags.Base.Orientation] = 6
    upright, damaged = io.BytesIO(), io.BytesIO()
    Image.new("RGB", (40, 30)).save(upright, "JPEG", exif=notes)
    Image.new("RGB", (40, 30)).save(damaged, "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\x7fnonsense")
    sizes = [
        (file["width"], file["height"])
        for file in [await upload(api, alice, written.getvalue()) for written in (upright, damaged)]
    ]
    assert sizes == [(30, 40), (40, 30)]


@pytest.mark.parametrize("form", ["mkv", "webm"])
async def test_a_recording_that_does_not_say_how_long_it_is_is_measured_all_the_same(
    api: Api, alice: dict[str, str], form: str
) -> None:
    assert (await upload(api, alice, film(form, streamed=True)))["duration"] == pytest.approx(2.0, abs=0.2)


@pytest.mark.parametrize(
    ("form", "kind"), [("mp3", "audio"), ("m4a", "audio"), ("flac", "audio"), ("wav", "audio"), ("ogg", "voice")]
)
async def test_sound_is_measured(api: Api, alice: dict[str, str], form: str, kind: str) -> None:
    file = await upload(api, alice, sound(form))
    assert (file["kind"], file["width"], file["height"]) == (kind, None, None)
    assert file["duration"] == pytest.approx(3.0, abs=0.1)


async def test_a_film_that_holds_only_sound_is_sound(api: Api, alice: dict[str, str]) -> None:
    content = sound("m4a").replace(b"ftypM4A ", b"ftypisom", 1)
    file = await upload(api, alice, content)
    assert (file["type"], file["kind"], file["name"][-4:]) == ("audio/mp4", "audio", ".m4a")


@pytest.mark.parametrize(
    ("content", "kind", "missing"),
    [
        (film()[:600], "video", "duration, width, height"),
        (b"\0\0\0\x20ftypisom\0\0\2\0isomiso2avc1mp41" + b"\0" * 400, "video", "duration, width, height"),
        (b"OggS\0\2" + b"\0" * 20 + b"\1\x13OpusHead\1\2" + b"\0" * 200, "voice", "duration"),
    ],
    ids=["cut off", "nothing but a head", "a voice without words"],
)
async def test_what_cannot_be_read_is_asked_for(
    api: Api, alice: dict[str, str], content: bytes, kind: str, missing: str
) -> None:
    file = await upload(api, alice, content)
    assert (file["kind"], file["duration"]) == (kind, None)
    post = {"type": kind, "media": [{"file": file["name"]}]}
    said = await refusal(api, alice, post)
    assert f"{missing} of '{file['name']}' cannot be read" in said
    assert "post_content.media[0].file" in said
    numbers = dict.fromkeys(missing.split(", "), 7)
    told = {"type": kind, "media": [{"file": file["name"], **numbers}]}
    for change in (told, {"type": "document", "media": [{"file": file["name"]}]}):
        answer = await api.http.patch("/api/config", headers=alice, json={"post_content": change})
        assert answer.status_code == 200, answer.text


async def test_a_file_that_takes_too_long_to_look_at_is_refused(
    api: Api, alice: dict[str, str], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("data.media.looks.BOUNDS", Bounds(seconds=0.001))
    refused = await api.http.post("/api/media", headers=alice, content=film())
    assert "takes far longer to read" in problem(refused, 422, "invalid_input")["detail"]
    (folder_of(settings) / "film.mp4").write_bytes(film())
    assert "cannot be read" in await refusal(api, alice, {"type": "video", "media": [{"file": "film.mp4"}]})


@pytest.mark.parametrize(
    ("size", "said"), [((2100, 100), "one side can be 20 times the other"), ((9000, 1100), "together can be 10,000")]
)
async def test_a_picture_of_a_shape_that_telegram_refuses_is_no_photo(
    api: Api, alice: dict[str, str], settings: Settings, size: tuple[int, int], said: str
) -> None:
    file = await upload(api, alice, picture("PNG", size))
    assert (file["kind"], file["width"], file["height"]) == ("document", *size)
    (folder_of(settings) / "banner.png").write_bytes(picture("PNG", size))
    for name in (file["name"], "banner.png"):
        photo = {"type": "photo", "media": [{"file": name}]}
        assert said in await refusal(api, alice, photo)
        listed = {"posts": ["first", {"type": "album", "media": [{"file": name}] * 2}]}
        assert "post_content.posts[1].media[0].file" in await refusal(api, alice, listed)
        answer = await api.http.patch(
            "/api/config", headers=alice, json={"post_content": {**photo, "type": "document"}}
        )
        assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("form", ["WEBP", "GIF", "nothing"])
async def test_a_picture_is_a_photo_by_what_is_in_it(
    api: Api, alice: dict[str, str], settings: Settings, form: str
) -> None:
    content = b"not a picture" if form == "nothing" else picture(form)
    (folder_of(settings) / "cat.png").write_bytes(content)
    said = await refusal(api, alice, {"type": "photo", "media": [{"file": "cat.png"}]})
    assert ("cannot be read as a picture" if form == "nothing" else f"image/{form.lower()}") in said


async def test_a_file_put_there_by_hand_is_looked_at_and_looked_at_again_when_it_was_replaced(
    api: Api, alice: dict[str, str], settings: Settings
) -> None:
    folder = folder_of(settings)
    (folder / "film.mp4").write_bytes(film("mp4", (640, 360)))

    async def seen() -> dict[str, Any]:
        content = {"post_content": {"type": "video", "media": [{"file": "film.mp4"}], "text": "look"}}
        assert (await api.http.patch("/api/config", headers=alice, json={"post_content": ""})).is_success
        assert (await api.http.patch("/api/config", headers=alice, json=content)).is_success
        found: dict[str, Any] = (await api.http.get("/api/media/film.mp4", headers=alice)).json()
        return found

    first = await seen()
    assert (first["label"], first["width"], first["duration"]) == ("film.mp4", 640, 2.0)
    (folder / "film.mp4").write_bytes(film("mp4", (320, 360), 4))
    assert (await api.http.get("/api/media/film.mp4", headers=alice)).json()["duration"] is None
    again = await seen()
    assert (again["width"], again["duration"]) == (320, 4.0)


async def test_an_upload_of_before_is_measured_when_a_post_names_it(
    api: Api, alice: dict[str, str], settings: Settings
) -> None:
    name = (await upload(api, alice, film("mp4", (640, 360))))["name"]
    path = folder_of(settings).parent / ABOUT / "alice" / f"{name}.json"
    old = {key: value for key, value in json.loads(path.read_bytes()).items() if key in {"type", "kind", "added_at"}}
    path.write_text(json.dumps({**old, "label": "Summer.mp4"}))
    path.with_name(f"{name}.thumbnail").unlink()
    assert (await api.http.get(f"/api/media/{name}", headers=alice)).json()["width"] is None
    content = {"post_content": {"type": "video", "media": [{"file": name}]}}
    assert (await api.http.patch("/api/config", headers=alice, json=content)).is_success
    now = (await api.http.get(f"/api/media/{name}", headers=alice)).json()
    assert (now["label"], now["width"], now["height"], now["duration"]) == ("Summer.mp4", 640, 360, 2.0)
    assert thumbnail_of(folder_of(settings), name)


async def test_a_thumbnail_goes_with_its_video(api: Api, alice: dict[str, str], settings: Settings) -> None:
    kept, gone = [(await upload(api, alice, film(seconds=length)))["name"] for length in (1, 2)]
    folder = folder_of(settings)
    assert (await api.http.delete(f"/api/media/{gone}", headers=alice)).status_code == 204
    assert thumbnail_of(folder, gone) is None
    (folder.parent / ABOUT / "alice" / "lost.mp4.thumbnail").write_bytes(b"x")
    assert sweep(settings.state_dir, 0) == 1
    assert thumbnail_of(folder, kept)
