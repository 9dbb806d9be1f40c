"""Whatever stands in a media file, looking at it ends within bounds, with numbers or with a refusal."""

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core import confined
from core.errors import InvalidInput, TakesTooLong, TakesTooMuch, UnsupportedMedia
from core.models import MediaKind
from data.media.content import BOUNDS, content_of, still_of
from data.media.formats import FORMATS, Content, kind_by_name, type_by_name
from tests.support.films import film, sound

WHOLE = {
    **{form: film(form, seconds=1) for form in ("mp4", "mkv", "webm")},
    **{form: sound(form, 1) for form in ("mp3", "m4a", "ogg", "flac", "wav")},
}


@pytest.mark.parametrize("form", sorted(WHOLE))
@given(
    changes=st.lists(st.tuples(st.integers(0, 4000), st.binary(min_size=1, max_size=8)), max_size=6),
    length=st.integers(20, 4000),
)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_damaged_file_is_measured_or_refused(
    tmp_path: Path, form: str, changes: list[tuple[int, bytes]], length: int
) -> None:
    content = bytearray(WHOLE[form])
    for place, piece in changes:
        start = place % len(content)
        content[start : start + len(piece)] = piece
    path = tmp_path / f"damaged.{form}"
    path.write_bytes(content[:length] if length % 3 else content)
    try:
        found = confined.run(BOUNDS, content_of, path)
        still = confined.run(BOUNDS, still_of, path, found.type)
    except (InvalidInput, UnsupportedMedia, TakesTooLong, TakesTooMuch):
        return
    assert found.type in FORMATS
    assert found.duration is None or found.duration > 0
    assert (found.width is None) == (found.height is None)
    assert still is None or still.jpeg.startswith(b"\xff\xd8")


@pytest.mark.parametrize("form", ["mp4", "m4a"])
def test_a_codec_that_nobody_knows_is_no_fault_of_the_file(tmp_path: Path, form: str) -> None:
    path = tmp_path / f"strange.{form}"
    path.write_bytes(WHOLE[form].replace(b"mp4v", b"zzzz").replace(b"mp4a", b"zzzz").replace(b"esds", b"zzzz"))
    found = confined.run(BOUNDS, content_of, path)
    assert found == Content(found.type, duration=found.duration)
    assert found.duration == pytest.approx(1, abs=0.2)
    assert confined.run(BOUNDS, still_of, path, found.type) is None


def test_a_film_that_names_another_file_is_not_followed(tmp_path: Path) -> None:
    """A list of files to play one after the other, dressed up as each format that is taken."""
    (tmp_path / "secret.mp4").write_bytes(WHOLE["mp4"])
    for text in ("ffconcat version 1.0\nfile secret.mp4\n", "#EXTM3U\n#EXTINF:1,\nsecret.mp4\n#EXT-X-ENDLIST\n"):
        path = tmp_path / "list.mp4"
        path.write_text(text)
        with pytest.raises(UnsupportedMedia):
            confined.run(BOUNDS, content_of, path)
        for magic in (b"\0\0\0\x20ftypisom\0\0\2\0isomiso2avc1mp41", b"\x1a\x45\xdf\xa3\x42\x82\x88matroska"):
            path.write_bytes(magic + text.encode())
            found = confined.run(BOUNDS, content_of, path)
            assert found == Content(found.type)


def test_the_daemon_never_loads_what_reads_videos() -> None:
    code = "import sys, api.app, cli.daemon; print('av' in sys.modules, 'data.media.content' in sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert loaded.stdout.split() == ["False", "True"]


@pytest.mark.parametrize(
    ("name", "media_type", "kind"),
    [
        ("a.JPEG", "image/jpeg", MediaKind.PHOTO),
        ("a.m4v", "video/mp4", MediaKind.VIDEO),
        ("a.flac", "audio/flac", MediaKind.AUDIO),
        ("a.opus", "audio/ogg", MediaKind.VOICE),
        ("a.gif", "image/gif", MediaKind.DOCUMENT),
        ("a.txt", "text/plain", MediaKind.DOCUMENT),
        ("nothing", "application/octet-stream", MediaKind.DOCUMENT),
    ],
)
def test_a_name_promises_a_type_and_a_kind(name: str, media_type: str, kind: MediaKind) -> None:
    assert (type_by_name(name), kind_by_name(name)) == (media_type, kind)
