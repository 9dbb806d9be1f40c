"""Finds what is wrong with a state folder, file by file, and mends it by the last good copy or a new beginning.

A copy replaces a file that is damaged or missing. A file without a copy can be given up if its owner says so, and is
begun anew. The old file is set aside, never deleted.
"""

import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path

from core.errors import PostfleetError, StateDamaged
from data.archive.auth_archive import check_auth, end_every_token
from data.archive.staging import carry_on, empty_stage, is_cut_off, put_in_place, stage, stage_none, telling
from data.disk.copies import copies_of
from data.disk.files import (
    HALF_RESTORED,
    exclusive_daemon_lock,
    locked,
    make_folder,
    open_to_read,
    read_whole,
    touch_own,
)
from data.disk.inventory import (
    AUTH_FILE,
    JOURNAL_FILE,
    KEY_FILE,
    NEXT_KEY_FILE,
    PAIRS_FILE,
    SESSIONS,
    STATS_FILE,
    USERS_FILE,
)
from data.disk.sqlite_files import read_only, translated
from data.disk.strict_json import parse_object
from data.disk.traces import missing_files
from data.journal.mark import Mark, is_behind, mark_of
from data.journal.schema import make_journal, open_journal
from data.journal.stats_file import read_stats
from data.users.data_manager import STATE_LOCK
from data.users.document import Document, read_document

Check = Callable[[], object]

_NO_PAIRS = b'{"version":1,"pairs":{}}\n'
_NEW_KEY = "a new key is made: every account has to be logged in again, every added API pair be added again"
_GIVEN_UP = {
    USERS_FILE: "it is begun anew: every user's settings are lost; accounts in sessions/assigned become spare ones "
    "when their files are moved to sessions/available",
    JOURNAL_FILE: "it is begun anew: logs, counters and what was posted are lost, and what was posted in a cycle that "
    "was cut off is posted again",
    AUTH_FILE: "it is begun anew: passwords are lost, and every token made so far is refused",
    PAIRS_FILE: "it is begun anew: pairs that were added or switched off are lost",
    KEY_FILE: _NEW_KEY,
    SESSIONS: _NEW_KEY,
}
"""File → what it costs to continue without it."""
_AS_IT_IS = (
    "it is taken as it is: what was posted since, and is not in it, is posted again where its cycle was not finished"
)


@dataclass(frozen=True)
class Finding:
    """What is wrong with one file, and what mends it."""

    name: str
    problem: str
    remedy: str | None
    """In words; None: nothing here can mend it without a loss that its owner has to accept."""
    copy: Path | None = None
    """The copy that replaces it; None with a remedy: it is made anew."""
    given_up: str | None = None
    """What it costs to go on without a remedy, in words; None: there is one."""


def examine(
    state_dir: Path, *, key_in_settings: bool = False, more: tuple[tuple[str, Check], ...] = ()
) -> list[Finding]:
    """Check each file of the state. Return what is wrong. Changes nothing.

    `more`: name and check of files whose content other rooms know.
    """
    if is_cut_off(state_dir):
        return [Finding(HALF_RESTORED, "a restore was cut off", "it is carried to its end")]
    missing = {one.name: one.problem for one in missing_files(state_dir, key_in_settings=key_in_settings)}
    findings: list[Finding] = []
    for name, check in (*_checks(state_dir), *more):
        if any(finding.name in {name, KEY_FILE} for finding in findings):
            continue  # reported already: without its key nothing sealed opens
        problem = missing.get(name) or (_problem(check) if (state_dir / name).exists() else None)
        if problem is not None:
            findings.append(_finding(state_dir, name, problem))
    return findings


def mend(state_dir: Path, findings: list[Finding], now: datetime, *, give_up: bool = False) -> Path:
    """Replace what is wrong by copies. Return the folder where the old files are set aside.

    `give_up`: begin anew what has no good copy.

    Raises:
        StateInUse: the daemon runs; stop it first.
        StateDamaged: nothing can mend one of them, and it is not given up.
        StateNotWritten: the disk refused a file.
        StateLocked: another process held the state all the time.
    """
    for finding in findings:
        if finding.remedy is None and not give_up:
            raise StateDamaged(f"{finding.problem} There is no good copy of {finding.name}; restore a backup archive")
    with exclusive_daemon_lock(state_dir), locked(state_dir / STATE_LOCK), telling(state_dir):
        if is_cut_off(state_dir):
            return carry_on(state_dir)
        staged = empty_stage(state_dir)
        for finding in findings:
            if finding.copy is not None:
                _stage_copy(staged / finding.name, finding.copy)
            else:
                _stage_new(staged, state_dir, finding.name, now)
        if (staged / JOURNAL_FILE).exists():  # its counters belong to the journal that is set aside
            (staged / f"{STATS_FILE}.none").unlink(missing_ok=True)
            stage_none(staged / STATS_FILE)
        return put_in_place(state_dir, now)


def check_users(path: Path) -> None:
    """Refuse a file that cannot be read as users.json. Raises StateDamaged, StateTooNew."""
    read_document(_read(path), path)


def check_journal(path: Path) -> None:
    """Refuse a file that cannot be opened as the journal. Raises StateDamaged, StateTooNew."""
    if not path.exists():
        raise StateDamaged(f"{path} is missing")
    open_journal(path).close()


def check_pairs(path: Path) -> None:
    """Refuse a file that is no list of API pairs, as far as this room knows. Raises StateDamaged."""
    parse_object(_read(path), path)


def _checks(state_dir: Path) -> Iterator[tuple[str, Check]]:
    yield USERS_FILE, partial(check_users, state_dir / USERS_FILE)
    yield JOURNAL_FILE, partial(check_journal, state_dir / JOURNAL_FILE)
    yield STATS_FILE, partial(read_stats, state_dir)
    yield AUTH_FILE, partial(check_auth, state_dir / AUTH_FILE)
    yield PAIRS_FILE, partial(check_pairs, state_dir / PAIRS_FILE)
    yield KEY_FILE, lambda: None


def _finding(state_dir: Path, name: str, problem: str) -> Finding:
    if name == STATS_FILE:
        return Finding(name, problem, "it is counted again from the journal")
    path = state_dir / name
    check = {USERS_FILE: check_users, JOURNAL_FILE: check_journal}.get(name)
    copies = copies_of(path) if check is not None else []
    copy = next((copy for copy in copies if check is not None and _problem(partial(check, copy)) is None), None)
    there = _come_to(path) if name == JOURNAL_FILE else None
    if there is not None and (copy is None or not is_behind(there, _come_to(copy) or there)):
        # Only its newest part is missing, and no copy holds more.
        return Finding(name, problem, None, path, given_up=_AS_IT_IS)
    if copy is None:
        return Finding(name, problem, None, given_up=_GIVEN_UP[name])
    at = datetime.fromtimestamp(copy.stat().st_mtime).astimezone()
    return Finding(name, problem, f"the copy {copy} of {at:%Y-%m-%d %H:%M:%S} takes its place", copy)


def _problem(check: Check) -> str | None:
    try:
        check()
    except PostfleetError as error:
        return str(error)
    return None


def _come_to(journal: Path) -> Mark | None:
    """Return how far a journal has come; None: SQLite finds something wrong with it."""
    with contextlib.suppress(sqlite3.Error), read_only(journal) as connection:
        if connection.execute("PRAGMA quick_check(1)").fetchone()[0] == "ok":
            return mark_of(connection)
    return None


def _stage_copy(target: Path, copy: Path) -> None:
    if target.name != JOURNAL_FILE:
        stage(target, copy.read_bytes())
        return
    touch_own(target)
    try:  # by SQLite's own means, since a journal in use has a part in its log
        with read_only(copy) as source, contextlib.closing(sqlite3.connect(target)) as staged:
            source.backup(staged)
            staged.execute("PRAGMA journal_mode=DELETE")
    except sqlite3.Error as error:
        raise translated(error, copy) from error


def _stage_new(staged: Path, state_dir: Path, name: str, now: datetime) -> None:
    if name == STATS_FILE:
        stage_none(staged / name)
    elif name == USERS_FILE:
        stage(staged / name, b"".join(Document().chunks(0)))
    elif name == JOURNAL_FILE:
        make_journal(staged / name)
    elif name == AUTH_FILE:
        end_every_token(staged / name, now)
    elif name == PAIRS_FILE:
        stage(staged / name, _NO_PAIRS)
    else:
        _stage_no_accounts(staged, state_dir)


def _stage_no_accounts(staged: Path, state_dir: Path) -> None:
    """Have everything sealed set aside, with its key."""
    make_folder(staged / SESSIONS)
    for key in (KEY_FILE, NEXT_KEY_FILE):
        if (state_dir / key).exists():
            stage_none(staged / key)
    if (state_dir / PAIRS_FILE).exists():
        stage(staged / PAIRS_FILE, _NO_PAIRS)


def _read(path: Path) -> bytes:
    try:
        descriptor = open_to_read(path)
    except FileNotFoundError as error:
        raise StateDamaged(f"{path} is missing") from error
    try:
        return read_whole(descriptor, path)
    finally:
        os.close(descriptor)
