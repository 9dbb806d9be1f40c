"""Session strings of the clients that people come from, recognised by their content.

The formats, checked against Telethon 1.45.0, Kurigram 2.2.26 and the sources of GramJS, mtcute and MTKruto:

- Telethon: "1" and base64 of data centre, address (4 or 16 bytes), port, key.
- GramJS: the same, but the address is text after its length in two bytes. With an address of 14 letters it is as long
  as Telethon's with 16 bytes.
- Pyrogram and its kin: base64 of data centre, api_id, test mode, key, user id, is-bot; older ones without api_id.
- mtcute: base64 of a version (1 to 3), flags, one or two data centres, user, key, in Telegram's own encoding (TL).
- MTKruto: base64 of a data centre's name and the key in TL, with runs of zeros shortened.
"""

import base64
import binascii
import ipaddress
import struct
from collections.abc import Callable

from core.errors import InvalidInput
from core.pasted import peeled
from sessions.foreign.formats import KEY_BYTES, Claims, Format, Found, check_claims

LONGEST = 1_000
"""The most characters of a session string. The longest known one has about 500."""
_SHORTEST = 200
_PYROGRAM = {struct.calcsize(layout): layout for layout in (">BI?256sQ?", ">B?256sQ?", ">B?256sI?")}
_TELETHON = {struct.calcsize(layout): layout for layout in (">B4sH256s", ">B16sH256s")}
_TL_DC_OPTION = 414687501
_TL_TRUE, _TL_FALSE = 0x997275B5, 0xBC799737
_ALPHABETS = str.maketrans("+/", "-_")


def is_session_string(text: str) -> bool:
    """Return whether the text has the form of a session string."""
    return _claims(text) is not None


def read_session_string(text: str, name: str = "session string") -> Found:
    """Return the session in a session string.

    Raises:
        InvalidInput: it is no session string, or nobody can post with it. The message never shows the string.
    """
    claims = _claims(text)
    if claims is None:
        raise InvalidInput(
            name, "not a session string of Telethon, Pyrogram, GramJS, mtcute or MTKruto; was all of it copied?"
        )
    return check_claims(claims, name)


def _claims(text: str) -> Claims | None:
    plain = "".join(peeled(text[: 2 * LONGEST]).split()).rstrip("=").translate(_ALPHABETS)
    if not _SHORTEST <= len(plain) <= LONGEST:
        return None
    readers: tuple[Callable[[bytes], Claims | None], ...] = (_mtkruto, _mtcute, _pyrogram)
    if plain.startswith("1"):
        plain, readers = plain[1:], (_gramjs, _telethon)
    try:
        packed = base64.b64decode(plain + "=" * (-len(plain) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    for read in readers:
        try:
            claims = read(packed)
        except (ValueError, EOFError):
            continue
        if claims is not None and len(claims.key) == KEY_BYTES and any(claims.key):
            return claims
    return None


def _telethon(packed: bytes) -> Claims | None:
    layout = _TELETHON.get(len(packed))
    if layout is None:
        return None
    dc_id, address, port, key = struct.unpack(layout, packed)
    if not any(address[:2]):  # no internet address begins with zeros, but GramJS's length does
        return None
    host = ipaddress.ip_address(address).compressed
    return Claims(format=Format.TELETHON_STRING, dc_id=dc_id, host=host, port=port, key=key)


def _gramjs(packed: bytes) -> Claims | None:
    (length,) = struct.unpack_from(">H", packed, 1)
    host = packed[3 : 3 + length]
    if len(packed) != 1 + 2 + length + 2 + KEY_BYTES or not length or not host.isascii():
        return None
    (port,) = struct.unpack_from(">H", packed, 3 + length)
    key = packed[-KEY_BYTES:]
    return Claims(format=Format.GRAMJS_STRING, dc_id=packed[0], host=host.decode(), port=port, key=key)


def _pyrogram(packed: bytes) -> Claims | None:
    layout = _PYROGRAM.get(len(packed))
    if layout is None:
        return None
    dc_id, *api_id, test, key, _, is_bot = struct.unpack(layout.replace("?", "B"), packed)
    if test > 1 or is_bot > 1:
        return None
    return Claims(
        format=Format.PYROGRAM_STRING,
        dc_id=dc_id,
        key=key,
        test=bool(test),
        api_id=api_id[0] if api_id else None,
        is_bot=bool(is_bot),
    )


def _mtcute(packed: bytes) -> Claims | None:
    reader = _Reader(packed)
    (version,) = reader.raw(1)
    if version not in {1, 2, 3}:
        return None
    flags = reader.number()
    dc_id, host, port, test = _mtcute_centre(reader, version)
    if flags & 4 and version >= 2:
        _mtcute_centre(reader, version)  # the one for media
    is_bot = False
    if flags & 1:
        reader.raw(8)  # the account's id
        is_bot = reader.flag()
    key = reader.content()
    reader.end()
    return Claims(
        format=Format.MTCUTE_STRING,
        dc_id=dc_id,
        host=host,
        port=port,
        key=key,
        test=test or bool(flags & 2),
        is_bot=is_bot,
    )


def _mtcute_centre(reader: "_Reader", version: int) -> tuple[int, str, int, bool]:
    if version < 3:
        if reader.number() != _TL_DC_OPTION:
            raise ValueError
        flags, dc_id, host, port = reader.number(), reader.number(), reader.text(), reader.number()
        if flags & 1024:
            reader.content()
        return dc_id, host, port, False
    inner = _Reader(reader.content())
    layout, dc_id, flags = inner.raw(3)
    host, port = inner.text(), inner.number()
    inner.end()
    return dc_id, host, port, layout >= 2 and bool(flags & 4)


def _mtkruto(packed: bytes) -> Claims | None:
    reader = _Reader(_with_zeros(packed))
    centre = reader.text()
    key = reader.content()
    reader.end()
    number = centre.removesuffix("-test")
    if not number.isascii() or not number.isdigit():
        return None
    return Claims(format=Format.MTKRUTO_STRING, dc_id=int(number), key=key, test=number != centre)


def _with_zeros(packed: bytes) -> bytes:
    """Return the bytes with runs of zeros written out. Packed, a zero is followed by the length of its run."""
    content, rest = bytearray(), iter(packed)
    for byte in rest:
        content += bytes((byte,)) if byte else bytes(next(rest, 0))
    return bytes(content)


class _Reader:
    """Reads TL. Raises EOFError if bytes are missing, and ValueError if they are not TL."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._at = 0

    def raw(self, length: int) -> bytes:
        piece = self._content[self._at : self._at + length]
        if len(piece) < length:
            raise EOFError
        self._at += length
        return piece

    def number(self) -> int:
        return int.from_bytes(self.raw(4), "little")

    def flag(self) -> bool:
        value = self.number()
        if value not in {_TL_TRUE, _TL_FALSE}:
            raise ValueError
        return value == _TL_TRUE

    def content(self) -> bytes:
        (length,), head = self.raw(1), 1
        if length == 254:
            length, head = int.from_bytes(self.raw(3), "little"), 4
        content = self.raw(length)
        self.raw(-(head + length) % 4)
        return content

    def text(self) -> str:
        return self.content().decode()

    def end(self) -> None:
        if self._at != len(self._content):
            raise ValueError
