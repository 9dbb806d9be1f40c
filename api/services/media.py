"""Uploaded files as the API shows them, and how an upload becomes a file with a name."""

import asyncio
from collections.abc import AsyncIterator

from msgspec.structs import replace

from api.backend import Backend
from api.services.media_label import label_of
from api.views.base import View
from bot.compose.content import media_of
from bot.compose.measures import photo_obstacle
from bot.compose.media import MAX_PHOTO_BYTES
from core.clock import Clock
from core.errors import InvalidInput, Unreadable
from core.models import MediaKind, Moment, User
from core.settings import Settings
from data.media.formats import FORMATS, kind_by_name, type_by_name
from data.media.layout import About, rename_old_folders, sweep
from data.media.looks import look
from data.media.store import Arrival, MediaStore, StoredFile

MEGABYTE = 1_000_000
_BUFFER = 256 * 1024
"""Bytes of an upload in memory at a time."""


class MediaView(View, frozen=True, kw_only=True):
    """A file that posts can name."""

    name: str
    """What `media[].file` of a post takes."""
    label: str
    """What people see where Telegram shows a file's name."""
    type: str
    kind: MediaKind
    """The kind as which it can be posted. A picture too large for a photo is a document."""
    bytes: int
    width: int | None
    """Pixels of a picture or a video, as shown."""
    height: int | None
    duration: float | None
    """Seconds of a video or of sound. Null: it has none, or it cannot be read and posts have to say it."""
    added_at: Moment
    used_by: list[str]
    """Where the config names it: `post_content.posts[2].media[0]`. Such a file cannot be deleted."""


class MediaPage(View, frozen=True, kw_only=True):
    """The caller's files, and how much room there is, in bytes."""

    files: list[MediaView]
    quota: int
    used: int
    arriving: int
    """Reserved for uploads that are under way."""
    left: int
    largest: int
    """The largest file that is taken."""


def open_media(settings: Settings) -> MediaStore:
    """Return the store, after removing what a crash left of uploads."""
    rename_old_folders(settings.state_dir)
    sweep(settings.state_dir, 0)
    return MediaStore(
        settings.state_dir,
        quota=settings.media_quota_mb * MEGABYTE,
        largest=settings.max_upload_mb * MEGABYTE,
    )


def uses_of(user: User | None, name: str) -> list[str]:
    """Return where the user's config names the file."""
    return [] if user is None else [where for where, media in media_of(user.post_content) if media.file == name]


async def uses_now(backend: Backend, user_id: str, name: str) -> list[str]:
    """Return the same, and the unfinished cycle, which posts what the config said when it began. Raises StateError."""
    found = uses_of((await backend.store.refresh()).users.get(user_id), name)
    unfinished = await backend.journal.unfinished_cycle(user_id)
    if not found and unfinished and any(media.file == name for _, media in media_of(unfinished[0].post_content)):
        found.append("the cycle that is not finished")
    return found


def media_view(file: StoredFile, user: User | None) -> MediaView:
    """Return the view of a file. Until one that was put there by hand is inspected, it is what its name says."""
    about = file.about or About(
        label=file.name,
        type=type_by_name(file.name),
        kind=kind_by_name(file.name),
        added_at=file.changed_at,
    )
    return MediaView(
        name=file.name,
        label=about.label,
        type=about.type,
        kind=about.kind if file.about is None else _kind(about, file.bytes),
        bytes=file.bytes,
        width=about.width,
        height=about.height,
        duration=about.duration,
        added_at=about.added_at,
        used_by=uses_of(user, file.name),
    )


def _kind(about: About, size: int) -> MediaKind:
    """Return as what the file can be posted."""
    if about.kind is not MediaKind.PHOTO:
        return about.kind
    fits = photo_obstacle(about.type, about.width, about.height) is None and size <= MAX_PHOTO_BYTES
    return MediaKind.PHOTO if fits else MediaKind.DOCUMENT


async def receive(arrival: Arrival, pieces: AsyncIterator[bytes]) -> None:
    """Write the pieces to the file, in larger portions. Raises as `pieces` and `Arrival.write` do."""
    buffer = bytearray()
    async for piece in pieces:
        buffer += piece
        if len(buffer) >= _BUFFER:
            await asyncio.to_thread(arrival.write, bytes(buffer))
            buffer.clear()
    await asyncio.to_thread(arrival.write, bytes(buffer))


class MediaInspector:
    """Inspects files that have arrived, one at a time: a decoded picture takes much memory."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._one_at_a_time = asyncio.Lock()

    async def keep(self, arrival: Arrival, label: str | None) -> tuple[StoredFile, bool]:
        """Find out what the file is and make it the user's; return it, and whether its content is new to the user.

        Raises:
            UnsupportedMedia: the file is of no kind that is taken.
            InvalidInput: it is empty, or cannot be read within bounds.
            NotRead: the machine has no room to inspect it now.
            StateNotWritten: the disk refused.
        """
        if not arrival.size:
            raise InvalidInput("body", "is empty; send the file's content")
        async with self._one_at_a_time:
            try:
                found, thumbnail = await look(arrival.path)
            except Unreadable as error:
                raise InvalidInput("body", f"{error}; export it again") from error
        form = FORMATS[found.type]
        about = About(
            label=label_of(label, arrival.name, form.suffix),
            type=found.type,
            kind=form.kind,
            width=found.width,
            height=found.height,
            duration=found.duration,
            measured=True,
            added_at=self._clock.now(),
        )
        about = replace(about, kind=_kind(about, arrival.size))
        return await asyncio.to_thread(arrival.keep, form.suffix, about, thumbnail, relabel=label is not None)
