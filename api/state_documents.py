"""The sync state of each user, encoded once and kept until something in it changes.

`revision` is the number of the newest commit plus the id of the user's newest event, taken when the document last
changed. Both only grow, over restarts too. The ETag adds a digest of the bytes, because a cycle's progress moves
without a commit.
"""

import gzip
import hashlib
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec

from api.parts import Parts
from api.users import known_user
from api.views import (
    ProgressView,
    StateView,
    config_view,
    group_view,
    log_line,
    progress_view,
    session_view,
    stats_view,
)
from core.models import Session, Stats, User
from data.data_manager import DataManager, Snapshot
from data.journal import Journal
from scheduler.bots import Bots

CACHED_DOCUMENTS = 10_000
LOG_LINES = 50
_FIELDS = tuple(info.encode_name for info in msgspec.structs.fields(StateView))
# They identify the answer, or move without the revision: every partial answer carries them.
_ALWAYS = frozenset({"revision", "user_id", "progress", "stats"})


@dataclass(slots=True)
class Document:
    """One user's state as bytes, and everything it was made from."""

    snapshot: Snapshot
    user: User
    sessions: tuple[Session | None, ...]
    event_id: int
    stats: Stats
    progress: ProgressView | None
    revision: int
    parts: dict[str, bytes]
    """Each top-level field, encoded."""
    changed_at: dict[str, int]
    """The revision at which each field took its present value, as far as is remembered."""
    body: bytes
    etag: bytes
    about: list[tuple[bytes, bytes]]
    """Headers that describe the whole body: its ETag and its length."""
    _gzipped: bytes | None = field(default=None)

    def gzipped(self) -> bytes:
        """The body compressed; done once."""
        if self._gzipped is None:
            self._gzipped = gzip.compress(self.body, compresslevel=6, mtime=0)
        return self._gzipped

    def since(self, revision: int) -> bytes:
        """Only the fields that changed after that revision; everything when that cannot be told."""
        if revision > self.revision:
            return self.body
        return _joined(
            (name, part) for name, part in self.parts.items() if name in _ALWAYS or self.changed_at[name] > revision
        )


class StateDocuments:
    """Makes and keeps the documents."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._store: DataManager = parts.store
        self._journal: Journal = parts.journal
        self._bots: Bots = parts.bots
        self._kept: OrderedDict[str, Document] = OrderedDict()

    async def of(self, user_id: str) -> Document:
        """The user's document as it is now; a user nobody saw before is made. Raises StateError."""
        known = self.kept(user_id)
        if known is not None:
            return known
        kept = self._kept.get(user_id)
        await known_user(self._parts, user_id)
        return self._remember(user_id, self._make(user_id, kept))

    def kept(self, user_id: str) -> Document | None:
        """The user's document, if the one in memory is still true."""
        kept = self._kept.get(user_id)
        return kept if kept is not None and self._still_true(user_id, kept) else None

    def _still_true(self, user_id: str, kept: Document) -> bool:
        if (
            self._journal.last_event_id(user_id) != kept.event_id
            or progress_view(self._bots.progress(user_id)) != kept.progress
            or self._journal.stats(user_id) != kept.stats
        ):
            return False
        snapshot = self._store.snapshot
        if kept.snapshot is not snapshot:
            user = snapshot.users.get(user_id)
            if user is not kept.user or _sessions(snapshot, user) != kept.sessions:
                return False
            kept.snapshot = snapshot
        return True

    def _make(self, user_id: str, before: Document | None) -> Document:
        snapshot = self._store.snapshot
        user = snapshot.users[user_id]
        event_id = self._journal.last_event_id(user_id)
        progress = progress_view(self._bots.progress(user_id))
        stats = self._journal.stats(user_id)
        revision = snapshot.revision + event_id
        view = StateView(
            revision=revision,
            user_id=user_id,
            bot_status=user.bot_status,
            status_reason=user.status_reason,
            next_run_at=user.next_run_at,
            progress=progress,
            assigned_sessions=user.assigned_sessions,
            sessions=[
                session_view(name, snapshot.sessions[name])
                for name in user.assigned_sessions
                if name in snapshot.sessions
            ],
            config=config_view(user),
            groups=[group_view(name, user.group_holds.get(name, {})) for name in user.groups],
            stats=stats_view(stats),
            logs=[log_line(event) for event in self._journal.last_events(user_id, LOG_LINES)],
        )
        parts = {name: msgspec.json.encode(getattr(view, name)) for name in _FIELDS}
        body = _joined(parts.items())
        etag = f'"{revision}-{hashlib.blake2b(body, digest_size=6).hexdigest()}"'.encode()
        return Document(
            snapshot=snapshot,
            user=user,
            sessions=_sessions(snapshot, user),
            event_id=event_id,
            stats=stats,
            progress=progress,
            revision=revision,
            parts=parts,
            changed_at=_changed_at(parts, revision, before),
            body=body,
            etag=etag,
            about=[(b"etag", etag), (b"content-length", b"%d" % len(body))],
        )

    def _remember(self, user_id: str, document: Document) -> Document:
        self._kept.pop(user_id, None)
        if len(self._kept) >= CACHED_DOCUMENTS:
            self._kept.popitem(last=False)
        self._kept[user_id] = document
        return document


def _changed_at(parts: dict[str, bytes], revision: int, before: Document | None) -> dict[str, int]:
    if before is None:
        return dict.fromkeys(parts, revision)
    return {name: before.changed_at[name] if part == before.parts[name] else revision for name, part in parts.items()}


def _joined(parts: Iterable[tuple[str, bytes]]) -> bytes:
    return b"{" + b",".join(b'"%b":%b' % (name.encode(), part) for name, part in parts) + b"}"


def _sessions(snapshot: Snapshot, user: User | None) -> tuple[Session | None, ...]:
    return tuple(snapshot.sessions.get(name) for name in user.assigned_sessions) if user else ()
