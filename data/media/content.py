"""What a media file is, by its content: neither its name nor what somebody says of it counts.

Magic numbers tell the format. A picture is really decoded besides, so that nothing else passes for one; how many pixels
it may have is bounded before memory is taken for them. Of videos and sound the container is read, by FFmpeg's libraries
and with the one demuxer that belongs to the format, for some demuxers open other files.

These functions run in a process of their own (core.confined), so this module imports little.
"""

import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import filetype
from PIL import ExifTags, Image

from core.confined import Bounds
from core.errors import InvalidInput, UnsupportedMedia
from core.models import MediaKind

BOUNDS = Bounds(cpu_seconds=20, seconds=60, memory_bytes=512 * 2**20)
"""Of reading one file: a picture of 25 million pixels, or one frame of a large video."""
MOST_PIXELS = 25_000_000
"""A photo at Telegram has no more. Decoding takes up to 12 bytes a pixel (progressive JPEG) …"""
_MOST_PIXELS_WEBP = 12_500_000
"""… and up to 16 where two canvases are kept (animated WebP): 300 MB at most."""
THUMBNAIL_SIDE = 320
"""core.telegram.org/bots/api#sendvideo: JPEG, at most 320 pixels a side, less than 200 kB."""
_HEAD_BYTES = 8192
_QUARTER_TURNS = range(5, 9)
"""Values of EXIF's Orientation."""
_OFFICE = "application/vnd.openxmlformats-officedocument"


@dataclass(frozen=True)
class Format:
    """A format of files that is taken."""

    suffix: str
    kind: MediaKind
    """As what such files can be posted."""
    reader: str = ""
    """Pillow's name of a picture's format, or FFmpeg's name of the demuxer."""


FORMATS = {
    "image/jpeg": Format(".jpg", MediaKind.PHOTO, "JPEG"),
    "image/png": Format(".png", MediaKind.PHOTO, "PNG"),
    "image/webp": Format(".webp", MediaKind.DOCUMENT, "WEBP"),
    "image/gif": Format(".gif", MediaKind.DOCUMENT, "GIF"),
    "video/mp4": Format(".mp4", MediaKind.VIDEO, "mov"),
    "video/x-m4v": Format(".m4v", MediaKind.VIDEO, "mov"),
    "video/quicktime": Format(".mov", MediaKind.VIDEO, "mov"),
    "video/webm": Format(".webm", MediaKind.VIDEO, "matroska"),
    "video/x-matroska": Format(".mkv", MediaKind.VIDEO, "matroska"),
    "audio/mpeg": Format(".mp3", MediaKind.AUDIO, "mp3"),
    "audio/mp4": Format(".m4a", MediaKind.AUDIO, "mov"),
    "audio/x-flac": Format(".flac", MediaKind.AUDIO, "flac"),
    "audio/x-wav": Format(".wav", MediaKind.AUDIO, "wav"),
    "audio/ogg": Format(".ogg", MediaKind.VOICE, "ogg"),
    "application/pdf": Format(".pdf", MediaKind.DOCUMENT),
    "application/zip": Format(".zip", MediaKind.DOCUMENT),
    f"{_OFFICE}.wordprocessingml.document": Format(".docx", MediaKind.DOCUMENT),
    f"{_OFFICE}.spreadsheetml.sheet": Format(".xlsx", MediaKind.DOCUMENT),
    f"{_OFFICE}.presentationml.presentation": Format(".pptx", MediaKind.DOCUMENT),
}
"""Media type → format. A browser runs none of them."""
_SAID = (
    "pictures (JPEG, PNG, WebP, GIF), videos (MP4, MOV, WebM, MKV), audio (MP3, M4A, FLAC, WAV), "
    "voice (Opus in Ogg) and documents (PDF, ZIP, Word, Excel, PowerPoint) are taken"
)


@dataclass(frozen=True)
class Content:
    """What a file holds. A number is None where the format has none, or where it cannot be read."""

    type: str
    """The media type."""
    width: int | None = None
    """Pixels, as shown."""
    height: int | None = None
    duration: float | None = None
    """Seconds."""


@dataclass(frozen=True)
class Still:
    """A picture out of a video."""

    jpeg: bytes
    on_its_side: bool
    """Whether the video is shown turned by a quarter: its width is then its height."""


def content_of(path: Path) -> Content:
    """What the file is.

    Raises:
        UnsupportedMedia: none of the kinds that are taken.
        InvalidInput: a picture that cannot be decoded, or with too many pixels.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    guessed = filetype.guess(head)
    found = FORMATS.get(guessed.mime) if guessed is not None else None
    if guessed is None or found is None or (guessed.mime == "audio/ogg" and b"OpusHead" not in head):
        raise UnsupportedMedia(f"This is no file of a kind that can be posted: {_SAID}.")
    if guessed.mime.startswith("image/"):
        return Content(guessed.mime, *_decoded(path, found.reader))
    if found.reader:
        return _measured(path, guessed.mime, found)
    return Content(guessed.mime)


def still_of(path: Path, media_type: str) -> Still | None:
    """A small picture of what a video shows near its beginning; None where nothing can be decoded."""
    try:
        with _opened(path, FORMATS[media_type]) as container:
            video = _picture_stream(container)
            return None if video is None else _still(container, video)
    except (av.FFmpegError, ValueError, ArithmeticError):
        return None


def _decoded(path: Path, form: str) -> tuple[int, int]:
    """Width and height of a picture, after all of its (first) picture was decoded."""
    try:
        with Image.open(path, formats=(form,)) as picture:
            width, height = picture.size
            if width * height > (_MOST_PIXELS_WEBP if form == "WEBP" else MOST_PIXELS):
                raise _too_many_pixels(f"{width} × {height}")
            picture.load()
            return (height, width) if _lies_on_its_side(picture) else (width, height)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise _too_many_pixels("far too many") from None
    except InvalidInput:
        raise
    except (OSError, SyntaxError, ValueError, ArithmeticError, LookupError, MemoryError, EOFError) as error:
        # What Pillow raises for broken pictures, by format and kind of damage.
        raise InvalidInput("body", f"begins like a {form} picture but cannot be decoded; export it again") from error


def _lies_on_its_side(picture: Image.Image) -> bool:
    """Whether a camera noted that the picture is to be turned by a quarter."""
    try:
        return picture.getexif().get(ExifTags.Base.Orientation) in _QUARTER_TURNS
    except (OSError, SyntaxError, ValueError, ArithmeticError, LookupError, TypeError, struct.error):
        return False  # the note is damaged, not the picture


def _too_many_pixels(size: str) -> InvalidInput:
    return InvalidInput(
        "body", f"the picture has {size} pixels; at most {MOST_PIXELS:,} are taken, of WebP half as many"
    )


def _opened(path: Path, form: Format) -> Any:
    options = {"protocol_whitelist": "file"}
    return av.open(f"file:{path}", format=form.reader, options=options, metadata_errors="ignore")


def _measured(path: Path, media_type: str, form: Format) -> Content:
    try:
        with _opened(path, form) as container:
            video = _picture_stream(container) if form.kind is MediaKind.VIDEO else None
            if video is not None:
                return Content(media_type, *_size(video), _duration(container))
            if form.reader == "mov" and container.streams.audio:
                media_type = "audio/mp4"  # whatever its brand says
            return Content(media_type, duration=_duration(container))
    except (av.FFmpegError, ValueError, ArithmeticError):
        return Content(media_type)


def _picture_stream(container: Any) -> Any:
    """The moving picture; the cover of a piece of music is none."""
    cover = av.stream.Disposition.attached_pic
    return next((stream for stream in container.streams.video if not stream.disposition & cover), None)


def _size(video: Any) -> tuple[int | None, int | None]:
    width, height = video.codec_context.width, video.codec_context.height
    if not width or not height:
        return None, None
    return round(width * float(video.sample_aspect_ratio or 1)) or None, height


def _duration(container: Any) -> float | None:
    """As the container says; a recording that was streamed says nothing, so its packets are looked through."""
    if container.duration is not None and container.duration > 0:
        return float(container.duration / av.time_base)
    end = 0.0
    for packet in container.demux():
        at = packet.pts if packet.pts is not None else packet.dts
        if at is not None and packet.time_base is not None:
            end = max(end, float((at + (packet.duration or 0)) * packet.time_base))
    return end or None


def _still(container: Any, video: Any) -> Still | None:
    video.codec_context.thread_count = 1
    for frame in _frames(container, video):
        aspect = float(video.sample_aspect_ratio or 1)
        width, height = frame.width * aspect, frame.height
        scale = min(1.0, THUMBNAIL_SIDE / max(width, height))
        small = frame.reformat(max(1, int(width * scale)), max(1, int(height * scale)), format="rgb24")
        image = small.to_image().rotate(frame.rotation, expand=True)
        written = io.BytesIO()
        image.save(written, "JPEG", quality=80)
        return Still(written.getvalue(), frame.rotation % 180 != 0)
    return None


def _frames(container: Any, video: Any) -> Iterator[Any]:
    """One frame a tenth into the video, where the first is often black; and the first."""
    for moment in (container.duration // 10 if container.duration else 0, 0):
        try:
            container.seek(moment)
            frame = next(container.decode(video), None)
        except av.FFmpegError:
            continue
        if frame is not None:
            yield frame
