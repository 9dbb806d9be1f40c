"""Bringing the truth back from an archive of `data.archive.backup`.

Everything is checked before anything is touched. What is replaced is set aside, never deleted. A restore that is cut
off leaves a mark; nothing opens the state until it is carried to its end by running it again.
"""

import shutil
import tarfile
import zlib
from datetime import datetime
from pathlib import Path

import msgspec

from core.errors import StateDamaged, StateTooNew
from data.archive.auth_archive import end_every_token
from data.archive.backup import FORMAT, MANIFEST, Manifest, member_of
from data.archive.mending import check_journal, check_users
from data.archive.staging import carry_on, empty_stage, is_cut_off, put_in_place, stage, telling
from data.disk.files import exclusive_daemon_lock, locked, make_folder
from data.disk.inventory import AUTH_FILE, JOURNAL_FILE, SESSIONS, STATS_FILE, USERS_FILE, may_be_archived
from data.disk.strict_json import NOT_UNDERSTOOD
from data.journal.stats_file import read_stats
from data.users.data_manager import STATE_LOCK

_LARGEST_MANIFEST = 64 * 1024 * 1024


def restore_archive(state_dir: Path, archive: Path, now: datetime) -> tuple[Manifest, Path]:
    """Put an archive in the place of the state; answers its manifest and the folder where the old state is set aside.

    Every token made so far is refused afterwards: which of them were ended since, the archive cannot know.

    Raises:
        StateDamaged, StateTooNew: the archive is not good; nothing was touched.
        StateInUse: the daemon runs; stop it first.
        StateNotWritten, StateLocked.
    """
    make_folder(state_dir)
    with exclusive_daemon_lock(state_dir), locked(state_dir / STATE_LOCK), telling(state_dir):
        if is_cut_off(state_dir):
            carry_on(state_dir)
        staged = empty_stage(state_dir)
        try:
            manifest = _unpack(archive, staged)
            check_users(staged / USERS_FILE)
            read_stats(staged)
            check_journal(staged / JOURNAL_FILE)
            # An archive of an older Postfleet has none: then the one that is there knows best.
            if (staged / AUTH_FILE).exists() or not (state_dir / AUTH_FILE).exists():
                end_every_token(staged / AUTH_FILE, now)
        except BaseException:
            shutil.rmtree(staged)
            raise
        make_folder(staged / SESSIONS)
        return manifest, put_in_place(state_dir, now)


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
                if expected is None or not about.isfile() or not may_be_archived(about.name):
                    raise _bad(archive, f"holds {about.name!r}, which does not belong there")
                source = opened.extractfile(about)
                if source is None or about.size != expected.size:
                    raise _bad(archive, f"holds another {about.name} than was put in")
                stage(staged / about.name, source)
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


def _bad(archive: Path, what: str) -> StateDamaged:
    return StateDamaged(f"{archive} {what}. Nothing was restored")
