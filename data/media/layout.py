"""Where users' files lie and what else lies beside them: what is known of each, leftovers, links for backups.

    STATE_DIR/media/USER/NAME              what posts name; USER as `folder_name` writes it
    STATE_DIR/media/.about/USER/NAME.json  what is known of it; written before the file stands there
    STATE_DIR/media/.about/USER/NAME.thumbnail  of a video: a small JPEG
    STATE_DIR/media/.incoming/             what is still arriving; whatever a crash leaves there is rubbish
    STATE_DIR/media/.backup/               links to what a backup is copying, so that nothing of it can vanish meanwhile

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
    """What is known of an uploaded file besides its content."""

    label: str
    """What its people call it; shown where Telegram shows a file's name."""
    type: str
    """Its media type, by its content."""
    kind: MediaKind
    """As what it can be posted."""
    width: int | None = None
    """Pixels of a picture or a video, as shown."""
    height: int | None = None
    duration: float | None = None
    """Seconds of a video or of sound."""
    measured: bool = False
    """Whether these numbers were looked for: what is missing then cannot be read from the file."""
    content: tuple[int, int] | None = None
    """Of a file that was put there by hand, and may be replaced: the size and time of change of what was looked at."""
    added_at: datetime

    def is_about(self, facts: os.stat_result) -> bool:
        """Whether it describes the content that is there."""
        return self.content is None or self.content == content_mark(facts)


@functools.lru_cache(maxsize=4096)  # asked for before every post
def media_folder(state_dir: Path, user_id: str) -> Path:
    """Where the files lie that this user's posts may name."""
    return state_dir / MEDIA / folder_name(user_id)


def folder_name(user_id: str) -> str:
    """What a user's folder is called: the id, in small letters.

    Some file systems take no notice of case, and ids that differ by nothing else are different users: where letters
    were made small, `^` and a number say which (bit by bit, in hexadecimal).
    """
    capitals = sum(1 << place for place, sign in enumerate(user_id) if sign != sign.lower())
    return f"{user_id.lower()}^{capitals:x}" if capitals else user_id


def rename_old_folders(state_dir: Path) -> None:
    """Give folders that are called by a user's id their name of today. What stands in the new one already stays."""
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
    """What people see as the name of a file in a media folder: its label, or its name where it has none."""
    about = about_of(folder, file)
    return about.label if about is not None else file


def content_mark(facts: os.stat_result) -> tuple[int, int]:
    """What changes when a file's content does."""
    return facts.st_size, facts.st_mtime_ns


def about_of(folder: Path, file: str) -> About | None:
    """What is known of a file in a media folder, if that is still what is there."""
    about = read_about(_about_folder(folder), file)
    try:
        return about if about is not None and about.is_about((folder / file).stat()) else None
    except OSError:
        return None


def keep_about(folder: Path, file: str, about: About, thumbnail: bytes | None) -> None:
    """Write down what is known of a file in a media folder, durably. Raises OSError."""
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
    """The file is gone, and with it what is known of it. Raises OSError."""
    beside = _about_folder(folder)
    (beside / f"{file}.json").unlink(missing_ok=True)
    thumbnail_path(beside, file).unlink(missing_ok=True)


def thumbnail_of(folder: Path, file: str) -> bytes | None:
    """The picture that stands for a video until it plays, a JPEG."""
    try:
        return thumbnail_path(_about_folder(folder), file).read_bytes()
    except OSError:
        return None


def thumbnail_path(about_folder: Path, file: str) -> Path:
    return about_folder / f"{file}{_THUMBNAIL}"


def _about_folder(folder: Path) -> Path:
    return folder.parent / ABOUT / folder.name


def sweep(state_dir: Path, abandoned_for: float = ABANDONED_SECONDS) -> int:
    """Remove what no upload will finish and what describes no file; how much that was.

    `abandoned_for`: only what nobody has touched for so many seconds. 0 where no daemon can be writing; links of a
    backup always have their time, for it may be another process that makes it.
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
            # What was cut off between the description and the file: the description alone, or half of it.
            described = entry.name.removesuffix(".json").removesuffix(_THUMBNAIL)
            if not (root / folder.name / described).exists() or entry.name.endswith(".tmp"):
                swept += _removed(Path(entry), before)
    return swept


@contextlib.contextmanager
def media_links(state_dir: Path) -> Iterator["MediaLinks"]:
    """A place for links to every file as it is at one moment. Raises StateNotWritten."""
    make_folder(state_dir / MEDIA)
    make_folder(state_dir / MEDIA / _BACKUP)
    with tempfile.TemporaryDirectory(dir=state_dir / MEDIA / _BACKUP, ignore_cleanup_errors=True) as folder:
        yield MediaLinks(state_dir, Path(folder))


@dataclass(frozen=True)
class MediaLinks:
    """Keeps files readable that are deleted while they are copied."""

    state_dir: Path
    folder: Path

    def take(self) -> dict[str, Path]:
        """Every uploaded file and what is known of it: its place under STATE_DIR, and a link that stays."""
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
    """What is known of a file beside its content, None where that was lost.

    Raises:
        StateError: it cannot be read just now.
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
    """The files in it that are files."""
    try:
        with os.scandir(folder) as found:
            return [entry for entry in found if entry.is_file(follow_symlinks=False)]
    except FileNotFoundError:
        return []
