"""A photo, a video, a document or a voice message; and several files that show as one post."""

from typing import Any

from telethon.tl import functions
from telethon.tl import types as tl

from bot.compose.files import File, check_file, shown_as
from bot.compose.kinds.base import CAPTION, Kind, Right, rights_of_files, send_media, send_options, words
from bot.compose.post import Destination, Part, Ready, RenderContext
from core.errors import InvalidInput
from core.models import MediaKind, PostContent
from data.media.formats import kind_by_name

ALBUM_SIZES = range(2, 11)


class _MediaKind(Kind):
    """Files with a caption."""

    text = CAPTION
    own_fields = frozenset({"media"})

    def filled_in(self, content: PostContent, context: RenderContext, field: str) -> PostContent:
        return content

    def matches(self, message: Any, part: Part) -> bool:
        file = self.files(part.content)[part.index]
        return bool(message.message == part.said) and shown_as(message) is file.kind

    def rights(self, content: PostContent) -> tuple[Right, ...]:
        return rights_of_files(self.files(content))

    def refused_in_channels(self, content: PostContent) -> None:
        return None


class FileKind(_MediaKind):
    """One file, sent as one kind of media."""

    def __init__(self, kind: MediaKind) -> None:
        self._kind = kind

    def check(self, content: PostContent, field: str) -> None:
        here = f"{field}.media"
        if len(content.media) != 1:
            count = len(content.media)
            raise InvalidInput(here, f"a {self._kind} has one file, not {count}; several files make an album")
        (file,) = self.files(content)
        if file.kind is not self._kind:
            fix = f"a post of type {self._kind} cannot hold a file of kind {file.kind}; leave it out"
            raise InvalidInput(f"{here}[0].kind", fix)
        check_file(file, f"{here}[0]")

    def files(self, content: PostContent) -> tuple[File, ...]:
        return tuple(File(media, media.kind or self._kind) for media in content.media)

    def request(self, to: Destination, ready: Ready) -> Any:
        (media,) = ready.media
        return send_media(to, ready, media)

    def summary(self, content: PostContent) -> str:
        return f"a {self._kind}: {', '.join(media.file for media in content.media)}"


class AlbumKind(_MediaKind):
    """2 to 10 files; the first one has the caption."""

    def check(self, content: PostContent, field: str) -> None:
        here = f"{field}.media"
        if len(content.media) not in ALBUM_SIZES:
            raise InvalidInput(here, f"an album has 2 to 10 files, not {len(content.media)}")
        files = self.files(content)
        for index, file in enumerate(files):
            check_file(file, f"{here}[{index}]")
        kinds = {file.kind for file in files}
        if MediaKind.VOICE in kinds:
            raise InvalidInput(here, "voice messages cannot stand in an album; post them on their own")
        if len(kinds) > 1 and not kinds <= {MediaKind.PHOTO, MediaKind.VIDEO}:
            fix = "an album holds photos and videos, or only documents, or only audio; not a mixture"
            raise InvalidInput(here, fix)

    def files(self, content: PostContent) -> tuple[File, ...]:
        return tuple(File(media, media.kind or kind_by_name(media.file)) for media in content.media)

    def request(self, to: Destination, ready: Ready) -> Any:
        parts = [
            tl.InputSingleMedia(media, random_id=random_id, **(words(ready) if index == 0 else {"message": ""}))
            for index, (media, random_id) in enumerate(zip(ready.media, ready.random_ids, strict=True))
        ]
        return functions.messages.SendMultiMediaRequest(to.peer, parts, **send_options(to, ready.content))

    def summary(self, content: PostContent) -> str:
        return f"an album of {len(content.media)} files"
