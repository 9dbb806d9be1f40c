"""Brings the truth back from an archive of `data.archive.backup`.

Everything is checked before anything is touched. What is replaced is set aside, never deleted. A restore that is cut
off leaves a mark, and nothing opens the state until a second run carries it to its end.
"""

import shutil
from datetime import datetime
from pathlib import Path

from data.archive.auth_archive import check_auth, end_every_token
from data.archive.backup import Manifest
from data.archive.mending import check_journal, check_pairs, check_users
from data.archive.staging import carry_on, empty_stage, is_cut_off, put_in_place, telling
from data.archive.unpack import refuse_no_archive, unpack
from data.disk.files import exclusive_daemon_lock, locked, make_folder
from data.disk.inventory import AUTH_FILE, JOURNAL_FILE, PAIRS_FILE, SESSIONS, USERS_FILE
from data.journal.stats_file import read_stats
from data.users.data_manager import STATE_LOCK


def restore_archive(state_dir: Path, archive: Path, now: datetime) -> tuple[Manifest, Path]:
    """Put an archive in the place of the state. Return its manifest and the folder where the old state is set aside.

    Every token made so far is refused afterwards: the archive cannot know which of them were ended since it was made.

    Raises:
        StateDamaged, StateTooNew: the archive is not good; nothing was touched.
        StateInUse: the daemon runs; stop it first.
        StateNotWritten: the disk has no room for it, or refuses a file.
        StateLocked: another process held the state all the time.
    """
    refuse_no_archive(archive)  # first, so that a mistyped name leaves nothing in a wrong folder
    make_folder(state_dir)
    with exclusive_daemon_lock(state_dir), locked(state_dir / STATE_LOCK), telling(state_dir):
        if is_cut_off(state_dir):
            carry_on(state_dir)
        staged = empty_stage(state_dir)
        try:
            manifest = unpack(archive, staged)
            check_users(staged / USERS_FILE)
            read_stats(staged)
            check_journal(staged / JOURNAL_FILE)
            for name, check in ((AUTH_FILE, check_auth), (PAIRS_FILE, check_pairs)):
                if (staged / name).exists():
                    check(staged / name)
            # An archive of an older Postfleet has none; the one that is there then stays.
            if (staged / AUTH_FILE).exists() or not (state_dir / AUTH_FILE).exists():
                end_every_token(staged / AUTH_FILE, now)
        except BaseException:
            shutil.rmtree(staged)
            raise
        make_folder(staged / SESSIONS)
        return manifest, put_in_place(state_dir, now)
