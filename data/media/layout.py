"""Where users' files are, and what is beside them: descriptions, leftovers, links for backups.

    STATE_DIR/media/USER/NAME              what posts name; USER as `folder_name` writes it
    STATE_DIR/media/.about/USER/NAME.json  its description, written before the file itself
    STATE_DIR/media/.about/USER/NAME.thumbnail  a small JPEG of a video
    STATE_DIR/media/.incoming/             uploads that are arriving; what a crash leaves there is rubbish
    STATE_DIR/media/.backup/               links to the files that a backup copies, so that none vanishes during it

User ids never begin with a dot.
"""

import contextlib
import functools
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import msgspec

from core.errors import StateError
from core.models import MediaKind
from data.disk.files import Disk, is_short_of_something, make_folder, write_whole

MEDIA = "media"
ABOUT = ".about"
INCOMING = ".incoming"
_BACKUP = ".backup"
_THUMBNAIL = ".thumbnail"
ABANDONED_SECONDS = 6 * 3600


class About(msgspec.Struct, frozen=True, kw_only=True):
    """The description of an uploaded file."""

    label: str
    """What its user calls it, shown where Telegram shows a file's name."""
    type: str
    """Its media type, by its content."""
    kind: MediaKind
    """How it can be posted."""
    width: int | None = None
    """Pixels of a picture or a video, as shown."""
    height: int | None = None
    duration: float | None = None
    """Seconds of a video or of sound."""
    measured: bool = False
    """Whether these numbers were looked for. One that is missing then cannot be read from the file."""
    content: tuple[int, int] | None = None
    """The size and time of change of the content described, for a file put there by hand, which may be replaced."""
    added_at: datetime

    def is_about(self, facts: os.stat_result) -> bool:
        """Return whether it describes the content that is there."""
        return self.content is None or self.content == content_mark(facts)


@functools.lru_cache(maxsize=4096)  # asked for before every post
def media_folder(state_dir: Path, user_id: str) -> Path:
    """Return the folder of the files that this user's posts may name."""
    return state_dir / MEDIA / folder_name(user_id)


def folder_name(user_id: str) -> str:
    """Return the name of a user's folder: the id in small letters.

    Some file systems ignore case, and ids that differ by case alone are different users. So `^` and a hexadecimal
    number follow, whose bits say which letters were capitals.
    """
    capitals = sum(1 << place for place, sign in enumerate(user_id) if sign != sign.lower())
    return f"{user_id.lower()}^{capitals:x}" if capitals else user_id


def rename_old_folders(state_dir: Path) -> None:
    """Rename folders that have a user's id for a name. A file that the new folder has already stays."""
    for root in (state_dir / MEDIA, state_dir / MEDIA / ABOUT):
        for old in [folder for folder in root.glob("*") if folder.is_dir() and not folder.name.startswith(".")]:
            if "^" in old.name or folder_name(old.name) == old.name:
                continue
            new = root / folder_name(old.name)
            make_folder(new)
            for entry in entries(old):
                if not (new / entry.name).exists():
                    Path(entry).rename(new / entry.name)
            with contextlib.suppress(OSError):  # something is left in it
                old.rmdir()


def shown_name(folder: Path, file: str) -> str:
    """Return the name that people see of a file in a media folder: its label, or its name if it has none."""
    about = about_of(folder, file)
    return about.label if about is not None else file


def content_mark(facts: os.stat_result) -> tuple[int, int]:
    """Return what changes when the content of a file does."""
    return facts.st_size, facts.st_mtime_ns


def about_of(folder: Path, file: str) -> About | None:
    """Return the description of a file in a media folder, if it still describes that file."""
    about = read_about(_about_folder(folder), file)
    try:
        return about if about is not None and about.is_about((folder / file).stat()) else None
    except OSError:
        return None


def keep_about(folder: Path, file: str, about: About, thumbnail: bytes | None) -> None:
    """Write the description of a file in a media folder, durably. Raises OSError."""
    beside = _about_folder(folder)
    make_folder(beside.parent)
    make_folder(beside)
    picture = thumbnail_path(beside, file)
    if thumbnail is None:
        picture.unlink(missing_ok=True)
    else:
        os.close(write_whole(Disk(), picture, [thumbnail]))
    os.close(write_whole(Disk(), beside / f"{file}.json", [msgspec.json.encode(about)]))


def forget_about(folder: Path, file: str) -> None:
    """Delete the description of a file that is gone. Raises OSError."""
    beside = _about_folder(folder)
    (beside / f"{file}.json").unlink(missing_ok=True)
    thumbnail_path(beside, file).unlink(missing_ok=True)


def thumbnail_of(folder: Path, file: str) -> bytes | None:
    """Return the JPEG that is shown until a video plays."""
    try:
        return thumbnail_path(_about_folder(folder), file).read_bytes()
    except OSError:
        return None


def thumbnail_path(about_folder: Path, file: str) -> Path:
    return about_folder / f"{file}{_THUMBNAIL}"


def _about_folder(folder: Path) -> Path:
    return folder.parent / ABOUT / folder.name


def sweep(state_dir: Path, abandoned_for: float = ABANDONED_SECONDS) -> int:
    """Remove abandoned uploads, and descriptions without a file. Return how many files went.

    `abandoned_for`: only what nobody has touched for so many seconds; 0 where no daemon can be writing. Links of a
    backup always have their time, since another process may make it.
    """
    root, swept, before = state_dir / MEDIA, 0, time.time() - abandoned_for
    for entry in entries(root / INCOMING):
        swept += _removed(Path(entry), before)
    for links in (root / _BACKUP).glob("*"):
        if links.stat().st_mtime <= time.time() - ABANDONED_SECONDS:
            shutil.rmtree(links, ignore_errors=True)
            swept += 1
    for folder in (root / ABOUT).glob("*"):
        for entry in entries(folder):
            # A crash between the description and the file leaves the description alone, or half of it.
            described = entry.name.removesuffix(".json").removesuffix(_THUMBNAIL)
            if not (root / folder.name / described).exists() or entry.name.endswith(".tmp"):
                swept += _removed(Path(entry), before)
    return swept


@contextlib.contextmanager
def media_links(state_dir: Path) -> Iterator["MediaLinks"]:
    """Make a folder for links to every file as it is at one moment. Raises StateNotWritten."""
    make_folder(state_dir / MEDIA)
    make_folder(state_dir / MEDIA / _BACKUP)
    with tempfile.TemporaryDirectory(dir=state_dir / MEDIA / _BACKUP, ignore_cleanup_errors=True) as folder:
        yield MediaLinks(state_dir, Path(folder))


@dataclass(frozen=True)
class MediaLinks:
    """Links that keep files readable if they are deleted while they are copied."""

    state_dir: Path
    folder: Path

    def take(self) -> dict[str, Path]:
        """Link every uploaded file and its description. Return path under STATE_DIR → link."""
        root = self.state_dir / MEDIA
        taken: dict[str, Path] = {}
        folders = [folder for folder in root.glob("*") if not folder.name.startswith(".")]
        for folder in (*(root / ABOUT).glob("*"), *folders):
            for entry in entries(folder):
                link = self.folder / str(len(taken))
                with contextlib.suppress(FileNotFoundError):  # deleted just now
                    _link(Path(entry), link)
                    taken[Path(entry).relative_to(self.state_dir).as_posix()] = link
        return taken


def _link(path: Path, link: Path) -> None:
    try:
        link.hardlink_to(path)
    except FileNotFoundError:
        raise
    except OSError:  # a file system without links
        shutil.copyfile(path, link)


def _removed(path: Path, before: float) -> bool:
    try:
        if path.stat().st_mtime > before:
            return False
        path.unlink()
    except OSError:
        return False
    return True


def read_about(folder: Path, name: str) -> About | None:
    """Return the description of a file; None: it was lost.

    Raises:
        StateError: it cannot be read now.
    """
    try:
        return msgspec.json.decode((folder / f"{name}.json").read_bytes(), type=About)
    except OSError as error:
        if is_short_of_something(error):
            raise StateError(f"what is known of the file {name} cannot be read ({error.strerror})") from error
        return None
    except (ValueError, msgspec.MsgspecError):
        return None


def entries(folder: Path) -> list[os.DirEntry[str]]:
    """Return the entries of the folder that are regular files."""
    try:
        with os.scandir(folder) as found:
            return [entry for entry in found if entry.is_file(follow_symlinks=False)]
    except FileNotFoundError:
        return []
