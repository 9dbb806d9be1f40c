"""Faults of an object in a body that msgspec reads as a whole: each wrong field by name, with the fix."""

import re
from collections.abc import Iterator, Mapping
from enum import StrEnum
from itertools import islice
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin

import msgspec
from pydantic_core import PydanticCustomError

from core.errors import MOST_FAULTS
from core.models import MediaKind, Missed, PostType, TextFormat

T = TypeVar("T")
Fault = tuple[str, str]
"""A place in the object (`.posts[2].text`) and the fix."""

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
_EXPECTED = re.compile(r"^Expected `([^`]*)`, got ")


def read_as(kind: type[T], value: object, hints: Mapping[str, str]) -> T:
    """Return the object that the body describes. `hints` say how to write each of its own fields.

    Raises:
        PydanticCustomError: something does not fit. Its `faults` go to `on_invalid_request`.
    """
    try:
        return msgspec.convert(value, kind, str_keys=True)
    except (msgspec.ValidationError, UnicodeEncodeError):
        faults = list(islice(_faults(kind, value, "", hints), MOST_FAULTS))
    raise PydanticCustomError("shape", "{fix}", {"fix": faults[0][1], "faults": faults})


def _faults(kind: Any, value: object, where: str, hints: Mapping[str, str]) -> Iterator[Fault]:
    """Yield each fault of the value, at the smallest place that has it."""
    try:
        msgspec.convert(value, kind, str_keys=True)
    except msgspec.ValidationError as error:
        inner = list(islice(_inner_faults(kind, value, where, hints), MOST_FAULTS))
        yield from inner or [_fault_of(str(error), where, hints)]
    except UnicodeEncodeError:
        inner = list(islice(_inner_faults(kind, value, where, hints), MOST_FAULTS))
        yield from inner or [(where, "a text in it is half an emoji; send text as UTF-8 and do not cut emoji apart")]


def _inner_faults(kind: Any, value: object, where: str, hints: Mapping[str, str]) -> Iterator[Fault]:
    options = get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)
    if isinstance(value, dict):
        for struct in (one for one in options if isinstance(one, type) and issubclass(one, msgspec.Struct)):
            fields = {field.encode_name: field for field in msgspec.structs.fields(struct)}
            if struct.__struct_config__.forbid_unknown_fields:
                unknown = [f"{where}.{_shown(name)}" for name in value if name not in fields]
                yield from ((place, "there is no such field; leave it out") for place in unknown)
            for name, field in fields.items():
                if name in value:
                    yield from _faults(field.type, value[name], f"{where}.{name}", hints)
                elif field.required:
                    yield f"{where}.{name}", "it is missing"
    elif isinstance(value, list):
        for items in (get_args(one) for one in options if get_origin(one) in (tuple, list)):
            for index, item in enumerate(value):
                yield from _faults(items[0], item, f"{where}[{index}]", hints)


def _fault_of(error: str, where: str, hints: Mapping[str, str]) -> Fault:
    text = _shown(error)
    inner = _WHERE.search(text)
    below, what = (where + inner[1], text[: inner.start()]) if inner else (where, text)
    return below, _fix(what, _FIELD.findall(below), hints)


def _shown(text: str) -> str:
    """Return the text without half surrogate pairs, which no response can hold."""
    return text.encode(errors="replace").decode()


def _fix(what: str, path: list[str], hints: Mapping[str, str]) -> str:
    if path and path[0] in hints:
        return hints[path[0]]
    expected = _EXPECTED.match(what)
    if expected is not None:
        return "write " + " or ".join(_KINDS.get(kind, kind) for kind in expected[1].split(" | "))
    if path and path[-1] in _CHOICES:
        return "write one of " + ", ".join(_CHOICES[path[-1]])
    return what
