"""Files that users upload: what is taken, under which name, how much, and what is left when it goes wrong."""

import asyncio
import errno
import io
import logging
import stat
import struct
import zlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from core.settings import Settings
from data.media.layout import shown_name
from data.media.store import MOST_AT_ONCE
from tests.api.support import Api, Remake, problem

MB = 1_000_000


def picture(form: str = "JPEG", size: tuple[int, int] = (40, 30), colour: str = "red") -> bytes:
    written = io.BytesIO()
    Image.new("RGB", size, colour).save(written, form)
    return written.getvalue()


def voice() -> bytes:
    return b"OggS\0\2" + b"\0" * 20 + b"\1\x13OpusHead\1\2" + b"\0" * 200


def large(size: int, seed: int = 0) -> bytes:
    """Something that is taken, of that size."""
    head = b"%%PDF-1.7 %d " % seed
    return head + b"x" * (size - len(head))


async def in_pieces(content: bytes, most: int = 50_000) -> AsyncIterator[bytes]:
    """Sent without saying how much it will be."""
    for start in range(0, len(content), most):
        yield content[start : start + most]


def left_behind(settings: Settings) -> list[Path]:
    """What no user can name."""
    return list((settings.state_dir / "media" / ".incoming").glob("*"))


async def test_an_uploaded_picture_is_named_by_us_and_posts_can_name_it(
    api: Api, alice: dict[str, str], settings: Settings
) -> None:
    content = picture()
    taken = await api.http.post("/api/media?label=../../My%20cat.png", headers=alice, content=content)
    assert taken.status_code == 201, taken.text
    file = taken.json()
    assert (file["label"], file["type"], file["kind"]) == ("My cat.jpg", "image/jpeg", "photo")
    assert (file["bytes"], file["width"], file["height"]) == (len(content), 40, 30)
    path = settings.state_dir / "media" / "alice" / file["name"]
    assert path.read_bytes() == content
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert shown_name(path.parent, file["name"]) == "My cat.jpg"
    assert taken.headers["location"] == f"/api/media/{file['name']}"

    change = {"post_type": "photo", "post_content": {"media": [{"file": file["name"]}]}}
    assert (await api.http.patch("/api/config", headers=alice, json=change)).status_code == 200
    page = (await api.http.get("/api/media", headers=alice)).json()
    assert page["files"] == [{**file, "used_by": ["post_content.media[0]"]}]
    assert (page["used"], page["arriving"], page["left"]) == (len(content), 0, page["quota"] - len(content))
    assert left_behind(settings) == []


async def test_the_same_content_sent_twice_is_one_file(api: Api, alice: dict[str, str], bob: dict[str, str]) -> None:
    first = await api.http.post("/api/media?label=a", headers=alice, content=picture())
    again = await api.http.post("/api/media", headers=alice, content=picture())
    renamed = await api.http.post("/api/media?label=b", headers={**alice, "Idempotency-Key": "x"}, content=picture())
    assert [answer.status_code for answer in (first, again, renamed)] == [201, 200, 200]
    assert [answer.json()["label"] for answer in (first, again, renamed)] == ["a.jpg", "a.jpg", "b.jpg"]
    assert len((await api.http.get("/api/media", headers=alice)).json()["files"]) == 1
    assert (await api.http.get("/api/media", headers=bob)).json()["files"] == []


@pytest.mark.parametrize(
    ("content", "kind", "suffix"),
    [
        (picture("PNG"), "photo", ".png"),
        (picture("WEBP"), "document", ".webp"),
        (picture("GIF"), "document", ".gif"),
        (picture("PNG", (9000, 2)), "document", ".png"),
        (b"\0\0\0\x20ftypisom\0\0\2\0isomiso2avc1mp41" + b"\0" * 400, "video", ".mp4"),
        (b"ID3\x03\0\0\0\0\0\0\xff\xfb\x90\x64" + b"\0" * 400, "audio", ".mp3"),
        (voice(), "voice", ".ogg"),
        (large(2000), "document", ".pdf"),
    ],
)
async def test_what_a_file_is_comes_from_its_content(
    api: Api, alice: dict[str, str], content: bytes, kind: str, suffix: str
) -> None:
    headers = {**alice, "Content-Type": "text/html"}
    taken = await api.http.post("/api/media?label=page.html", headers=headers, content=content)
    assert taken.status_code == 201, taken.text
    assert (taken.json()["kind"], taken.json()["label"]) == (kind, f"page{suffix}")
    assert taken.json()["name"].endswith(suffix)


@pytest.mark.parametrize(
    ("content", "status", "code", "said"),
    [
        (b"", 422, "invalid_input", "empty"),
        (b"#!/bin/sh\nrm -rf /\n", 415, "unsupported_media_type", "JPEG"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", 415, "unsupported_media_type", "JPEG"),
        (b"MZ\x90\0" + b"\0" * 500, 415, "unsupported_media_type", "JPEG"),
        (b"OggS\0\2" + b"\0" * 20 + b"\1\x1evorbis" + b"\0" * 200, 415, "unsupported_media_type", "Opus"),
        (picture()[:300], 422, "invalid_input", "decoded"),
        (picture("PNG")[:20] + b"\0" * 500, 422, "invalid_input", "decoded"),
        (b"\xff\xd8\xff\xe0<script>", 422, "invalid_input", "decoded"),
    ],
)
async def test_what_is_no_good_file_is_refused_and_leaves_nothing(
    api: Api,
    alice: dict[str, str],
    settings: Settings,
    caplog: pytest.LogCaptureFixture,
    content: bytes,
    status: int,
    code: str,
    said: str,
) -> None:
    with caplog.at_level(logging.INFO, "postfleet.security"):
        refused = await api.http.post("/api/media?label=x.jpg", headers=alice, content=content)
    assert said in problem(refused, status, code)["detail"]
    page = (await api.http.get("/api/media", headers=alice)).json()
    assert (page["files"], page["used"], page["arriving"]) == ([], 0, 0)
    assert left_behind(settings) == []
    facts = [record.__dict__ for record in caplog.records if record.__dict__["action"] == "upload_refused"]
    assert [(fact["user"], fact["reason"]) for fact in facts] == [("alice", code)]


async def test_a_picture_that_would_fill_the_memory_is_refused_by_its_header(api: Api, alice: dict[str, str]) -> None:
    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    for side in (5_001, 12_000, 60_000):
        header = struct.pack(">IIBBBBB", side, side, 8, 6, 0, 0, 0)
        bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * MB))
        refused = await api.http.post("/api/media", headers=alice, content=bomb + chunk(b"IEND", b""))
        assert "pixels" in problem(refused, 422, "invalid_input")["detail"]
    refused = await api.http.post("/api/media", headers=alice, content=picture("WEBP", (12_600, 1000)))
    assert "pixels" in problem(refused, 422, "invalid_input")["detail"]


@pytest.mark.parametrize("declared", [True, False])
async def test_a_file_over_the_limit_is_refused(
    remake: Remake, alice: dict[str, str], settings: Settings, declared: bool
) -> None:
    async with remake(max_upload_mb=2) as http:
        content = large(2 * MB + 1)
        body: Any = content if declared else in_pieces(content)
        refused = await http.post("/api/media", headers=alice, content=body)
        assert "2,000,000" in problem(refused, 413, "too_large")["detail"]
        assert refused.headers["connection"] == "close"
        exact = large(2 * MB)
        assert (
            await http.post("/api/media", headers=alice, content=exact if declared else in_pieces(exact))
        ).is_success
        assert (await http.get("/api/media", headers=alice)).json()["used"] == 2 * MB
    assert left_behind(settings) == []


@pytest.mark.parametrize("declared", [True, False])
async def test_racing_uploads_never_exceed_the_quota_together(
    remake: Remake, alice: dict[str, str], settings: Settings, declared: bool
) -> None:
    async with remake(max_upload_mb=2, media_quota_mb=5) as http:
        at_once = asyncio.Semaphore(MOST_AT_ONCE)

        async def send(number: int) -> int:
            content = large(2 * MB, number)
            async with at_once:
                body: Any = content if declared else in_pieces(content)
                return (await http.post("/api/media", headers=alice, content=body)).status_code

        codes = await asyncio.gather(*(send(number) for number in range(12)))
        page = (await http.get("/api/media", headers=alice)).json()
        assert set(codes) == {201, 409}
        assert page["used"] == codes.count(201) * 2 * MB <= 5 * MB
        assert page["arriving"] == 0
        # What was given back can be used: together with what is left it is all of the quota.
        filled = await http.post("/api/media", headers=alice, content=large(min(page["left"], 2 * MB), 99))
        assert filled.status_code == 201
    assert left_behind(settings) == []


async def test_an_upload_that_is_broken_off_gives_everything_back(
    api: Api, alice: dict[str, str], settings: Settings
) -> None:
    begun = asyncio.Event()

    async def never_ending() -> AsyncIterator[bytes]:
        yield large(600_000)
        begun.set()
        await asyncio.Event().wait()

    sending = asyncio.create_task(
        api.http.post("/api/media", headers={**alice, "Content-Length": "900000"}, content=never_ending())
    )
    await asyncio.wait_for(begun.wait(), 5)
    page = (await api.http.get("/api/media", headers=alice)).json()
    assert (page["arriving"], page["left"]) == (900_000, page["quota"] - 900_000)
    sending.cancel()
    await asyncio.wait({sending})
    page = (await api.http.get("/api/media", headers=alice)).json()
    assert (page["arriving"], page["used"], page["left"]) == (0, 0, page["quota"])
    assert left_behind(settings) == []


async def test_an_upload_that_falls_silent_is_ended(remake: Remake, alice: dict[str, str], settings: Settings) -> None:
    async def silent() -> AsyncIterator[bytes]:
        yield large(1000)
        await asyncio.Event().wait()

    async with remake(request_timeout_seconds=0.2) as http:
        problem(await http.post("/api/media", headers=alice, content=silent()), 408, "timed_out")
    assert left_behind(settings) == []


async def test_an_upload_that_takes_too_long_is_ended(
    remake: Remake, alice: dict[str, str], settings: Settings
) -> None:
    async def dripping() -> AsyncIterator[bytes]:
        while True:
            yield b"x"
            await asyncio.sleep(0.01)

    async with remake(upload_timeout_seconds=0.3) as http:
        problem(await http.post("/api/media", headers=alice, content=dripping()), 408, "timed_out")
        page = (await http.get("/api/media", headers=alice)).json()
        assert (page["arriving"], page["used"]) == (0, 0)
    assert left_behind(settings) == []


@pytest.mark.parametrize("step", ["write", "fsync"])
async def test_a_full_disk_fails_the_upload_and_nothing_else(
    api: Api, alice: dict[str, str], settings: Settings, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def full(*_: Any) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    await api.http.get("/api/media", headers=alice)  # from here on nothing else has to be written
    with monkeypatch.context() as disk:
        disk.setattr(f"data.media.store.os.{step}", full)
        problem(await api.http.post("/api/media", headers=alice, content=picture()), 503, "state_not_written")
    assert left_behind(settings) == []
    page = (await api.http.get("/api/media", headers=alice)).json()
    assert (page["arriving"], page["used"], page["files"]) == (0, 0, [])
    assert (await api.http.post("/api/media", headers=alice, content=picture())).status_code == 201


async def test_a_user_uploads_only_so_many_files_at_once(api: Api, alice: dict[str, str]) -> None:
    hold, begun = asyncio.Event(), asyncio.Semaphore(0)

    async def waiting(number: int) -> AsyncIterator[bytes]:
        yield large(1000, number)
        begun.release()
        await hold.wait()

    sending = [
        asyncio.create_task(api.http.post("/api/media", headers=alice, content=waiting(number)))
        for number in range(MOST_AT_ONCE)
    ]
    for _ in sending:
        await asyncio.wait_for(begun.acquire(), 5)
    problem(await api.http.post("/api/media", headers=alice, content=picture()), 429, "too_many_requests")
    hold.set()
    assert [(await one).status_code for one in sending] == [201] * MOST_AT_ONCE
