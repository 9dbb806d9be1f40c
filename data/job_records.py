"""housekeeping.json: when each piece of housekeeping ran last, and what came of it.

Nothing else hangs on it. When it is missing or damaged it is begun anew, and nothing counts as overdue.
"""

import logging
import os
from datetime import datetime
from pathlib import Path
from typing import Annotated

import msgspec

from data.disk.files import Disk, write_whole

log = logging.getLogger(__name__)

HOUSEKEEPING_FILE = "housekeeping.json"
_VERSION = 1
_Moment = Annotated[datetime, msgspec.Meta(tz=True)]


class JobRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A job's last run."""

    last_run_at: _Moment
    last_result: str | None
    last_failed: bool


class JobRecords(msgspec.Struct, frozen=True, kw_only=True):
    """The whole file."""

    version: Annotated[int, msgspec.Meta(le=_VERSION)] = _VERSION
    since: _Moment
    """When it was begun: what it does not name has not run since then."""
    jobs: dict[str, JobRecord] = {}


def read_job_records(state_dir: Path) -> JobRecords | None:
    """What is known; None when nothing is."""
    path = state_dir / HOUSEKEEPING_FILE
    try:
        return msgspec.json.decode(path.read_bytes(), type=JobRecords)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        log.warning("%s cannot be read (%s); last runs are forgotten", path, error, extra={"action": "jobs_unread"})
        return None


def write_job_records(state_dir: Path, records: JobRecords) -> None:
    """Replace the file. What the disk refuses is logged and costs no more than the memory of it."""
    path = state_dir / HOUSEKEEPING_FILE
    try:
        os.close(write_whole(Disk(), path, [msgspec.json.format(msgspec.json.encode(records))]))
    except OSError as error:
        log.warning("%s cannot be written (%s)", path, error, extra={"action": "jobs_unwritten"})
