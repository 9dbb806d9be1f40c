"""Everything that may be in STATE_DIR, and whether an archive of `data.archive.backup` holds it.

Each kind of file has its reason here. A file of no kind here is not ours.
"""

import re
from dataclasses import dataclass
from enum import StrEnum

USERS_FILE = "users.json"
JOURNAL_FILE = "journal.sqlite3"
STATS_FILE = "stats.json"
AUTH_FILE = "api.sqlite3"
PAIRS_FILE = "api_pairs.json"
KEY_FILE = "vault.key"
NEXT_KEY_FILE = "vault.key.next"
"""It exists while the vault's key is replaced: the key with which files are sealed anew."""
SESSIONS = "sessions"
MADE = "made"
"""The folder of traces (`data.disk.traces`)."""


class InArchive(StrEnum):
    """When an archive holds a file."""

    ALWAYS = "always"
    WITH_MEDIA = "with media"
    WITH_KEY = "with key"
    NEVER = "never"


@dataclass(frozen=True)
class Item:
    """One kind of file."""

    pattern: str
    """A regular expression for its whole path under STATE_DIR, written with `/`."""
    in_archive: InArchive
    why: str


_NAME = r"[^/.][^/]*"

ITEMS = (
    Item(r"users\.json", InArchive.ALWAYS, "users and accounts"),
    Item(r"journal\.sqlite3", InArchive.ALWAYS, "posts, logs and counters, as a snapshot"),
    Item(r"stats\.json", InArchive.ALWAYS, "counted from that snapshot"),
    Item(r"api\.sqlite3", InArchive.ALWAYS, "passwords and ended tokens, as a snapshot without kept answers"),
    Item(r"api_pairs\.json", InArchive.ALWAYS, "added API pairs, their hashes sealed"),
    Item(rf"sessions/(?:{_NAME}/)?{_NAME}\.session", InArchive.ALWAYS, "accounts' keys; sealed ones alone"),
    Item(rf"media/{_NAME}/{_NAME}", InArchive.WITH_MEDIA, "uploaded files"),
    Item(rf"media/\.about/{_NAME}/{_NAME}\.json", InArchive.WITH_MEDIA, "what is known of uploaded files"),
    Item(r"vault\.key(?:\.next)?", InArchive.WITH_KEY, "an archive with it opens every account"),
    Item(r".*\.lock", InArchive.NEVER, "locks hold nothing"),
    Item(r"(?:journal|api)\.sqlite3-(?:wal|shm)", InArchive.NEVER, "the snapshot has their content"),
    Item(rf"made/{_NAME}", InArchive.NEVER, "traces of this folder's life; another folder gets its own"),
    Item(r"housekeeping\.json", InArchive.NEVER, "when jobs ran here; it is begun anew"),
    Item(r"api\.address", InArchive.NEVER, "where the daemon listens while it runs"),
    Item(r"copies/.*", InArchive.NEVER, "older copies of what is in the archive"),
    Item(rf"{_NAME}\.version-\d+", InArchive.NEVER, "what a migration found; older than what is in the archive"),
    Item(r"backups/.*", InArchive.NEVER, "archives themselves"),
    Item(r"logs/.*", InArchive.NEVER, "lines for people; nothing is read from them"),
    Item(r"restore\.new/.*|restore\.unfinished", InArchive.NEVER, "a restore under way"),
    Item(r"media/\.(?:incoming|backup)/.*", InArchive.NEVER, "uploads that have not arrived, links of a backup"),
    Item(r"(?:.*/)?[^/]+\.tmp|journal\.sqlite3\.new", InArchive.NEVER, "half-written files that a crash left"),
    Item(r"write\.probe", InArchive.NEVER, "a test whether the disk can be written"),
    Item(
        rf"sessions/{_NAME}/{_NAME}\.session(?:\.other|-journal|-wal|-shm)",
        InArchive.NEVER,
        "files of another program's sessions, whose keys lie open",
    ),
    Item(r"sandbox/.*|demo\.json|[a-z]+\.out", InArchive.NEVER, "the demo's own"),
)


def item_of(place: str) -> Item | None:
    """Return the kind of the file at that path under STATE_DIR; None: it is not ours."""
    return next((item for item in ITEMS if re.fullmatch(item.pattern, place, re.DOTALL)), None)


def may_be_archived(place: str) -> bool:
    """Return whether an archive may hold the file at that path."""
    item = item_of(place)
    return item is not None and item.in_archive is not InArchive.NEVER
