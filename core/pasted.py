"""Cleans what people paste: a session string, a phone number, the name of a time zone."""

import re
import unicodedata

import msgspec

_ASSIGNED = re.compile(r"""^(?:export\s+|set\s+)?["']?[A-Za-z_][\w.-]{0,63}["']?\s*[=:]\s*(?=[^\s=])""")
"""Matches `SESSION=`, `export SESSION=`, `"session": `, `tel:`; not the `==` that ends a string in base64."""
_PLAIN = re.compile(r"[A-Za-z0-9/+_.-]*|[0-9:-]*", re.ASCII)
_AROUND = " \t\r\n\v\f\u00a0\u2028\u2029\"'`´“”„‟‘’‚‛«»‹›,;"


def peeled(text: str) -> str:
    """Return the text without what was copied along.

    That is a byte order mark, invisible marks (zero width, direction), spaces and quotes around it, and the name it was
    assigned to.
    """
    if _PLAIN.fullmatch(text):  # as most texts are
        return text
    seen = "".join(sign for sign in text if unicodedata.category(sign) not in {"Cf", "Cc"} or sign.isspace())
    plain = seen.strip(_AROUND)
    return _ASSIGNED.sub("", plain, count=1).strip(_AROUND)


def peel_fields(struct: msgspec.Struct, *fields: str) -> None:
    """Peel fields of a struct that is being made: texts and tuples of texts."""
    for field in fields:
        value = getattr(struct, field)
        plain = peeled(value) if isinstance(value, str) else tuple(map(peeled, value))
        if plain != value:
            msgspec.structs.force_setattr(struct, field, plain)
