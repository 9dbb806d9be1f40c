"""A user's files on their way to Telegram: checked, uploaded once an account, then sent by reference."""

import asyncio
import contextlib
import errno
import io
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from stat import S_ISREG
from typing import Any, BinaryIO

from telethon import TelegramClient, utils
from telethon.tl import functions
from telethon.tl import types as tl

from bot.compose.content import render
from bot.compose.files import File
from bot.compose.kinds.register import files_of
from bot.compose.measures import attributes, check_measures
from bot.compose.post import Post
from bot.compose.text import MAX_CAPTION_UNITS
from core.errors import InvalidInput, NotRead, StateError
from core.models import Media, MediaKind
from data.media.formats import type_by_name
from data.media.layout import About, shown_name, thumbnail_of
from data.media.looks import looked_at
from sessions.connections.client import Call

MAX_PHOTO_BYTES = 10 * 1024 * 1024
MAX_FILE_BYTES = 4000 * 512 * 1024
MAX_FILE_BYTES_PREMIUM = 2 * MAX_FILE_BYTES
"""core.telegram.org/api/files: 4,000 parts of 512 KiB, for Premium accounts 8,000."""
_KEPT = 64
"""Files an account keeps at hand; more are uploaded anew."""


def file_of(folder: Path, media: Media, kind: MediaKind, field: str, *, premium: bool = False) -> Path:
    """Return the path of a file that can be sent as this kind.

    Raises:
        InvalidInput: the file is missing, empty, too big, or outside the user's folder.
        StateError: the machine cannot read it now, which is not the file's fault.
    """
    path = folder / media.file
    with _reading(media, field):
        inside = path.resolve().is_relative_to(folder.resolve())
        facts = path.stat() if inside else None
    if facts is None or not S_ISREG(facts.st_mode):
        raise _no_file(media, field)
    size = facts.st_size
    if size == 0:
        raise InvalidInput(field, f"'{media.file}' is empty; upload it again")
    most = MAX_FILE_BYTES_PREMIUM if premium else MAX_FILE_BYTES
    if kind is MediaKind.PHOTO:
        most = MAX_PHOTO_BYTES
    if size > most:
        raise InvalidInput(field, f"'{media.file}' has {size / 2**20:,.0f} MiB; a {kind} can have {most / 2**20:,.0f}")
    return path


def check_files(folder: Path, post: Post, *, premium: bool = False) -> int:
    """Return how many bytes the files of a post have together.

    Raises:
        InvalidInput: a file cannot be sent; the error names it and the reason.
    """
    return sum(
        file_of(folder, media, kind, _field(post, index), premium=premium).stat().st_size
        for index, (media, kind) in enumerate(files_of(post))
    )


async def check_contents(folder: Path, post: Post) -> int:
    """Look into the files of a post, once a file, and return how many bytes they have together.

    Raises:
        InvalidInput: not even a Premium account can send a file; the error names it and the reason.
        NotRead, StateError: the machine cannot read a file now.
    """
    size = await asyncio.to_thread(check_files, folder, post, premium=True)
    for index, (media, kind) in enumerate(files_of(post)):
        await _known(folder, media, kind, _field(post, index))
    return size


def _field(post: Post, index: int) -> str:
    """Return the field in which the post names its file number `index`."""
    return f"{post.field}.media[{index}].file"


async def _known(folder: Path, media: Media, kind: MediaKind, field: str) -> About | None:
    """Return what is known of the file's content; None for documents. Raises as `check_contents` does."""
    if kind is MediaKind.DOCUMENT:
        return None
    with _reading(media, field):
        about = await looked_at(folder, media.file)
    check_measures(media, kind, about, field)
    return about


def premium_needed(folder: Path, post: Post) -> str | None:
    """Return why only an account with Telegram Premium can send this post; None if any account can."""
    try:
        render(post, None)
    except InvalidInput:
        return f"a caption of more than {MAX_CAPTION_UNITS:,} characters needs Telegram Premium, which it has not"
    try:
        check_files(folder, post)
    except InvalidInput:
        if _fits(folder, post):
            return "a file this big needs Telegram Premium, which it has not"
    return None


def _fits(folder: Path, post: Post) -> bool:
    """Return whether a Premium account could send the files."""
    try:
        check_files(folder, post, premium=True)
    except InvalidInput:
        return False
    return True


class MediaShelf:
    """The files one account has uploaded to Telegram. A handle is valid for that account alone, and expires.

    A shelf outlives connections. One task uses it at a time, because an account sends one post after another.
    """

    def __init__(self, folder: Path, *, within: float = 30.0) -> None:
        self.folder = folder
        """Where the files come from."""
        self._within = within
        """Seconds without any progress after which an upload counts as hung."""
        self._handles: OrderedDict[tuple[object, ...], Any] = OrderedDict()
        self.uploads = 0
        """How many files were uploaded."""

    async def ready(self, client: TelegramClient, call: Call, post: Post, *, premium: bool = False) -> list[Any]:
        """Return Telethon's InputMedia for the files of a post. What is not on the shelf, or has changed, is uploaded.

        Raises:
            InvalidInput: a file cannot be sent.
            StateError: the machine cannot read a file now.
            CONNECTION_LOST, RPCError: an upload failed. Nothing was posted.
        """
        return [
            await self._one(client, call, file, _field(post, index), premium=premium)
            for index, file in enumerate(files_of(post))
        ]

    def forget(self, post: Post) -> None:
        """Drop the handles of this post's files, because Telegram refuses them: the next post uploads them again."""
        for key in [key for key in self._handles if key[0] in post.content.media]:
            del self._handles[key]

    async def _one(self, client: TelegramClient, call: Call, file: File, field: str, *, premium: bool) -> Any:
        media, kind = file
        path = file_of(self.folder, media, kind, field, premium=premium)
        with _reading(media, field):
            facts = path.stat()
        key = (media, kind, facts.st_size, facts.st_mtime_ns)
        if key not in self._handles:
            try:
                about = await _known(self.folder, media, kind, field)
            except NotRead as error:
                raise StateError(f"the uploaded file {media.file} cannot be read just now ({error})") from error
            shown = about.label if about else await asyncio.to_thread(shown_name, self.folder, media.file)
            with await asyncio.to_thread(_opened, path, media, field) as stream:
                uploaded = await _upload(client, stream, facts.st_size, shown, self._within)
            thumbnail = await self._thumbnail(client, media, kind)
            made = _as_uploaded(uploaded, media, kind, about, shown, thumbnail)
            answer = await call(functions.messages.UploadMediaRequest(tl.InputPeerSelf(), made))
            self._handles[key] = _handle(answer, media, kind)
            self.uploads += 1
            if len(self._handles) > _KEPT:
                self._handles.popitem(last=False)
        self._handles.move_to_end(key)
        return self._handles[key]

    async def _thumbnail(self, client: TelegramClient, media: Media, kind: MediaKind) -> Any:
        """Upload the picture that stands for a video until it plays; None if the file has none."""
        picture = await asyncio.to_thread(thumbnail_of, self.folder, media.file) if kind is MediaKind.VIDEO else None
        if picture is None:
            return None
        return await _upload(client, io.BytesIO(picture), len(picture), "thumbnail.jpg", self._within)


async def _upload(client: TelegramClient, stream: BinaryIO, size: int, name: str, within: float) -> Any:
    """Upload with Telethon.

    Raises:
        TimeoutError: the upload made no progress for `within` seconds.
        ConnectionError: the connection closed.
    """
    moved = asyncio.Event()
    uploading = asyncio.ensure_future(
        client.upload_file(stream, file_size=size, file_name=name, progress_callback=lambda *_: moved.set())
    )
    try:
        while not uploading.done():
            moved.clear()
            progress = asyncio.ensure_future(moved.wait())
            try:
                done, _ = await asyncio.wait({uploading, progress}, timeout=within, return_when=asyncio.FIRST_COMPLETED)
            finally:
                progress.cancel()
            if not done:
                raise TimeoutError(f"the upload made no progress for {within:g} seconds")
    finally:
        if not uploading.done():
            uploading.cancel()
            await asyncio.wait({uploading})
    if uploading.cancelled():  # Telethon cancels what waits when a connection closes
        raise ConnectionError("the connection closed during the upload")
    return uploading.result()


def _handle(answer: Any, media: Media, kind: MediaKind) -> Any:
    if kind is MediaKind.PHOTO:
        return tl.InputMediaPhoto(utils.get_input_photo(answer.photo), spoiler=media.spoiler or None)
    return tl.InputMediaDocument(utils.get_input_document(answer.document), spoiler=media.spoiler or None)


def _opened(path: Path, media: Media, field: str) -> BinaryIO:
    """Open the file here, so that a file that vanished is not taken for trouble of the network: both are OSErrors."""
    with _reading(media, field):
        return path.open("rb")


@contextlib.contextmanager
def _reading(media: Media, field: str) -> Iterator[None]:
    """Turn the OSErrors of reading a file into errors of ours.

    Raises:
        InvalidInput: the file is missing or may not be read, which is the post's fault.
        StateError: the machine cannot read it.
    """
    try:
        yield
    except (FileNotFoundError, NotADirectoryError):
        raise _no_file(media, field) from None
    except (PermissionError, IsADirectoryError):
        raise InvalidInput(field, f"the file '{media.file}' cannot be read; upload it again") from None
    except OSError as error:
        if error.errno in {errno.ENAMETOOLONG, errno.ELOOP}:
            raise _no_file(media, field) from None
        raise StateError(f"the uploaded file {media.file} cannot be read just now ({error.strerror})") from error


def _no_file(media: Media, field: str) -> InvalidInput:
    return InvalidInput(field, f"there is no uploaded file '{media.file}'; upload it, or name another")


def _as_uploaded(uploaded: Any, media: Media, kind: MediaKind, about: About | None, shown: str, thumbnail: Any) -> Any:
    if kind is MediaKind.PHOTO:
        return tl.InputMediaUploadedPhoto(uploaded, spoiler=media.spoiler or None)
    return tl.InputMediaUploadedDocument(
        uploaded,
        mime_type="audio/ogg" if kind is MediaKind.VOICE else type_by_name(media.file),
        attributes=[tl.DocumentAttributeFilename(shown)] if about is None else attributes(media, kind, about),
        force_file=kind is MediaKind.DOCUMENT or None,
        thumb=thumbnail,
        spoiler=media.spoiler or None,
    )
