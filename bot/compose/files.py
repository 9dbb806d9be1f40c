"""The files of a post: the kind each is sent as, the names each kind takes, and the kind a message shows."""

from typing import Any, NamedTuple

from telethon.tl import types as tl

from core.errors import InvalidInput
from core.models import Media, MediaKind
from data.media.formats import kind_by_name

_SUFFIXES_OF_KIND = {
    MediaKind.PHOTO: ".jpg or .png",
    MediaKind.VIDEO: ".mp4, .mov, .webm or .mkv",
    MediaKind.AUDIO: ".mp3, .m4a, .flac or .wav",
    MediaKind.VOICE: ".ogg or .opus (Opus in Ogg)",
}


class File(NamedTuple):
    """A file of a post, and the kind it is sent as."""

    media: Media
    kind: MediaKind


def check_file(file: File, field: str) -> None:
    """Refuse a file whose name or numbers do not fit the kind it is sent as.

    Raises:
        InvalidInput: naming the field of the file, and how to mend it.
    """
    name = file.media.file
    if not name or name in {".", ".."} or any(sign in name for sign in "/\\\0") or len(name.encode()) > 255:
        raise InvalidInput(f"{field}.file", "write the name of an uploaded file, without folders")
    if file.kind in _SUFFIXES_OF_KIND and kind_by_name(name) is not file.kind:
        raise InvalidInput(
            f"{field}.file",
            f"'{name}' is no {file.kind}; use {_SUFFIXES_OF_KIND[file.kind]}, or post it as a document",
        )
    for label in ("duration", "width", "height"):
        value = getattr(file.media, label)
        if value is not None and not 0 < value < 2**31:
            raise InvalidInput(f"{field}.{label}", "has to be a whole number above 0")


def shown_as(message: Any) -> MediaKind | None:
    """Return the kind of file a message shows; None if it has no file. The preview of a link is no file."""
    if isinstance(message.media, tl.MessageMediaPhoto):
        return MediaKind.PHOTO
    if not isinstance(message.media, tl.MessageMediaDocument):
        return None
    for attribute in getattr(message.media.document, "attributes", ()):
        if isinstance(attribute, tl.DocumentAttributeVideo):
            return MediaKind.VIDEO
        if isinstance(attribute, tl.DocumentAttributeAudio):
            return MediaKind.VOICE if attribute.voice else MediaKind.AUDIO
    return MediaKind.DOCUMENT
