"""The one strict reader of JSON: UTF-8, one object, no name twice, no number that is none."""

import json
from typing import Any, NoReturn


class NotStrictJson(ValueError):
    """The bytes are not such an object; the text says what they are, such as "is not UTF-8 (byte 3)"."""


def read_object(raw: bytes) -> dict[str, Any]:
    """Return the object that the bytes hold.

    Raises:
        NotStrictJson: they hold none; the text says why, and where.
    """
    try:
        found = _DECODER.decode(raw.decode("utf-8"))
    except NotStrictJson:
        raise
    except (ValueError, RecursionError) as error:
        raise NotStrictJson(_fault(raw, error)) from error
    if not isinstance(found, dict):
        raise NotStrictJson("does not hold a JSON object")
    return found


def _fault(raw: bytes, error: ValueError | RecursionError) -> str:
    """Return what is wrong with bytes that cannot be decoded."""
    if not raw.strip():
        return "is empty"
    if raw.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
        return "starts with a byte order mark; save it as plain UTF-8"
    match error:
        case UnicodeDecodeError():
            return f"is not UTF-8 (byte {error.start})"
        case json.JSONDecodeError():
            return f"is not JSON: {error.msg} at line {error.lineno}, column {error.colno}"
        case RecursionError():
            return "is nested too deeply"
    return "holds a number of more digits than can be read"


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise NotStrictJson(f"says {twice!r} twice in one object")
    return made


def _constant(name: str) -> NoReturn:
    raise NotStrictJson(f"holds {name}, which is not a number")


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant)
