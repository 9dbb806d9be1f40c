"""JSON as a file of ours must be: UTF-8, one object, no name twice, no number that is none."""

import json
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import msgspec

from core.errors import StateDamaged

T = TypeVar("T")

NOT_UNDERSTOOD = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What msgspec raises for bytes that are not what was expected. Bytes that are not UTF-8 are no MsgspecError."""


class _Refused(ValueError):
    """What the parser met and we do not take."""


def parse_object(raw: bytes, path: Path) -> dict[str, Any]:
    """The object that stands in the file.

    Raises:
        StateDamaged: naming the file, what is wrong with it and where.
    """
    if not raw.strip():
        raise damaged(path, "is empty")
    if raw.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
        raise damaged(path, "starts with a byte order mark; save it as plain UTF-8")
    try:
        parsed = json.loads(raw.decode("utf-8"), object_pairs_hook=_object, parse_constant=_constant)
    except UnicodeDecodeError as error:
        raise damaged(path, f"is not UTF-8 (byte {error.start})") from error
    except json.JSONDecodeError as error:
        raise damaged(path, f"is not JSON: {error.msg} at line {error.lineno}, column {error.colno}") from error
    except _Refused as error:
        raise damaged(path, str(error)) from error
    except ValueError as error:
        raise damaged(path, "holds a number of more digits than can be read") from error
    except RecursionError as error:
        raise damaged(path, "is nested too deeply") from error
    if not isinstance(parsed, dict):
        raise damaged(path, "does not hold a JSON object")
    return parsed


def decode_as(raw: bytes, kind: type[T], path: Path) -> T:
    """The value of that kind that stands in the file.

    Raises:
        StateDamaged: naming the file and what is wrong with it.
    """
    try:
        return msgspec.json.decode(raw, type=kind)
    except NOT_UNDERSTOOD as error:
        raise damaged(path, f"cannot be understood: {error}") from error


def damaged(path: Path, what: str) -> StateDamaged:
    """The error for a file that is not what it should be."""
    return StateDamaged(f"{path} {what}. It is left as it is. The last good copy: python run.py restore")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise _Refused(f"says {twice!r} twice in one object")
    return made


def _constant(name: str) -> NoReturn:
    raise _Refused(f"holds {name}, which is not a number")
