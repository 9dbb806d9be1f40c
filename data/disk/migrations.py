"""Brings a file of an older version to this one, one step for each version.

A new field with a default needs no step: an older file loads without it. A step is for a field that moved or changed
its meaning. It takes the parsed file and returns it as the next version has it.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from core.errors import StateTooNew
from data.disk.strict_json import damaged

Step = Callable[[dict[str, Any]], dict[str, Any]]


def migrated(parsed: dict[str, Any], path: Path, newest: int, steps: Mapping[int, Step]) -> tuple[dict[str, Any], int]:
    """Return the file as the newest version has it, and the version it was of. Without a version it is of the first.

    Raises:
        StateTooNew: it is of a version that this Postfleet does not know.
        StateDamaged: its version is no version.
    """
    found = parsed.get("version", 1)
    if isinstance(found, bool) or not isinstance(found, int) or found < 1:
        raise damaged(path, f"says version {found!r}, which is none")
    if found > newest:
        raise StateTooNew(
            f"{path} is of version {found}, this Postfleet knows versions up to {newest}: "
            "run the newer Postfleet that wrote it. The file is left as it is"
        )
    for version in range(found, newest):
        parsed = {**steps[version](parsed), "version": version + 1}
    return parsed, found
