"""Bringing the truth back: from an archive of `data.backup`, or from the last good copies beside it.

Everything is checked before anything is touched. What is replaced is set aside, never deleted. A restore that is cut
off leaves a mark; nothing opens the state until it is carried to its end by running it again.
"""

import contextlib
import io
import os
import shutil
import tarfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO

import msgspec

from core.errors import PostfleetError, StateDamaged, StateNotWritten, StateTooNew
from data.backup import FORMAT, KEY_FILE, MANIFEST, SESSIONS, Manifest, member_of
from data.copies import COPIES, newest_copy
from data.data_manager import STATE_LOCK, USERS_FILE
from data.document import read_document
from data.files import HALF_RESTORED, Disk, exclusive_daemon_lock, locked, make_folder, open_to_read, read_whole
from data.journal_schema import JOURNAL_FILE, open_journal
from data.media_files import is_media
from data.stats_file import STATS_FILE, read_stats
from data.strict_json import NOT_UNDERSTOOD

_STAGED = "restore.new"
_BESIDES = {JOURNAL_FILE: (f"{JOURNAL_FILE}-wal", f"{JOURNAL_FILE}-shm")}
_LARGEST_MANIFEST = 64 * 1024 * 1024


@dataclass(frozen=True)
class Finding:
    """What is wrong with one file, and what would mend it."""

    name: str
    problem: str
    remedy: str | None
    """In words; None: nothing here can mend it."""
    copy: Path | None = None
    """What would take its place; None with a remedy: it is made anew."""


def examine(state_dir: Path) -> list[Finding]:
    """Check each file of the state; answers only what is wrong. Changes nothing."""
    findings = []
    if (state_dir / HALF_RESTORED).exists():
        return [Finding(HALF_RESTORED, "a restore was cut off", "it is carried to its end")]
    for name, check in ((USERS_FILE, _check_users), (JOURNAL_FILE, _check_journal)):
        path = state_dir / name
        copy = newest_copy(path)
        if path.exists() or copy is not None:
            problem = _problem(partial(check, path))
            if problem is not None:
                findings.append(_with_copy(name, problem, copy, check))
    problem = _problem(lambda: read_stats(state_dir))
    if problem is not None:
        findings.append(Finding(STATS_FILE, problem, "it is counted again from the journal"))
    return findings


def _with_copy(name: str, problem: str, copy: Path | None, check: Callable[[Path], object]) -> Finding:
    if copy is None:
        return Finding(name, problem, None)
    wrong = _problem(lambda: check(copy))
    if wrong is not None:
        return Finding(name, problem, None)
    at = datetime.fromtimestamp(copy.stat().st_mtime).astimezone()
    return Finding(name, problem, f"the copy {copy} of {at:%Y-%m-%d %H:%M:%S} takes its place", copy)


def _problem(check: Callable[[], object]) -> str | None:
    try:
        check()
    except PostfleetError as error:
        return str(error)
    return None


def mend(state_dir: Path, findings: list[Finding], now: datetime) -> Path:
    """Put the copies in the place of what is damaged; answers the folder where the damaged files are set aside.

    Raises:
        StateInUse: the daemon runs; stop it first.
        StateDamaged: nothing can mend one of them.
        StateNotWritten, StateLocked.
    """
    for finding in findings:
        if finding.remedy is None:
            raise StateDamaged(f"{finding.problem} There is no good copy of {finding.name}; restore a backup archive")
    with exclusive_daemon_lock(state_dir), locked(state_dir / STATE_LOCK), _telling(state_dir):
        if (state_dir / HALF_RESTORED).exists():
            return _carry_on(state_dir)
        staged = _empty_stage(state_dir)
        for finding in findings:
            if finding.copy is not None:
                _stage(staged / finding.name, finding.copy.read_bytes())
            else:
                _stage(staged / f"{finding.name}.none", b"")
        return _put_in_place(state_dir, now)


def restore_archive(state_dir: Path, archive: Path, now: datetime) -> tuple[Manifest, Path]:
    """Put an archive in the place of the state; answers its manifest and the folder where the old state is set aside.

    Raises:
        StateDamaged, StateTooNew: the archive is not good; nothing was touched.
        StateInUse: the daemon runs; stop it first.
        StateNotWritten, StateLocked.
    """
    make_folder(state_dir)
    with exclusive_daemon_lock(state_dir), locked(state_dir / STATE_LOCK), _telling(state_dir):
        if (state_dir / HALF_RESTORED).exists():
            _carry_on(state_dir)
        staged = _empty_stage(state_dir)
        try:
            manifest = _unpack(archive, staged)
            _check_users(staged / USERS_FILE)
            read_stats(staged)
            _check_journal(staged / JOURNAL_FILE)
        except BaseException:
            shutil.rmtree(staged)
            raise
        for leftover in _BESIDES[JOURNAL_FILE]:
            (staged / leftover).unlink(missing_ok=True)
        make_folder(staged / SESSIONS)
        return manifest, _put_in_place(state_dir, now)


def _unpack(archive: Path, staged: Path) -> Manifest:
    try:
        with tarfile.open(archive, "r:gz") as opened:
            manifest = _manifest(opened, archive)
            missing = {USERS_FILE, STATS_FILE, JOURNAL_FILE} - manifest.files.keys()
            if missing:
                raise _bad(archive, f"holds no {min(missing)}")
            left = dict(manifest.files)
            for about in opened:
                if about.name == MANIFEST:
                    continue
                expected = left.pop(about.name, None)
                if expected is None or not about.isfile() or not _belongs(about.name):
                    raise _bad(archive, f"holds {about.name!r}, which does not belong there")
                source = opened.extractfile(about)
                if source is None or about.size != expected.size:
                    raise _bad(archive, f"holds another {about.name} than was put in")
                _stage(staged / about.name, source)
                if member_of(staged / about.name) != expected:
                    raise _bad(archive, f"holds another {about.name} than was put in")
            if left:
                raise _bad(archive, f"lacks {min(left)}")
            return manifest
    except (tarfile.TarError, EOFError, ValueError, zlib.error) as error:
        raise _bad(archive, f"cannot be unpacked ({error})") from error
    except OSError as error:
        raise _bad(archive, f"cannot be read ({error.strerror or error})") from error


def _manifest(opened: tarfile.TarFile, archive: Path) -> Manifest:
    about = opened.next()
    source = opened.extractfile(about) if about is not None and about.isfile() else None
    if about is None or source is None or about.name != MANIFEST or about.size > _LARGEST_MANIFEST:
        raise _bad(archive, "is not a backup of Postfleet")
    raw = source.read()
    try:
        found = msgspec.json.decode(raw, type=dict[str, object]).get("format")
        if isinstance(found, int) and found > FORMAT:
            raise StateTooNew(f"{archive} was made by a newer Postfleet (format {found}); restore it with that one")
        return msgspec.json.decode(raw, type=Manifest)
    except NOT_UNDERSTOOD as error:
        raise _bad(archive, f"has a manifest that cannot be understood ({error})") from error


def _belongs(name: str) -> bool:
    path = PurePosixPath(name)
    if name in {USERS_FILE, STATS_FILE, JOURNAL_FILE, KEY_FILE}:
        return True
    sessions = path.parts[0] == SESSIONS and len(path.parts) in (2, 3) and ".." not in path.parts
    return sessions or is_media(path)


def _bad(archive: Path, what: str) -> StateDamaged:
    return StateDamaged(f"{archive} {what}. Nothing was restored")


def _check_users(path: Path) -> None:
    try:
        descriptor = open_to_read(path)
    except FileNotFoundError as error:
        raise StateDamaged(f"{path} is missing") from error
    try:
        read_document(read_whole(descriptor, path), path)
    finally:
        os.close(descriptor)


def _check_journal(path: Path) -> None:
    if not path.exists():
        raise StateDamaged(f"{path} is missing")
    open_journal(path).close()


def _empty_stage(state_dir: Path) -> Path:
    staged = state_dir / _STAGED
    if staged.exists():
        shutil.rmtree(staged)
    make_folder(staged)
    return staged


def _stage(path: Path, content: bytes | IO[bytes]) -> None:
    make_folder(path.parent)
    disk = Disk()
    with os.fdopen(disk.create(path), "wb") as file:
        shutil.copyfileobj(io.BytesIO(content) if isinstance(content, bytes) else content, file)
        file.flush()
        disk.sync(file.fileno())
    disk.sync_folder(path.parent)


def _put_in_place(state_dir: Path, now: datetime) -> Path:
    """Set the old files aside and move the staged ones in; from the mark on, only forward."""
    _stage(state_dir / HALF_RESTORED, f"{COPIES}/before-restore-{now:%Y%m%d-%H%M%S-%f}".encode())
    return _carry_on(state_dir)


def _carry_on(state_dir: Path) -> Path:
    mark = state_dir / HALF_RESTORED
    aside = state_dir / mark.read_text()
    make_folder(aside)
    staged = state_dir / _STAGED
    for new in sorted(staged.iterdir()) if staged.exists() else ():
        name = new.name.removesuffix(".none")
        for old in (name, *_BESIDES.get(name, ())):
            if (state_dir / old).exists():
                (state_dir / old).rename(aside / old)
        if new.name == name:
            new.rename(state_dir / name)
        else:
            new.unlink()
    for folder in (aside, staged, state_dir):
        if folder.exists():
            Disk().sync_folder(folder)
    mark.unlink()
    with contextlib.suppress(FileNotFoundError):
        staged.rmdir()
    Disk().sync_folder(state_dir)
    return aside


@contextlib.contextmanager
def _telling(state_dir: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StateNotWritten(
            f"{state_dir} could not be written ({error.strerror or error}); make room and run it again"
        ) from error
