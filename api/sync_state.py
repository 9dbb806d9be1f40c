"""`GET /api/sync/state`: the whole dashboard in one document, as a plain ASGI application beside FastAPI.

Dashboards poll it, so it is the one hot path. A user's document is encoded once and its bytes are kept until something
in it changes; a poll then costs a header scan, a look-up of the verified token and two sends.

`revision` is the number of the newest commit plus the id of the user's newest event, taken when the document last
changed. Both only grow, over restarts too. The ETag adds a digest of the bytes, because a cycle's progress moves
without a commit.
"""

import hashlib
from dataclasses import dataclass

import msgspec
from starlette.types import Receive, Scope, Send

from api.auth import Authenticator
from api.ports import Bots, CycleProgress, Parts
from api.users import known_user
from api.views import StateView, config_view, group_view, log_line, progress_view, session_view, stats_view
from core.models import Session, User
from data.data_manager import DataManager, Snapshot
from data.journal import Journal

CACHED_DOCUMENTS = 10_000
LOG_LINES = 50
_JSON = (b"content-type", b"application/json")
_REVALIDATE = (b"cache-control", b"private, no-cache")
_VARY = (b"vary", b"authorization")


@dataclass(slots=True)
class _Document:
    """A user's bytes and everything they were made from."""

    snapshot: Snapshot
    user: User
    sessions: tuple[Session | None, ...]
    event_id: int
    progress: CycleProgress | None
    body: bytes
    etag: bytes
    ok_headers: list[tuple[bytes, bytes]]
    unchanged_headers: list[tuple[bytes, bytes]]


class SyncState:
    """Answers the path; the shell in front has seen to the request's id and catches what is raised."""

    def __init__(self, parts: Parts, authenticator: Authenticator) -> None:
        self._store: DataManager = parts.store
        self._journal: Journal = parts.journal
        self._bots: Bots = parts.bots
        self._authenticator = authenticator
        self._documents: dict[str, _Document] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002  it takes no body
        """Answer 200 with the document, or 304 when `If-None-Match` names it. Raises AuthError and StateError."""
        headers: list[tuple[bytes, bytes]] = scope["headers"]
        user_id = self._authenticator.identify(headers).user_id
        document = await self.document(user_id)
        known = next((value for name, value in headers if name == b"if-none-match"), None)
        if known is not None and _names(known, document.etag):
            await send({"type": "http.response.start", "status": 304, "headers": list(document.unchanged_headers)})
            await send({"type": "http.response.body", "body": b""})
            return
        await send({"type": "http.response.start", "status": 200, "headers": list(document.ok_headers)})
        await send({"type": "http.response.body", "body": document.body if scope["method"] == "GET" else b""})

    async def document(self, user_id: str) -> _Document:
        """The user's document as it is now, from memory when nothing in it changed."""
        snapshot = self._store.snapshot
        event_id = self._journal.last_event_id(user_id)
        progress = self._bots.progress(user_id)
        kept = self._documents.get(user_id)
        if kept is not None and kept.event_id == event_id and kept.progress == progress:
            if kept.snapshot is snapshot:
                return kept
            user = snapshot.users.get(user_id)
            if user is kept.user and _sessions(snapshot, user) == kept.sessions:
                kept.snapshot = snapshot
                return kept
        await known_user(self._store, user_id)
        return self._remember(user_id, self._make(user_id))

    def _make(self, user_id: str) -> _Document:
        snapshot = self._store.snapshot
        user = snapshot.users[user_id]
        event_id = self._journal.last_event_id(user_id)
        progress = self._bots.progress(user_id)
        body = msgspec.json.encode(
            StateView(
                revision=snapshot.revision + event_id,
                user_id=user_id,
                bot_status=user.bot_status,
                status_reason=user.status_reason,
                next_run_at=user.next_run_at,
                progress=progress_view(progress),
                assigned_sessions=user.assigned_sessions,
                sessions=[
                    session_view(name, snapshot.sessions[name])
                    for name in user.assigned_sessions
                    if name in snapshot.sessions
                ],
                config=config_view(user),
                groups=[group_view(name, user.group_holds.get(name, {})) for name in user.groups],
                stats=stats_view(self._journal.stats(user_id)),
                logs=[log_line(event) for event in self._journal.last_events(user_id, LOG_LINES)],
            )
        )
        digest = hashlib.blake2b(body, digest_size=6).hexdigest()
        etag = f'"{snapshot.revision + event_id}-{digest}"'.encode()
        about = [(b"etag", etag), _REVALIDATE, _VARY]
        length = (b"content-length", str(len(body)).encode())
        return _Document(
            snapshot=snapshot,
            user=user,
            sessions=_sessions(snapshot, user),
            event_id=event_id,
            progress=progress,
            body=body,
            etag=etag,
            ok_headers=[_JSON, length, *about],
            unchanged_headers=about,
        )

    def _remember(self, user_id: str, document: _Document) -> _Document:
        self._documents.pop(user_id, None)
        if len(self._documents) >= CACHED_DOCUMENTS:
            del self._documents[next(iter(self._documents))]
        self._documents[user_id] = document
        return document


def _sessions(snapshot: Snapshot, user: User | None) -> tuple[Session | None, ...]:
    return tuple(snapshot.sessions.get(name) for name in user.assigned_sessions) if user else ()


def _names(if_none_match: bytes, etag: bytes) -> bool:
    if if_none_match == etag:
        return True
    return any(tag.strip().removeprefix(b"W/") in (etag, b"*") for tag in if_none_match.split(b","))
