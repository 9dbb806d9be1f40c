"""Reading TL objects that a stranger sent: bounded in depth and in what gzip may blow up to."""

import gzip
import io
import zlib
from typing import Any

from telethon.errors import TypeNotFoundError
from telethon.extensions import BinaryReader

GZIP_PACKED = 0x3072CFA1
MAX_UNPACKED = 4 * 1024 * 1024
MAX_DEPTH = 64


class BadBody(ValueError):
    """Bytes that are no TL object. `constructor` is set when it is only that nobody knows its number."""

    def __init__(self, reason: str, constructor: int | None = None) -> None:
        super().__init__(reason)
        self.constructor = constructor


class BoundedReader(BinaryReader):  # type: ignore[misc]  # Telethon ships no types
    """Telethon's reader with limits."""

    depth = 0

    def tgread_object(self) -> Any:
        """Read one object, counting how deep it is; unpack gzip with a limit."""
        if self.depth >= MAX_DEPTH:
            raise BadBody("nested too deeply")
        if self.stream[self.position : self.position + 4] == b"\xa1\xcf\x72\x30":
            self.position += 4
            return parse(unpacked(self.tgread_bytes()), self.depth + 1)
        self.depth += 1
        try:
            return super().tgread_object()
        finally:
            self.depth -= 1


def unpacked(data: bytes) -> bytes:
    """Undo gzip, at most MAX_UNPACKED bytes of it. Raises BadBody."""
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
            plain = file.read(MAX_UNPACKED + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise BadBody("broken gzip") from error
    if len(plain) > MAX_UNPACKED:
        raise BadBody("gzip holds too much")
    return plain


def parse(body: bytes, depth: int = 0) -> Any:
    """The TL object these bytes hold. Raises BadBody for everything that is none."""
    reader = BoundedReader(body)
    reader.depth = depth
    try:
        return reader.tgread_object()
    except TypeNotFoundError as error:
        raise BadBody("unknown constructor", error.invalid_constructor_id) from error
    except BadBody:
        raise
    except Exception as error:  # generated readers fail in any way on bytes that are not theirs
        raise BadBody(type(error).__name__) from error
