"""What an uploaded file is, by its content: neither its name nor what the client says of it counts.

Magic numbers tell the format. A picture is really decoded besides, so that nothing else passes for one; how many pixels
it may have is bounded before memory is taken for them. Blocks: call it from a thread, one at a time.
"""

import unicodedata
from dataclasses import dataclass
from pathlib import Path

import filetype
from PIL import Image

from bot.compose_media import MAX_PHOTO_BYTES
from core.errors import InvalidInput, UnsupportedMedia
from core.models import MediaKind

MOST_PIXELS = 25_000_000
"""A photo at Telegram has no more. Decoding takes up to 12 bytes a pixel (progressive JPEG) …"""
_MOST_PIXELS_WEBP = 12_500_000
"""… and up to 16 where two canvases are kept (animated WebP): 300 MB at most, for one picture at a time."""
LONGEST_LABEL = 80
_HEAD_BYTES = 8192
_PHOTO_SIDES = 10_000
_PHOTO_RATIO = 20
"""core.telegram.org/bots/api#sendphoto: width and height together, and one to the other."""
_OFFICE = "application/vnd.openxmlformats-officedocument"
_TAKEN = {
    "image/jpeg": (".jpg", MediaKind.PHOTO),
    "image/png": (".png", MediaKind.PHOTO),
    "image/webp": (".webp", MediaKind.DOCUMENT),
    "image/gif": (".gif", MediaKind.DOCUMENT),
    "video/mp4": (".mp4", MediaKind.VIDEO),
    "video/x-m4v": (".m4v", MediaKind.VIDEO),
    "video/quicktime": (".mov", MediaKind.VIDEO),
    "video/webm": (".webm", MediaKind.VIDEO),
    "video/x-matroska": (".mkv", MediaKind.VIDEO),
    "audio/mpeg": (".mp3", MediaKind.AUDIO),
    "audio/mp4": (".m4a", MediaKind.AUDIO),
    "audio/x-flac": (".flac", MediaKind.AUDIO),
    "audio/x-wav": (".wav", MediaKind.AUDIO),
    "audio/ogg": (".ogg", MediaKind.VOICE),
    "application/pdf": (".pdf", MediaKind.DOCUMENT),
    "application/zip": (".zip", MediaKind.DOCUMENT),
    f"{_OFFICE}.wordprocessingml.document": (".docx", MediaKind.DOCUMENT),
    f"{_OFFICE}.spreadsheetml.sheet": (".xlsx", MediaKind.DOCUMENT),
    f"{_OFFICE}.presentationml.presentation": (".pptx", MediaKind.DOCUMENT),
}
TYPES = tuple(_TAKEN)
"""The media types of files that are taken. A browser runs none of them."""
_PICTURES = {"image/jpeg": "JPEG", "image/png": "PNG", "image/webp": "WEBP", "image/gif": "GIF"}
_SAID = (
    "pictures (JPEG, PNG, WebP, GIF), videos (MP4, MOV, WebM, MKV), audio (MP3, M4A, FLAC, WAV), "
    "voice (Opus in Ogg) and documents (PDF, ZIP, Word, Excel, PowerPoint) are taken"
)


@dataclass(frozen=True)
class Recognized:
    """What the content is."""

    type: str
    suffix: str
    kind: MediaKind
    width: int | None = None
    height: int | None = None


def recognize(path: Path) -> Recognized:
    """What the file is.

    Raises:
        UnsupportedMedia: none of the kinds that are taken.
        InvalidInput: a picture that cannot be decoded, or with too many pixels.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    if not head:
        raise InvalidInput("body", "is empty; send the file's content")
    guessed = filetype.guess(head)
    found = _TAKEN.get(guessed.mime) if guessed is not None else None
    if guessed is None or found is None or (guessed.mime == "audio/ogg" and b"OpusHead" not in head):
        raise UnsupportedMedia(f"This is no file of a kind that can be posted: {_SAID}.")
    suffix, kind = found
    if guessed.mime not in _PICTURES:
        return Recognized(guessed.mime, suffix, kind)
    width, height = _decoded(path, _PICTURES[guessed.mime])
    fits = (
        width + height <= _PHOTO_SIDES
        and max(width, height) <= _PHOTO_RATIO * min(width, height)
        and path.stat().st_size <= MAX_PHOTO_BYTES
    )
    return Recognized(guessed.mime, suffix, kind if fits else MediaKind.DOCUMENT, width, height)


def _decoded(path: Path, form: str) -> tuple[int, int]:
    """Width and height of a picture, after all of its (first) picture was decoded."""
    try:
        with Image.open(path, formats=(form,)) as picture:
            width, height = picture.size
            if width * height > (_MOST_PIXELS_WEBP if form == "WEBP" else MOST_PIXELS):
                raise _too_many_pixels(f"{width} × {height}")
            picture.load()
            return width, height
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise _too_many_pixels("far too many") from None
    except InvalidInput:
        raise
    except (OSError, SyntaxError, ValueError, ArithmeticError, LookupError, MemoryError, EOFError) as error:
        # What Pillow raises for broken pictures, by format and kind of damage.
        raise InvalidInput("body", f"begins like a {form} picture but cannot be decoded; export it again") from error


def _too_many_pixels(size: str) -> InvalidInput:
    return InvalidInput(
        "body", f"the picture has {size} pixels; at most {MOST_PIXELS:,} are taken, of WebP half as many"
    )


def label_of(wanted: str | None, name: str, suffix: str) -> str:
    """What the client calls the file, made harmless: one line, no folders, and the suffix of what it really is."""
    plain = "".join(
        sign
        for sign in unicodedata.normalize("NFC", wanted or "")
        if unicodedata.category(sign)[0] not in "CZ" or sign == " "
    )
    stem = plain.replace("\\", "/").rpartition("/")[2].strip(" .")
    if "." in stem and len(stem.rpartition(".")[2]) <= 5:
        stem = stem.rpartition(".")[0].strip(" .")
    stem = "".join(sign for sign in stem if sign not in '<>:"|?*')[: LONGEST_LABEL - len(suffix)]
    return f"{stem or name}{suffix}"
