"""Uploaded files: the parts that have arrived, and the finished photos and documents."""

import hashlib
from dataclasses import dataclass
from typing import Any

from telethon.tl import types

from sandbox.errors import RpcError

MAX_PART = 512 * 1024
MAX_PARTS = 4_000
MAX_ALL_UPLOADS = 512 * 1024 * 1024  # of all accounts together, including unfinished uploads
PHOTO_MAX_SIDES = 10_000
PHOTO_MAX_RATIO = 20
THUMBNAIL_MAX_SIDE = 320
THUMBNAIL_MAX_BYTES = 200_000


@dataclass(slots=True)
class StoredFile:
    """A finished photo or document."""

    id: int
    data: bytes
    dc_id: int
    tl: Any  # the Photo or Document clients get
    thumbnail: bytes = b""

    @property
    def access_hash(self) -> int:
        """Return the hash a client must send to use the file."""
        return int(self.tl.access_hash)


class Files:
    """All files of a world."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._next = 1
        self.bytes = 0
        self.stored: dict[int, StoredFile] = {}

    def save_part(self, uploads: dict[int, dict[int, bytes]], file_id: int, number: int, data: bytes) -> None:
        """Keep one part of an upload. Raises RpcError."""
        if not data or len(data) > MAX_PART:
            raise RpcError("FILE_PART_SIZE_INVALID" if data else "FILE_PART_EMPTY")
        if not 0 <= number < MAX_PARTS:
            raise RpcError("FILE_PART_INVALID")
        if self.bytes + len(data) > MAX_ALL_UPLOADS:
            raise RpcError("FILE_PARTS_INVALID")
        parts = uploads.setdefault(file_id, {})
        self.bytes += len(data) - len(parts.get(number, b""))
        parts[number] = data

    def assemble(self, uploads: dict[int, dict[int, bytes]], file: Any) -> bytes:
        """Join the parts of an InputFile or InputFileBig, and forget them. Raises RpcError."""
        parts = uploads.get(file.id)
        if not parts:
            raise RpcError("FILE_PARTS_INVALID")
        for number in range(file.parts):
            if number not in parts:
                raise RpcError(f"FILE_PART_{number}_MISSING")
        if len(parts) != file.parts or not 0 < file.parts <= MAX_PARTS:
            raise RpcError("FILE_PARTS_INVALID")
        data = b"".join(parts[number] for number in range(file.parts))
        checksum = getattr(file, "md5_checksum", "")
        if checksum and checksum != hashlib.md5(data, usedforsecurity=False).hexdigest():
            raise RpcError("MD5_CHECKSUM_INVALID")
        del uploads[file.id]
        return data

    def _store(self, data: bytes, dc_id: int) -> StoredFile:
        number = self._next
        self._next += 1
        digest = hashlib.blake2b(f"{self._seed}/{number}".encode(), digest_size=24).digest()
        file_id = int.from_bytes(digest[:8], "little") >> 1
        stored = StoredFile(file_id, data, dc_id, None)
        self.stored[file_id] = stored
        stored.tl = (int.from_bytes(digest[8:16], "little", signed=True), digest[16:])
        return stored

    def photo(self, data: bytes, date: float, dc_id: int) -> StoredFile:
        """Keep an image as a photo. Raises RpcError if it is not an image or has impossible dimensions."""
        width, height = image_size(data)
        if width + height > PHOTO_MAX_SIDES or max(width, height) > PHOTO_MAX_RATIO * min(width, height):
            raise RpcError("PHOTO_INVALID_DIMENSIONS")
        stored = self._store(data, dc_id)
        access_hash, reference = stored.tl
        stored.tl = types.Photo(
            id=stored.id,
            access_hash=access_hash,
            file_reference=reference,
            date=int(date),
            sizes=[types.PhotoSize(type="y", w=width, h=height, size=len(data))],
            dc_id=dc_id,
        )
        return stored

    def document(
        self, data: bytes, mime_type: str, attributes: list[Any], date: float, dc_id: int, thumbnail: bytes = b""
    ) -> StoredFile:
        """Keep a file of any kind. Raises RpcError if the thumbnail is not a small image."""
        thumbs = [_thumbnail(thumbnail)] if thumbnail else None
        stored = self._store(data, dc_id)
        stored.thumbnail = thumbnail
        access_hash, reference = stored.tl
        stored.tl = types.Document(
            id=stored.id,
            access_hash=access_hash,
            file_reference=reference,
            date=int(date),
            mime_type=mime_type or "application/octet-stream",
            size=len(data),
            dc_id=dc_id,
            attributes=attributes,
            thumbs=thumbs,
        )
        return stored

    def find(self, wanted: Any, kind: type[Any], missing: str) -> StoredFile:
        """Return the file that an InputPhoto, InputDocument or file location names. Raises RpcError."""
        stored = self.stored.get(getattr(wanted, "id", 0))
        if stored is None or not isinstance(stored.tl, kind) or wanted.access_hash != stored.access_hash:
            raise RpcError(missing)
        if wanted.file_reference != stored.tl.file_reference:
            raise RpcError("FILE_REFERENCE_EXPIRED")
        return stored


def _thumbnail(data: bytes) -> Any:
    width, height = image_size(data)
    if max(width, height) > THUMBNAIL_MAX_SIDE or len(data) > THUMBNAIL_MAX_BYTES:
        raise RpcError("PHOTO_INVALID_DIMENSIONS")
    return types.PhotoSize(type="m", w=width, h=height, size=len(data))


def image_size(data: bytes) -> tuple[int, int]:
    """Return width and height of a PNG, GIF or JPEG image. Raises RpcError for anything else."""
    if data[:8] == b"\x89PNG\r\n\x1a\n" and len(data) >= 24:
        return max(1, int.from_bytes(data[16:20], "big")), max(1, int.from_bytes(data[20:24], "big"))
    if data[:4] == b"GIF8" and len(data) >= 10:
        return max(1, int.from_bytes(data[6:8], "little")), max(1, int.from_bytes(data[8:10], "little"))
    if data[:2] == b"\xff\xd8":
        return _jpeg_size(data)
    raise RpcError("IMAGE_PROCESS_FAILED")


def _jpeg_size(data: bytes) -> tuple[int, int]:
    position = 2
    while position + 9 <= len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if 0xC0 <= marker <= 0xCF and marker not in {0xC4, 0xC8, 0xCC}:  # start of frame
            height = int.from_bytes(data[position + 5 : position + 7], "big")
            width = int.from_bytes(data[position + 7 : position + 9], "big")
            return max(1, width), max(1, height)
        position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    raise RpcError("IMAGE_PROCESS_FAILED")
