"""Looks at media files: what they are and what can be measured in them, in the process that reads what others made."""

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
    """What a file is, and a thumbnail where it is a video, a JPEG.

    Raises:
        UnsupportedMedia, InvalidInput: it is nothing that is taken.
        Unreadable: it cannot be read within bounds.
        NotRead: the machine has no room to read it just now.
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
    """What is known of a file in a media folder; it is looked at where that was never done, and that is written down.

    Raises:
        OSError, StateError: it cannot be read just now.
        NotRead: the machine has no room to read it just now.
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
        broke = isinstance(error, ReaderBroke)  # perhaps the machine ended it
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
        with contextlib.suppress(OSError, StateError):  # next time it is looked at again
            await asyncio.to_thread(keep_about, folder, file, about, thumbnail)
    return about
