"""JSON files of the state, and the error for one that is not what it should be."""

from pathlib import Path
from typing import Any, TypeVar

import msgspec

from core.errors import StateDamaged
from core.strict_json import NotStrictJson, read_object

T = TypeVar("T")

NOT_UNDERSTOOD = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What msgspec raises for bytes that are not what was expected; those that are not UTF-8 raise no MsgspecError."""


def parse_object(raw: bytes, path: Path) -> dict[str, Any]:
    """Return the object that the file holds.

    Raises:
        StateDamaged: naming the file, what is wrong with it and where.
    """
    try:
        return read_object(raw)
    except NotStrictJson as error:
        raise damaged(path, str(error)) from error


def decode_as(raw: bytes, kind: type[T], path: Path) -> T:
    """Return the value of that kind that the file holds.

    Raises:
        StateDamaged: naming the file and what is wrong with it.
    """
    try:
        return msgspec.json.decode(raw, type=kind)
    except NOT_UNDERSTOOD as error:
        raise damaged(path, f"cannot be understood: {error}") from error


def damaged(path: Path, what: str) -> StateDamaged:
    """Return the error for a file that is not what it should be; `what` follows the file's name."""
    return StateDamaged(f"{path} {what}. It is left as it is. The last good copy: python run.py restore")
