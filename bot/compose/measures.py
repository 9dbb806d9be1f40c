"""The numbers Telegram needs of a file: the shape of a photo, the length and size of a video or sound.

Telegram refuses photos that are too long or too large. It shows a video without numbers as one pixel of 0 seconds. The
numbers come from the file (`data.media.looks`), or from the post where the file does not tell them.
"""

from pathlib import Path
from typing import Any

from telethon.tl import types as tl

from core.errors import InvalidInput
from core.models import Media, MediaKind
from data.media.formats import PHOTO_TYPES
from data.media.layout import About

_PHOTO_SIDES = 10_000
_PHOTO_RATIO = 20
"""core.telegram.org/bots/api#sendphoto: width and height together, and one to the other."""
_NEEDED = {
    MediaKind.VIDEO: ("duration", "width", "height"),
    MediaKind.AUDIO: ("duration",),
    MediaKind.VOICE: ("duration",),
}


def photo_obstacle(media_type: str, width: int | None, height: int | None) -> str | None:
    """Return why Telegram would refuse a picture as a photo; None if Telegram takes it."""
    if width is None or height is None:
        return "cannot be read as a picture; export it again"
    if media_type not in PHOTO_TYPES:
        return f"is no JPEG or PNG but {media_type}; save it as one of them"
    if width + height > _PHOTO_SIDES:
        return f"is {width} × {height} pixels; width and height together can be {_PHOTO_SIDES:,}; make it smaller"
    if max(width, height) > _PHOTO_RATIO * min(width, height):
        return f"is {width} × {height} pixels; one side can be {_PHOTO_RATIO} times the other; cut it"
    return None


def check_measures(media: Media, kind: MediaKind, about: About, field: str) -> None:
    """Refuse a file that Telegram would refuse, or show wrong, because of its content.

    Raises:
        InvalidInput: the file cannot be sent as it is; the error names it and the fix.
    """
    if kind is MediaKind.PHOTO:
        obstacle = photo_obstacle(about.type, about.width, about.height)
        if obstacle is not None:
            raise InvalidInput(field, f"'{media.file}' {obstacle}, or post it as a document")
    missing = [name for name in _NEEDED.get(kind, ()) if _given(media, about, name) is None]
    if missing:
        raise InvalidInput(
            field,
            f"{', '.join(missing)} of '{media.file}' cannot be read from it; write them beside the file, "
            "export it again, or post it as a document",
        )


def attributes(media: Media, kind: MediaKind, about: About) -> list[Any]:
    """Return Telethon's attributes of a document. What the post says goes before what the file says."""
    name = tl.DocumentAttributeFilename(about.label)
    duration = _given(media, about, "duration") or 0
    match kind:
        case MediaKind.VIDEO:
            width, height = (int(_given(media, about, side) or 1) for side in ("width", "height"))
            return [name, tl.DocumentAttributeVideo(duration, width, height, supports_streaming=True)]
        case MediaKind.AUDIO:
            return [name, tl.DocumentAttributeAudio(_whole(duration), title=Path(about.label).stem)]
        case MediaKind.VOICE:
            return [tl.DocumentAttributeAudio(_whole(duration), voice=True)]
    return [name]


def _given(media: Media, about: About, name: str) -> float | None:
    written: float | None = getattr(media, name)
    read: float | None = getattr(about, name)
    return written if written is not None else read


def _whole(seconds: float) -> int:
    return max(1, round(seconds))
