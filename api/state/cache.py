"""The sync state of each user, encoded once and kept until something in it changes.

`revision` is the number of the newest commit plus the id of the user's newest event, taken when the document last
changed. Both only grow, across restarts too. The ETag adds a digest of the bytes, because some fields (`_MOVING`) move
without a commit: with a cycle's progress, or with time alone, as when a hold ends. The current time is no value of the
kept document, which would then never stay the same; each response adds it (`dated`).
"""

import gzip
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

import msgspec

from api.backend import Backend
from api.requests.etags import weak_etag_of
from api.services.users import NEW_USER, get_user
from api.state.slow_facts import SlowFacts, facts_last, read_facts
from api.views.base import AllowanceNow, ConfigView, ProgressView, actual, progress_view, wanted
from api.views.state import (
    BannedView,
    StateView,
    StatsView,
    group_view,
    log_line,
    session_view,
)
from bot.cycle.run import CycleProgress
from core.models import Session, Stats, User
from data.journal.journal import Journal
from data.users.data_manager import DataManager, Snapshot
from scheduler.bots import Bots

CACHED_DOCUMENTS = 10_000
_NOBODY: frozenset[str] = frozenset()
LOG_LINES = 50
_SERVER_TIME = "server_time"
"""Is in each response and in no kept document."""
_FIELDS = tuple(info.encode_name for info in msgspec.structs.fields(StateView) if info.encode_name != _SERVER_TIME)
ALWAYS = frozenset({"revision", "user_id", "progress", "stats"})
"""Fields of every partial response: they identify it, or move with every post."""
_MOVING = frozenset({"actual", "progress", "sessions", "groups", "allowance", "stats"})
"""Fields that may change while the revision stays."""


@dataclass(slots=True)
class Document:
    """One user's state as bytes, and what it was made from."""

    snapshot: Snapshot
    user: User
    sessions: tuple[Session | None, ...]
    event_id: int
    stats: Stats
    progress: ProgressView | None
    posting: frozenset[str]
    """The accounts that post in the running cycle now."""
    facts: SlowFacts
    fresh_until: float
    """In monotonic seconds. Later, time alone may have changed something."""
    revision: int
    fields: dict[str, bytes]
    """Each top-level field, encoded."""
    changed_at: dict[str, int]
    """The revision at which each field took its current value, as far as is remembered."""
    moved_within: frozenset[str]
    """Fields that may have taken their value after that revision was first shown."""
    body: bytes
    etag: bytes
    about: list[tuple[bytes, bytes]]
    """The ETag and the length of the whole body with its time, as headers."""
    _gzipped: tuple[bytes, bytes] = field(default=(b"", b""))

    def gzipped(self, time: bytes) -> bytes:
        """Return the whole body with that time (`StateCache.time`), compressed once a second."""
        if self._gzipped[0] != time:
            self._gzipped = time, gzip.compress(dated(self.body, time), compresslevel=6, mtime=0)
        return self._gzipped[1]

    def since(self, revision: int) -> bytes:
        """Return the fields that changed after that revision; every field when that is not known."""
        if not 0 < revision <= self.revision:
            return self.body
        return _joined((name, value) for name, value in self.fields.items() if self._is_news(name, revision))

    def _is_news(self, name: str, revision: int) -> bool:
        changed_at = self.changed_at[name]
        return name in ALWAYS or changed_at > revision or (changed_at == revision and name in self.moved_within)


class StateCache:
    """Makes and keeps each user's document."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._clock = backend.clock
        self._store: DataManager = backend.store
        self._journal: Journal = backend.journal
        self._bots: Bots = backend.bots
        self._kept: OrderedDict[str, Document] = OrderedDict()
        self._second = 0
        self._time = b""

    @property
    def time(self) -> bytes:
        """The current time to the second, as the first field of a response: see `dated`."""
        now = self._clock.now()
        second = int(now.timestamp())
        if second != self._second:
            self._second, self._time = (
                second,
                b'"%b":"%b",' % (_SERVER_TIME.encode(), f"{now:%Y-%m-%dT%H:%M:%SZ}".encode()),
            )
        return self._time

    async def of(self, user_id: str) -> Document:
        """Return the user's current document; one whom nobody created has defaults. Raises StateError, Forbidden."""
        known = self.kept(user_id)
        if known is not None:
            return known
        kept = self._kept.get(user_id)
        user = get_user(self._backend, user_id)
        facts = await read_facts(self._backend, user_id, user, kept.facts if kept else None)
        return self._remember(user_id, self._make(user_id, facts, kept))

    def kept(self, user_id: str) -> Document | None:
        """Return the document in memory, None when it no longer holds."""
        kept = self._kept.get(user_id)
        return kept if kept is not None and self._still_true(user_id, kept) else None

    def _still_true(self, user_id: str, kept: Document) -> bool:
        # Every poll runs this. Identical objects are not compared field by field.
        progress, stats = self._bots.progress(user_id), self._journal.stats(user_id)
        if (
            self._journal.last_event_id(user_id) != kept.event_id
            or (stats is not kept.stats and stats != kept.stats)
            or self._clock.monotonic() >= kept.fresh_until
            or ((progress or kept.progress) is not None and progress_view(progress) != kept.progress)
            or _posting(progress) != kept.posting
        ):
            return False
        snapshot = self._store.snapshot
        if kept.snapshot is not snapshot:
            user = snapshot.users.get(user_id, NEW_USER)
            if user is not kept.user or _sessions(snapshot, user) != kept.sessions:
                return False
            kept.snapshot = snapshot
        return True

    def _make(self, user_id: str, facts: SlowFacts, before: Document | None) -> Document:
        snapshot, now = self._store.snapshot, self._clock.now()
        user = snapshot.users.get(user_id, NEW_USER)
        event_id = self._journal.last_event_id(user_id)
        running = self._bots.progress(user_id)
        progress, posting = progress_view(running), _posting(running)
        stats = self._journal.stats(user_id)
        revision = snapshot.revision + event_id
        view = StateView(
            server_time=now,
            revision=revision,
            user_id=user_id,
            bot_status=user.bot_status,
            wanted=wanted(user.bot_status),
            actual=actual(user.bot_status, running=progress is not None),
            status_reason=user.status_reason,
            next_run_at=user.next_run_at,
            progress=progress,
            assigned_sessions=user.assigned_sessions,
            sessions=[
                session_view(name, snapshot.sessions[name], now, posting=name in posting)
                for name in user.assigned_sessions
                if name in snapshot.sessions
            ],
            banned_sessions=[BannedView.of(banned) for banned in reversed(user.banned_sessions)],
            config=ConfigView.of(user),
            groups=[
                group_view(name, user.group_holds.get(name, {}), facts.groups.found.get(name), now)
                for name in user.groups
            ],
            allowance=AllowanceNow.of(facts.allowance.found, reserved=facts.allowance.found.reserved_this_month),
            stats=StatsView.of(stats),
            logs=[log_line(event) for event in self._journal.last_events(user_id, LOG_LINES)],
        )
        fields = {name: msgspec.json.encode(getattr(view, name)) for name in _FIELDS}
        if before is not None and fields | {"revision": before.fields["revision"]} == before.fields:
            # No visible field has moved, so the revision stays.
            fields, revision = before.fields, before.revision
        body = _joined(fields.items())
        etag = weak_etag_of(body, revision)
        sessions = _sessions(snapshot, user)
        return Document(
            snapshot=snapshot,
            user=user,
            sessions=sessions,
            event_id=event_id,
            stats=stats,
            progress=progress,
            posting=posting,
            facts=facts,
            fresh_until=min(
                facts_last(self._backend, user_id, facts),
                self._clock.monotonic() + _until_a_hold_ends(user, sessions, now),
            ),
            revision=revision,
            fields=fields,
            changed_at=_changed_at(fields, revision, before),
            moved_within=_moved_within(fields, revision, before),
            body=body,
            etag=etag,
            about=[(b"etag", etag), (b"content-length", b"%d" % len(dated(body, self.time)))],
        )

    def _remember(self, user_id: str, document: Document) -> Document:
        self._kept.pop(user_id, None)
        if len(self._kept) >= CACHED_DOCUMENTS:
            self._kept.popitem(last=False)
        self._kept[user_id] = document
        return document


def dated(body: bytes, time: bytes) -> bytes:
    """Return the document as a response of that time (`StateCache.time`)."""
    return b"".join((b"{", time, memoryview(body)[1:]))


def _posting(progress: CycleProgress | None) -> frozenset[str]:
    return progress.posting if progress is not None else _NOBODY


def _changed_at(fields: dict[str, bytes], revision: int, before: Document | None) -> dict[str, int]:
    if before is None:
        return dict.fromkeys(fields, revision)
    return {
        name: before.changed_at[name] if value == before.fields[name] else revision for name, value in fields.items()
    }


def _moved_within(fields: dict[str, bytes], revision: int, before: Document | None) -> frozenset[str]:
    if before is None:  # an earlier process or a forgotten document may have shown other values at this revision
        return _MOVING
    moved = {name for name in _MOVING if fields[name] != before.fields[name]}
    return (before.moved_within | moved) if revision == before.revision else (before.moved_within - moved)


def _until_a_hold_ends(user: User, sessions: tuple[Session | None, ...], now: datetime) -> float:
    """Return the seconds until the first of the shown holds ends."""
    ends = [hold.until for holds in user.group_holds.values() for hold in holds.values()]
    ends += [session.hold.until for session in sessions if session is not None and session.hold is not None]
    return min(((end - now).total_seconds() for end in ends if end > now), default=float("inf"))


def _joined(fields: Iterable[tuple[str, bytes]]) -> bytes:
    return b"{" + b",".join(b'"%b":%b' % (name.encode(), value) for name, value in fields) + b"}"


def _sessions(snapshot: Snapshot, user: User) -> tuple[Session | None, ...]:
    return tuple(snapshot.sessions.get(name) for name in user.assigned_sessions)
