"""Good copies of users.json in `copies/`, kept at each start, every so many commits and before each migration."""

import logging
import os
import re
import shutil
from pathlib import Path

from core.errors import StateNotWritten
from data.files import make_folder
from data.migrations import USERS_VERSION

COPIES = "copies"
KEPT = 5
_NAME = re.compile(r"users-(\d+)\.json")
log = logging.getLogger(__name__)


def keep_copy(path: Path, revision: int, *, version: int = USERS_VERSION) -> None:
    """Copy the file, which the caller has read and found good. One of an older version is kept for good.

    Raises:
        StateNotWritten: the file is about to be migrated and cannot be copied. In any other case a copy that
            fails is only logged: it must not stop the daemon.
    """
    folder = path.parent / COPIES
    old = version != USERS_VERSION
    target = folder / (f"users-of-version-{version}-{revision}.json" if old else f"users-{revision}.json")
    beside = target.with_suffix(".tmp")
    try:
        make_folder(folder)
        shutil.copyfile(path, beside)
        beside.chmod(0o600)
        with beside.open("rb+") as copied:
            os.fsync(copied.fileno())
        beside.replace(target)
        for superfluous in _copies(folder)[KEPT:]:
            superfluous.unlink(missing_ok=True)
    except (OSError, StateNotWritten) as error:
        beside.unlink(missing_ok=True)
        if old:
            raise StateNotWritten(f"no copy of {path} could be kept before its migration ({error})") from error
        log.warning("No copy of %s could be kept: %s", path.name, error, extra={"action": "copy_failed"})


def newest_copy(path: Path) -> Path | None:
    """The newest copy there is."""
    return next(iter(_copies(path.parent / COPIES)), None)


def _copies(folder: Path) -> list[Path]:
    found = [(int(match[1]), file) for file in folder.glob("users-*.json") if (match := _NAME.fullmatch(file.name))]
    return [file for _, file in sorted(found, reverse=True)]
