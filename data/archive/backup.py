"""Makes one consistent archive of the truth while the daemon runs.

users.json and snapshots of the databases are taken under the lock of the state, so that they fit together. The
databases are then copied from their snapshots while others write. The key that opens the session files stays out unless
it is asked for: an archive alone must not be enough to take over accounts. `data.disk.inventory` says what else is left
out, and why.
"""

import contextlib
import hashlib
import io
import os
import shutil
import sqlite3
import tarfile
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Annotated, Any

import msgspec

from core.errors import InvalidInput, PostfleetError, StateNotWritten
from core.ownership import give_to_owner
from data.archive.auth_archive import forget_answers
from data.disk.files import Disk, locked, open_to_read, read_whole, touch_own
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
from data.disk.sealed import SEALED, SUFFIX
from data.disk.sqlite_files import connect, translated
from data.disk.traces import refuse_missing
from data.journal.schema import open_journal
from data.journal.stats_file import Counted, counted_from, encoded
from data.media.layout import ABANDONED_SECONDS, MediaLinks, media_links
from data.users.data_manager import STATE_LOCK
from data.users.document import read_document

MANIFEST = "manifest.json"
FORMAT = 2
"""2 added passwords, ended tokens and API pairs."""
_HALF = ".postfleet-backup-"
_CHUNK = 256 * 1024
"""Bytes read between two checks whether to stop."""
_PAGES = 1024
"""Pages of a database copied between two checks."""
_SYNC_EVERY = 32 * 1024 * 1024


class BackupBrokenOff(PostfleetError):
    """The backup was stopped; nothing of the archive is left."""

    code = "backup_broken_off"


class Member(msgspec.Struct, frozen=True):
    """One file of an archive."""

    size: Annotated[int, msgspec.Meta(ge=0)]
    """Bytes."""
    sha256: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What an archive holds; its first file."""

    format: int
    made_at: datetime
    revision: int
    """Of users.json."""
    files: dict[str, Member]


@dataclass(frozen=True)
class _Taken:
    """What was read under the lock: small files as bytes, large ones as links, databases as open snapshots."""

    revision: int
    files: dict[str, bytes | Path]
    journal: sqlite3.Connection
    auth: sqlite3.Connection | None
    """None: no daemon has run here yet."""


def make_backup(
    state_dir: Path,
    target: Path,
    now: datetime,
    *,
    with_key: bool = False,
    with_media: bool = True,
    stop: threading.Event | None = None,
) -> Manifest:
    """Write the archive (tar, gzip, readable by its owner alone). The daemon may run meanwhile.

    An archive without uploaded files (`with_media` False) leaves those that are there alone when it is restored. Once
    `stop` is set the work ends within a chunk, however large the files are.

    Raises:
        BackupBrokenOff: `stop` was set.
        InvalidInput: the target exists, or its folder does not.
        StateDamaged, StateTooNew: the state is not good; no archive is made of it.
        StateLocked: another process held the state all the time.
        StateNotWritten: the disk refused the archive.
    """
    stop = stop or threading.Event()
    if target.exists():
        raise InvalidInput("FILE", f"{target} exists already; name a new file")
    if not target.parent.is_dir():
        raise InvalidInput("FILE", f"there is no folder {target.parent}; make it first")
    try:
        with (
            tempfile.TemporaryDirectory(prefix=_HALF, dir=target.parent) as folder,
            media_links(state_dir) if with_media else contextlib.nullcontext() as links,
        ):
            if state_dir.resolve() in target.resolve().parents:  # elsewhere it belongs to the one who makes it
                give_to_owner(Path(folder))
            files, revision = _collect(state_dir, Path(folder), links, stop, with_key=with_key)
            manifest = Manifest(
                format=FORMAT,
                made_at=now,
                revision=revision,
                files={name: member_of(content, stop) for name, content in files.items()},
            )
            beside = Path(folder) / "archive"
            _write_archive(beside, manifest, files, stop)
            beside.rename(target)
            Disk().sync_folder(target.parent)
    except OSError as error:
        raise StateNotWritten(f"{target} could not be written ({error.strerror or error})") from error
    return manifest


def remove_abandoned(folder: Path) -> None:
    """Remove what killed backups left in this folder. What another process may still write stays."""
    for half in folder.glob(f"{_HALF}*"):
        if half.stat().st_mtime <= time.time() - ABANDONED_SECONDS:
            shutil.rmtree(half, ignore_errors=True)


def _collect(
    state_dir: Path, folder: Path, links: MediaLinks | None, stop: threading.Event, *, with_key: bool
) -> tuple[dict[str, bytes | Path], int]:
    refuse_missing(state_dir, key_in_settings=not with_key)
    open_journal(state_dir / JOURNAL_FILE).close()  # refuses a damaged one
    with _taken(state_dir, links, with_key=with_key) as taken:
        files = dict(taken.files)
        files[STATS_FILE] = encoded(counted_from(taken.journal, Counted()))
        if taken.auth is not None:
            files[AUTH_FILE] = _copy(taken.auth, folder / AUTH_FILE, stop)
            forget_answers(folder / AUTH_FILE)
        files[JOURNAL_FILE] = _copy(taken.journal, folder / JOURNAL_FILE, stop)
        return files, taken.revision


@contextlib.contextmanager
def _taken(state_dir: Path, links: MediaLinks | None, *, with_key: bool) -> Iterator[_Taken]:
    users_path = state_dir / USERS_FILE
    with contextlib.ExitStack() as opened:
        journal = opened.enter_context(contextlib.closing(connect(state_dir / JOURNAL_FILE)))
        auth = None
        if (state_dir / AUTH_FILE).exists():
            auth = opened.enter_context(contextlib.closing(connect(state_dir / AUTH_FILE)))
        with locked(state_dir / STATE_LOCK):
            raw = _read(users_path)
            revision = read_document(raw, users_path).revision
            for path, database in ((JOURNAL_FILE, journal), (AUTH_FILE, auth)):
                if database is not None:
                    _begin_snapshot(database, state_dir / path)
            files: dict[str, bytes | Path] = {USERS_FILE: raw, **_session_files(state_dir)}
            if links is not None:  # under the lock no config can begin to name a file that has no link yet
                files |= links.take()
        for name in (PAIRS_FILE, *((KEY_FILE, NEXT_KEY_FILE) if with_key else ())):
            if (state_dir / name).exists():
                files[name] = _read(state_dir / name)
        yield _Taken(revision, files, journal, auth)


def _begin_snapshot(database: sqlite3.Connection, path: Path) -> None:
    try:
        database.execute("BEGIN")
        database.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()  # the snapshot begins with the first read
    except sqlite3.Error as error:
        raise translated(error, path) from error


def _session_files(state_dir: Path) -> dict[str, bytes]:
    # A file may move between the folders at any moment; each name is taken once, from wherever it is.
    found: dict[str, bytes] = {}
    names: set[str] = set()
    for _ in range(3):
        for path in sorted((state_dir / SESSIONS).rglob(f"*{SUFFIX}")):
            with contextlib.suppress(FileNotFoundError):
                content = path.read_bytes()
                # A file that was dropped in and not sealed yet holds its key in the open.
                if path.name not in names and content.startswith(SEALED):
                    names.add(path.name)
                    found[path.relative_to(state_dir).as_posix()] = content
    return found


def _copy(database: sqlite3.Connection, copy: Path, stop: threading.Event) -> Path:
    touch_own(copy)
    try:
        with contextlib.closing(sqlite3.connect(copy)) as target:
            database.backup(target, pages=_PAGES, progress=lambda *_: _go_on(stop))
            target.execute("PRAGMA journal_mode=DELETE")  # one file, no log beside it
    except sqlite3.Error as error:
        raise translated(error, copy.relative_to(copy.parent)) from error
    return copy


def _read(path: Path) -> bytes:
    try:
        descriptor = open_to_read(path)
    except FileNotFoundError as error:
        raise InvalidInput("STATE_DIR", f"there is no {path}; set POSTFLEET_STATE_DIR to a state folder") from error
    try:
        return read_whole(descriptor, path)
    finally:
        os.close(descriptor)


def member_of(content: bytes | Path, stop: threading.Event | None = None) -> Member:
    """Return the entry of the manifest. Raises BackupBrokenOff if `stop` was set."""
    if isinstance(content, bytes):
        return Member(len(content), hashlib.sha256(content).hexdigest())
    digest = hashlib.sha256()
    with content.open("rb") as file:
        reading = _Stoppable(file, stop or threading.Event())
        while chunk := reading.read(_CHUNK):
            digest.update(chunk)
        return Member(content.stat().st_size, digest.hexdigest())


def _write_archive(path: Path, manifest: Manifest, files: dict[str, bytes | Path], stop: threading.Event) -> None:
    descriptor = Disk().create(path)
    with io.BufferedWriter(_Steady(descriptor, "wb")) as raw:
        with tarfile.open(fileobj=raw, mode="w:gz", compresslevel=6) as archive:
            _add(archive, MANIFEST, msgspec.json.format(msgspec.json.encode(manifest)), manifest.made_at, stop)
            for name, content in files.items():
                _add(archive, name, content, manifest.made_at, stop)
        raw.flush()
        os.fsync(raw.fileno())


def _add(archive: tarfile.TarFile, name: str, content: bytes | Path, made_at: datetime, stop: threading.Event) -> None:
    about = tarfile.TarInfo(name)
    about.mode, about.mtime = 0o600, int(made_at.timestamp())
    if isinstance(content, bytes):
        about.size = len(content)
        archive.addfile(about, _Stoppable(io.BytesIO(content), stop))
        return
    about.size = content.stat().st_size
    with content.open("rb") as file:
        archive.addfile(about, _Stoppable(file, stop))


def _go_on(stop: threading.Event) -> None:
    if stop.is_set():
        raise BackupBrokenOff("the backup was broken off; nothing of it is left")


class _Stoppable:
    """A file that can be read until `stop` is set."""

    def __init__(self, file: IO[bytes], stop: threading.Event) -> None:
        self._file = file
        self._stop = stop

    def read(self, size: int = -1) -> bytes:
        _go_on(self._stop)
        return self._file.read(size)


class _Steady(io.FileIO):
    """A file that is made durable as it grows, so that nobody waits for gigabytes to be synced at its end."""

    _unsynced = 0

    def write(self, data: Any) -> int:
        if self._unsynced >= _SYNC_EVERY:
            os.fsync(self.fileno())
            self._unsynced = 0
        written = super().write(data)
        self._unsynced += written
        return written
