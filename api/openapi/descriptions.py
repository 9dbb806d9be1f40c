"""Descriptions of properties in the OpenAPI document: the docstrings under the fields of our structs and bodies."""

import ast
import inspect
import textwrap
from collections.abc import Iterator
from enum import StrEnum
from functools import cache
from itertools import pairwise
from typing import Any

import msgspec
from pydantic import BaseModel

from api.openapi.words import WORDS

_OURS = frozenset({"api", "bot", "core", "data", "scheduler", "sessions"})


def describe_fields(schemas: dict[str, Any]) -> None:
    """Add to each schema what the source of its class says of each field, and to enums their type and values."""
    kinds = list(_subclasses(msgspec.Struct, BaseModel, StrEnum))
    for name, schema in schemas.items():
        texts: dict[str, str] = {}
        for kind in kinds:
            if kind.__name__ != name:
                continue
            if not issubclass(kind, StrEnum):
                texts |= texts_of(kind)
            elif sorted(kind) == sorted(schema["enum"]):
                schema["type"] = "string"
                schema["description"] = _with_values(kind)
        for field, shown in schema.get("properties", {}).items():
            if text := texts.get(field) or WORDS.get(field):
                shown.setdefault("description", text)


def texts_of(kind: type) -> dict[str, str]:
    """Return field → the docstring under it, in the class or the nearest of its bases that has one."""
    found: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        if base.__module__.partition(".")[0] in _OURS:
            found |= _texts_in(base)
    return found


@cache
def _texts_in(kind: type) -> dict[str, str]:
    tree = ast.parse(textwrap.dedent(inspect.getsource(kind)))
    (body,) = (node.body for node in tree.body if isinstance(node, ast.ClassDef))
    texts: dict[str, str] = {}
    for field, below in pairwise(body):
        match below:
            case ast.Expr(value=ast.Constant(value=str(text))):
                texts |= dict.fromkeys(_names(field), " ".join(text.split()))
    return texts


def _names(field: ast.stmt) -> list[str]:
    match field:
        case ast.AnnAssign(target=ast.Name(id=name)):
            return [name]
        case ast.Assign(targets=targets):
            return [target.id for target in targets if isinstance(target, ast.Name)]
    return []


def _with_values(kind: type[StrEnum]) -> str:
    texts = texts_of(kind)
    lines = [f"- `{member.value}`: {texts[member.name]}" for member in kind if member.name in texts]
    return "\n".join([inspect.getdoc(kind) or "", "", *lines]) if lines else inspect.getdoc(kind) or ""


def _subclasses(*kinds: type[Any]) -> Iterator[type[Any]]:
    for kind in kinds:
        for below in kind.__subclasses__():
            if below.__module__.partition(".")[0] in _OURS:
                yield below
            yield from _subclasses(below)
