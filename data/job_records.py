"""housekeeping.json: when each job of housekeeping ran last, and with what result.

Nothing else depends on it. If it is missing or damaged it is begun anew, and no job counts as overdue.
"""

import logging
import os
from pathlib import Path
from typing import Annotated

import msgspec

from core.models import Moment
from data.disk.files import Disk, write_whole

log = logging.getLogger(__name__)

HOUSEKEEPING_FILE = "housekeeping.json"
_VERSION = 1


class JobRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The last run of a job."""

    last_run_at: Moment
    last_result: str | None
    last_failed: bool


class JobRecords(msgspec.Struct, frozen=True, kw_only=True):
    """The content of the file."""

    version: Annotated[int, msgspec.Meta(le=_VERSION)] = _VERSION
    since: Moment
    """When the file was begun. A job that it does not name has not run since."""
    jobs: dict[str, JobRecord] = {}


def read_job_records(state_dir: Path) -> JobRecords | None:
    """Return the content of the file; None: there is none, or it cannot be read."""
    path = state_dir / HOUSEKEEPING_FILE
    try:
        return msgspec.json.decode(path.read_bytes(), type=JobRecords)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        log.warning("%s cannot be read (%s); last runs are forgotten", path, error, extra={"action": "jobs_unread"})
        return None


def write_job_records(state_dir: Path, records: JobRecords) -> None:
    """Replace the file. If the disk refuses, that is logged and only these records are lost."""
    path = state_dir / HOUSEKEEPING_FILE
    try:
        os.close(write_whole(Disk(), path, [msgspec.json.format(msgspec.json.encode(records))]))
    except OSError as error:
        log.warning("%s cannot be written (%s)", path, error, extra={"action": "jobs_unwritten"})
