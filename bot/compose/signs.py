"""Single characters that Telegram drops or replaces, and those that show nothing.

Telegram's servers clean the texts they get, but do not move the entities along. So a text is cleaned here, before its
entities are counted. The rules are those of TDLib's `clean_input_string` and `strip_empty_characters`
(github.com/tdlib/td, td/telegram/misc.cpp).
"""

import re
import unicodedata

CONTROL = re.compile(r"\r\n?|[\x00-\x09\x0b-\x1f\x7f]")
"""Line ends of other systems, and control characters."""
_RING_ABOVE = "\u030a"
DROPPED = re.compile(
    f"{CONTROL.pattern}"
    r"|[\u2028-\u202e]"  # separators of lines and paragraphs, and marks that turn the direction of words round
    rf"|(?:(?P<letter>[A-Za-z]){_RING_ABOVE}|[\u0333\u033f{_RING_ABOVE}])"  # lines and rings over letters
    # Of several direction marks in a row only the last counts.
    rf"|[\u200e\u200f](?=[\u202a-\u202e\u0333\u033f{_RING_ABOVE}]*[\u200e\u200f])"
)
"""What Telegram drops or replaces. `instead_of` returns the replacement."""

_SHOWS_NOTHING = re.compile(
    r"[\s"
    r"\u2800\ufffc"  # an empty Braille pattern; the sign for an object
    # Unicode's Default_Ignorable_Code_Point:
    r"\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    r"\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
    r"]*"
)


def instead_of(found: re.Match[str]) -> str:
    """Return what replaces a match of `CONTROL` or `DROPPED`."""
    signs = found.group()
    if signs[0] in "\r\u2028\u2029":
        return "\n"  # Telegram would drop U+2028 and U+2029 and glue two lines together
    if signs[0] in "\u200e\u200f":
        return "\u200c"
    if signs.endswith(_RING_ABOVE):
        return _with_ring(signs)
    return " " if signs < " " or signs == "\x7f" else ""


def _with_ring(signs: str) -> str:
    """Return the letter that has the ring itself (å), or the letter alone if there is none."""
    composed = unicodedata.normalize("NFC", signs)
    return composed if len(composed) == 1 and composed != _RING_ABOVE else signs.removesuffix(_RING_ABOVE)


def is_invisible(text: str) -> bool:
    """Return whether nobody would see anything: there is only white space, signs without width, or nothing."""
    return _SHOWS_NOTHING.fullmatch(text) is not None
