"""Finds out what media files are and what can be measured in them, in the process that reads foreign files."""

import asyncio
import contextlib
from datetime import UTC, datetime
from pathlib import Path

from msgspec.structs import replace

from core import confined
from core.errors import InvalidInput, ReaderBroke, StateError, Unreadable, UnsupportedMedia
from core.models import MediaKind
from data.media.content import BOUNDS, content_of, still_of
from data.media.formats import FORMATS, UNKNOWN_TYPE, Content
from data.media.layout import About, about_of, content_mark, keep_about

_NOTHING = Content(UNKNOWN_TYPE)


async def look(path: Path) -> tuple[Content, bytes | None]:
    """Return what a file is, and a thumbnail (JPEG) if it is a video.

    Raises:
        UnsupportedMedia, InvalidInput: it is of no kind that is accepted.
        Unreadable: it cannot be read within bounds.
        NotRead: the machine has no room to read it now.
    """
    path = await asyncio.to_thread(path.resolve)
    content = await confined.run_async(BOUNDS, content_of, path)
    if FORMATS[content.type].kind is not MediaKind.VIDEO:
        return content, None
    try:
        still = await confined.run_async(BOUNDS, still_of, path, content.type)
    except Unreadable:
        still = None
    if still is None:
        return content, None
    if still.on_its_side:
        content = Content(content.type, content.height, content.width, content.duration)
    return content, still.jpeg


async def looked_at(folder: Path, file: str) -> About:
    """Return the description of a file in a media folder. A file without one is looked at first.

    Raises:
        OSError, StateError: it cannot be read now.
        NotRead: the machine has no room to read it now.
    """
    known = await asyncio.to_thread(about_of, folder, file)
    if known is not None and known.measured:
        return known
    facts = await asyncio.to_thread((folder / file).stat)
    broke = False
    try:
        content, thumbnail = await look(folder / file)
    except (InvalidInput, UnsupportedMedia, Unreadable) as error:
        content, thumbnail = _NOTHING, None
        broke = isinstance(error, ReaderBroke)  # perhaps the machine ended the reader
    if known is None:
        known = About(
            label=file,
            type=content.type,
            kind=FORMATS[content.type].kind if content.type in FORMATS else MediaKind.DOCUMENT,
            content=content_mark(facts),
            added_at=datetime.fromtimestamp(facts.st_mtime, UTC),
        )
    about = replace(
        known,
        width=content.width or known.width,
        height=content.height or known.height,
        duration=content.duration,
        measured=True,
    )
    if not broke:
        with contextlib.suppress(OSError, StateError):  # the next caller looks again
            await asyncio.to_thread(keep_about, folder, file, about, thumbnail)
    return about
