"""The formats of files that are accepted, and what is found in a file. It is the one table of media types."""

import mimetypes
from dataclasses import dataclass
from pathlib import PurePosixPath

from core.models import MediaKind

UNKNOWN_TYPE = "application/octet-stream"
_OFFICE = "application/vnd.openxmlformats-officedocument"


@dataclass(frozen=True)
class Format:
    """One format of files."""

    suffixes: tuple[str, ...]
    """The first is the one that files get here."""
    kind: MediaKind
    """How such files can be posted."""
    reader: str = ""
    """Pillow's name of a picture's format, or FFmpeg's name of the demuxer; "": nothing is read of it."""
    posted_as: str = ""
    """The media type that Telegram is told, if it is another one."""

    @property
    def suffix(self) -> str:
        """Return the suffix that files of the format get here."""
        return self.suffixes[0]


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


FORMATS = {
    "image/jpeg": Format((".jpg", ".jpeg"), MediaKind.PHOTO, "JPEG"),
    "image/png": Format((".png",), MediaKind.PHOTO, "PNG"),
    "image/webp": Format((".webp",), MediaKind.DOCUMENT, "WEBP"),
    "image/gif": Format((".gif",), MediaKind.DOCUMENT, "GIF"),
    "video/mp4": Format((".mp4",), MediaKind.VIDEO, "mov"),
    "video/x-m4v": Format((".m4v",), MediaKind.VIDEO, "mov", "video/mp4"),
    "video/quicktime": Format((".mov",), MediaKind.VIDEO, "mov"),
    "video/webm": Format((".webm",), MediaKind.VIDEO, "matroska"),
    "video/x-matroska": Format((".mkv",), MediaKind.VIDEO, "matroska"),
    "audio/mpeg": Format((".mp3",), MediaKind.AUDIO, "mp3"),
    "audio/mp4": Format((".m4a",), MediaKind.AUDIO, "mov"),
    "audio/x-flac": Format((".flac",), MediaKind.AUDIO, "flac", "audio/flac"),
    "audio/x-wav": Format((".wav",), MediaKind.AUDIO, "wav"),
    "audio/ogg": Format((".ogg", ".oga", ".opus"), MediaKind.VOICE, "ogg"),
    "application/pdf": Format((".pdf",), MediaKind.DOCUMENT),
    "application/zip": Format((".zip",), MediaKind.DOCUMENT),
    f"{_OFFICE}.wordprocessingml.document": Format((".docx",), MediaKind.DOCUMENT),
    f"{_OFFICE}.spreadsheetml.sheet": Format((".xlsx",), MediaKind.DOCUMENT),
    f"{_OFFICE}.presentationml.presentation": Format((".pptx",), MediaKind.DOCUMENT),
}
"""Media type, as `filetype` names it → format. A browser runs none of them."""
PHOTO_TYPES = frozenset(media_type for media_type, form in FORMATS.items() if form.kind is MediaKind.PHOTO)
IN_WORDS = (
    "pictures (JPEG, PNG, WebP, GIF), videos (MP4, MOV, WebM, MKV), audio (MP3, M4A, FLAC, WAV), "
    "voice (Opus in Ogg) and documents (PDF, ZIP, Word, Excel, PowerPoint) are taken"
)
_BY_SUFFIX = {suffix: (form.posted_as or name, form) for name, form in FORMATS.items() for suffix in form.suffixes}


def type_by_name(name: str) -> str:
    """Return the media type that a file's name promises."""
    found = _BY_SUFFIX.get(_suffix(name))
    return found[0] if found is not None else mimetypes.guess_type(name)[0] or UNKNOWN_TYPE


def kind_by_name(name: str) -> MediaKind:
    """Return how a file of that name is posted; a document where its suffix says nothing else."""
    found = _BY_SUFFIX.get(_suffix(name))
    return found[1].kind if found is not None else MediaKind.DOCUMENT


def _suffix(name: str) -> str:
    return PurePosixPath(name).suffix.lower()
