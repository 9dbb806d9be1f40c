"""What a media file is, by its content: not by its name or by what anybody says of it.

Magic numbers tell the format. A picture is decoded besides, so that nothing else passes for one; the number of its
pixels is bounded before memory is taken for them. Of videos and sound the container is read (`data.media.videos`).

These functions run in a process of their own (`core.confined`). The daemon imports this module to name them, so the
libraries of FFmpeg are imported inside them.
"""

import struct
from pathlib import Path

import filetype
from PIL import ExifTags, Image

from core.confined import Bounds
from core.errors import InvalidInput, UnsupportedMedia
from data.media.formats import FORMATS, IN_WORDS, Content, Still

PRELOADED = ("data.media.videos",)
"""See `core.confined`."""
BOUNDS = Bounds(cpu_seconds=20, seconds=60, memory_bytes=512 * 2**20)
"""Of reading one file: a picture of 25 million pixels, or one frame of a large video."""
MOST_PIXELS = 25_000_000
"""A photo at Telegram has no more. Decoding takes up to 12 bytes a pixel (progressive JPEG)."""
_MOST_PIXELS_WEBP = 12_500_000
"""An animated WebP keeps two canvases and takes up to 16 bytes a pixel. Either way that is 300 MB at most."""
_HEAD_BYTES = 8192
_QUARTER_TURNS = range(5, 9)
"""Values of EXIF's Orientation."""


def content_of(path: Path) -> Content:
    """Return what the file is.

    Raises:
        UnsupportedMedia: it is of no kind that is accepted.
        InvalidInput: it is a picture that cannot be decoded, or has too many pixels.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    guessed = filetype.guess(head)
    found = FORMATS.get(guessed.mime) if guessed is not None else None
    if guessed is None or found is None or (guessed.mime == "audio/ogg" and b"OpusHead" not in head):
        raise UnsupportedMedia(f"This is no file of a kind that can be posted: {IN_WORDS}.")
    if guessed.mime.startswith("image/"):
        return Content(guessed.mime, *_decoded(path, found.reader))
    if found.reader:
        from data.media.videos import measured

        return measured(path, guessed.mime, found)
    return Content(guessed.mime)


def still_of(path: Path, media_type: str) -> Still | None:
    """Return a small picture of what a video shows near its beginning; None where nothing can be decoded."""
    from data.media.videos import still_in

    return still_in(path, FORMATS[media_type])


def _decoded(path: Path, form: str) -> tuple[int, int]:
    """Return width and height of a picture, after decoding the first one in it."""
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
    """Return whether a camera noted that the picture is to be turned by a quarter."""
    try:
        return picture.getexif().get(ExifTags.Base.Orientation) in _QUARTER_TURNS
    except (OSError, SyntaxError, ValueError, ArithmeticError, LookupError, TypeError, struct.error):
        return False  # the note is damaged, not the picture


def _too_many_pixels(size: str) -> InvalidInput:
    return InvalidInput(
        "body", f"the picture has {size} pixels; at most {MOST_PIXELS:,} are taken, of WebP half as many"
    )
