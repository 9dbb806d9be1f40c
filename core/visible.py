"""Makes foreign text safe to show on a terminal: characters that steer it or hide something are escaped."""

import re

_HIDDEN = re.compile(
    "["
    "\x00-\x1f\x7f-\x9f"  # control signs, escape among them
    "\xad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"  # no width, or directions
    "\u2028\u2029"  # ends of lines
    "\ud800-\udfff"  # how Python shows bytes of a file's name that are no UTF-8
    "\U000e0000-\U000e007f"  # tags
    "]"
)
"""Joiners (U+200C, U+200D) stay: Persian words and family emoji are written with them."""


def visible(text: str) -> str:
    """Return the text on one line, with control, bidirectional and invisible characters as `\\u001b`, as in JSON."""
    return _HIDDEN.sub(_written_out, text)


def visible_lines(text: str) -> str:
    """Return a text of several lines in the same way."""
    return "\n".join(map(visible, text.split("\n")))


def _written_out(sign: re.Match[str]) -> str:
    units = sign[0].encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[start : start + 4]}" for start in range(0, len(units), 4))
