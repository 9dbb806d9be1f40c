"""Objects inside a body that a model reads as a whole: what does not fit is named by its own field, with the fix."""

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import TypeVar

import msgspec
from pydantic_core import PydanticCustomError

from core.models import MediaKind, Missed, PostType, TextFormat

T = TypeVar("T")

_KINDS = {
    "str": "a text",
    "bool": "true or false",
    "int": "a whole number",
    "array": "a list",
    "object": "an object",
    "null": "null",
}
_CHOICES: Mapping[str, type[StrEnum]] = {"type": PostType, "format": TextFormat, "kind": MediaKind, "missed": Missed}
_WHERE = re.compile(r" - at `\$(.*)`$", re.DOTALL)
_FIELD = re.compile(r"\.(\w+)")
_ABOUT_A_FIELD = re.compile(r"^Object (contains unknown|missing required) field `(.*)`$", re.DOTALL)
_EXPECTED = re.compile(r"^Expected `([^`]*)`, got ")


def read_as(kind: type[T], value: object, hints: Mapping[str, str]) -> T:
    """The object that the body describes. `hints` says of its own fields how each is written.

    Raises:
        PydanticCustomError: the fix, and as `below` the place in the object, which `on_invalid_request` names.
    """
    try:
        return msgspec.convert(value, kind, str_keys=True)
    except msgspec.ValidationError as error:
        text = str(error).encode(errors="replace").decode()  # half a surrogate pair cannot be answered
    except UnicodeEncodeError:
        fix = "a text in it is half an emoji; send text as UTF-8 and do not cut emoji apart"
        raise PydanticCustomError("shape", "{fix}", {"below": "", "fix": fix}) from None
    where = _WHERE.search(text)
    below, what = (where[1], text[: where.start()]) if where else ("", text)
    about_a_field = _ABOUT_A_FIELD.match(what)
    if about_a_field is not None:
        below += f".{about_a_field[2]}"
        if about_a_field[1] == "contains unknown":
            raise PydanticCustomError("extra_forbidden", "unknown", {"below": below})
        raise PydanticCustomError("missing", "it is missing", {"below": below})
    raise PydanticCustomError("shape", "{fix}", {"below": below, "fix": _fix(what, _FIELD.findall(below), hints)})


def _fix(what: str, path: list[str], hints: Mapping[str, str]) -> str:
    if path and path[0] in hints:
        return hints[path[0]]
    expected = _EXPECTED.match(what)
    if expected is not None:
        return "write " + " or ".join(_KINDS.get(kind, kind) for kind in expected[1].split(" | "))
    if path and path[-1] in _CHOICES:
        return "write one of " + ", ".join(_CHOICES[path[-1]])
    return what
