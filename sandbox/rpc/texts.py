"""How the server changes a text: it drops characters, trims white space and cuts overlong texts.

This follows TDLib's `clean_input_string`, `replace_offending_characters` and `strip_empty_characters`
(td/telegram/misc.cpp), which do the same as the server. Entities do not move with the text: if a text is changed here,
its formatting ends up on the wrong words.
"""

import re
from typing import Any

MAX_BYTES = 35_000
_SPACES = "\t\x0b\x0c\xa0\u1680\u180e\u202f\u205f\u2800\u3000\ufffc\U000e0000\U000e0001" + "".join(
    map(chr, range(0x2000, 0x200B))
)
_ZERO_WIDTH = "\u200b\u200c\u200d\u200e\u200f\u202e\ufeff"
_TO_CLEAN = re.compile("[\x00-\x09\x0b-\x1f\u0333\u033f\u030a\u200e\u200f\u2028-\u202e]")
_CLEANED = {
    **dict.fromkeys([*range(10), 11, 12, *range(14, 32)], " "),
    **dict.fromkeys([13, 0x0333, 0x033F, 0x030A, *range(0x2028, 0x202F)], None),
}
_DIRECTION_MARKS = re.compile("[\u200e\u200f]+(?=[\u200e\u200f])")


def clean(text: str) -> str:
    """Return the text as it appears in the chat."""
    if _TO_CLEAN.search(text):
        text = _DIRECTION_MARKS.sub(lambda found: "\u200c" * len(found.group()), text.translate(_CLEANED))
    if len(text) > MAX_BYTES // 4:
        text = text.encode()[:MAX_BYTES].decode(errors="ignore")
    return text.strip(" \n")


def is_empty(text: str) -> bool:
    """Return whether the text counts as empty: only white space and zero-width characters."""
    return not text.strip(f" \n{_SPACES}{_ZERO_WIDTH}")


def clip_entities(entities: list[Any] | None, units: int) -> list[Any] | None:
    """Cut entities to the length of the trimmed text, in UTF-16 units, and drop those beyond it."""
    if not entities:
        return None
    kept = []
    for entity in entities:
        entity.length = min(entity.length, units - entity.offset)
        if entity.length > 0:
            kept.append(entity)
    return kept or None
