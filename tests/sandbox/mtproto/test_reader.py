"""Reading untrusted bytes has limits."""

import gzip
import struct

import pytest
from telethon.tl import functions
from telethon.tl.core import GzipPacked

from sandbox.mtproto.reader import MAX_UNPACKED, BadBody, parse
from sandbox.mtproto.session import tl_bytes


def test_unpacked_size_is_limited() -> None:
    bomb = struct.pack("<I", GzipPacked.CONSTRUCTOR_ID) + tl_bytes(gzip.compress(bytes(MAX_UNPACKED + 4)))
    with pytest.raises(BadBody, match="too much"):
        parse(bomb)


def test_nesting_is_limited() -> None:
    wrapped = b""
    for _ in range(500):
        wrapped += struct.pack("<Ii", functions.InvokeWithLayerRequest.CONSTRUCTOR_ID, 1)
    with pytest.raises(BadBody, match="nested"):
        parse(wrapped)
