"""What is sealed in a state folder, seen from outside. Only the vault opens it (`sessions.keys.vault`)."""

import base64
import contextlib
from pathlib import Path

from core.errors import StateError
from data.disk.inventory import PAIRS_FILE, SESSIONS
from data.disk.strict_json import parse_object

SEALED = b"PFS1"
"""The first bytes of a sealed session file."""
SUFFIX = ".session"


def is_sealed(path: Path) -> bool:
    """Return whether the file is a sealed one."""
    with contextlib.suppress(OSError), path.open("rb") as file:
        return file.read(len(SEALED)) == SEALED
    return False


def sealed_files(state_dir: Path) -> list[tuple[str, Path]]:
    """Return every sealed file with the name it is bound to."""
    paths = sorted((state_dir / SESSIONS).glob(f"*/*{SUFFIX}"))
    return [(path.name.removesuffix(SUFFIX).partition("~")[0], path) for path in paths if is_sealed(path)]


def pair_label(api_id: int | str) -> str:
    """Return the name that the sealed hash of an API pair is bound to."""
    return f"api pair {api_id}"


def sealed_hashes(state_dir: Path) -> list[tuple[str, bytes]]:
    """Return every sealed hash of an API pair with the name it is bound to; none if the file cannot be read."""
    path = state_dir / PAIRS_FILE
    found = []
    with contextlib.suppress(OSError, ValueError, AttributeError, StateError):
        for api_id, pair in parse_object(path.read_bytes(), path).get("pairs", {}).items():
            if sealed := pair.get("api_hash"):
                found.append((pair_label(api_id), base64.b64decode(sealed)))
    return found
