"""Uploaded files in an archive: whole, bounded in time, and only where uploads lie."""

import os
import stat
import threading
import time
from datetime import timedelta
from pathlib import Path

import pytest

from core.models import MediaKind
from data.archive import backup
from data.archive.backup import BackupBrokenOff, make_backup
from data.archive.restore import restore_archive
from data.disk.inventory import may_be_archived
from data.media.layout import ABANDONED_SECONDS, About, sweep
from data.media.store import MediaStore, StoredFile
from tests.data.support import NOW, lived_in


def uploaded(state_dir: Path, content: bytes) -> StoredFile:
    """A file of alice's."""
    store = MediaStore(state_dir, quota=10**6, largest=10**6)
    arrival = store.begin("alice", len(content))
    arrival.write(content)
    about = About(label="Menu.pdf", type="application/pdf", kind=MediaKind.DOCUMENT, added_at=NOW)
    return arrival.keep(".pdf", about, relabel=False)[0]


async def test_uploaded_files_are_in_an_archive_and_come_back(state_dir: Path, tmp_path: Path) -> None:
    await lived_in(state_dir)
    file = uploaded(state_dir, b"%PDF" * 10_000)
    make_backup(state_dir, tmp_path / "backup", NOW)
    make_backup(state_dir, tmp_path / "without", NOW, with_media=False)
    path = state_dir / "media" / "alice" / file.name
    path.write_bytes(b"damaged")
    restore_archive(state_dir, tmp_path / "without", NOW)
    assert path.read_bytes() == b"damaged"
    restore_archive(state_dir, tmp_path / "backup", NOW + timedelta(seconds=1))
    assert MediaStore(state_dir, quota=10**6, largest=10**6).files("alice")[0].about == file.about
    assert path.read_bytes() == b"%PDF" * 10_000
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not list((state_dir / "media" / ".backup").glob("*"))


async def test_a_file_that_is_deleted_during_a_backup_is_in_it_whole(
    state_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await lived_in(state_dir)
    file = uploaded(state_dir, b"%PDF" * 10_000)
    real = backup.member_of

    def deleted_meanwhile(content: bytes | Path, stop: threading.Event) -> backup.Member:
        (state_dir / "media" / "alice" / file.name).unlink(missing_ok=True)
        return real(content, stop)

    monkeypatch.setattr(backup, "member_of", deleted_meanwhile)
    make_backup(state_dir, tmp_path / "backup", NOW)
    monkeypatch.undo()
    restore_archive(state_dir, tmp_path / "backup", NOW)
    assert (state_dir / "media" / "alice" / file.name).read_bytes() == b"%PDF" * 10_000


class StopAtLook(threading.Event):
    """Set from the look at it with that number on."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.left = number

    def is_set(self) -> bool:
        self.left -= 1
        return self.left <= 0


async def test_a_backup_told_to_stop_ends_within_a_chunk_and_leaves_nothing(state_dir: Path, tmp_path: Path) -> None:
    await lived_in(state_dir)
    large = state_dir / "media" / "alice" / "clip.mp4"
    large.parent.mkdir(parents=True)
    large.write_bytes(os.urandom(1024 * 1024))
    for looks in range(1, 1000):
        try:
            make_backup(state_dir, tmp_path / "backup", NOW, stop=StopAtLook(looks))
        except BackupBrokenOff:
            assert [path.name for path in tmp_path.iterdir()] == ["state"]
            assert not list((state_dir / "media" / ".backup").iterdir())
        else:
            break
    else:
        pytest.fail("the backup never came to its end")
    assert looks > 50, "one file is read in many chunks, each of which may be the last"
    restore_archive(state_dir, tmp_path / "backup", NOW)


def test_an_archive_puts_no_file_where_no_upload_lies() -> None:
    outside = ["media/../users.json", "media/alice", "media/alice/x/y", "media/.incoming/x", "media/.about/x", "x/a/b"]
    assert not [name for name in outside if may_be_archived(name)]
    assert may_be_archived("media/alice/x.jpg")
    assert may_be_archived("media/.about/alice/x.jpg.json")


async def test_links_that_a_killed_backup_left_are_removed_in_time(state_dir: Path) -> None:
    left = state_dir / "media" / ".backup" / "tmpxyz"
    left.mkdir(parents=True)
    (left / "0").write_bytes(b"x")
    assert sweep(state_dir, 0) == 0  # another process may be making it
    long_ago = time.time() - ABANDONED_SECONDS - 1
    os.utime(left, (long_ago, long_ago))
    assert sweep(state_dir) == 1
    assert not left.exists()
