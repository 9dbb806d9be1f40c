"""Reading TL objects from untrusted bytes, with limits on nesting and on unpacked size."""

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
    """The bytes are not a TL object. `constructor` is set if the only problem is its unknown number."""

    def __init__(self, reason: str, constructor: int | None = None) -> None:
        super().__init__(reason)
        self.constructor = constructor


class BoundedReader(BinaryReader):  # type: ignore[misc]  # Telethon ships no types
    """Telethon's reader with limits on nesting and on unpacked size."""

    depth = 0

    def tgread_object(self) -> Any:
        """Read one object. Raises BadBody if it is nested too deeply or unpacks to too much."""
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
    """Unpack gzip data of at most MAX_UNPACKED bytes. Raises BadBody."""
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
            plain = file.read(MAX_UNPACKED + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise BadBody("the gzip data is broken") from error
    if len(plain) > MAX_UNPACKED:
        raise BadBody("the gzip data holds too much")
    return plain


def parse(body: bytes, depth: int = 0) -> Any:
    """Return the TL object that these bytes hold. Raises BadBody."""
    reader = BoundedReader(body)
    reader.depth = depth
    try:
        return reader.tgread_object()
    except TypeNotFoundError as error:
        raise BadBody("unknown constructor", error.invalid_constructor_id) from error
    except BadBody:
        raise
    except Exception as error:  # on broken bytes the generated readers can raise anything
        raise BadBody(type(error).__name__) from error
