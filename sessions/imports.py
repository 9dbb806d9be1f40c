"""Imports sessions from files, strings, folders and zips. Each piece has its own report, and none stops the rest.

Everything is read first. Then all keys are written to disk, and one transaction makes them sessions.
"""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from core.clock import Clock
from core.errors import Conflict, InvalidInput, PostfleetError
from core.models import Session
from data.users.data_manager import DataManager, Transaction
from sessions.files.pool import Pool
from sessions.foreign.formats import Format, is_telegrams
from sessions.foreign.reader import MOST_FILES, Brought, Piece, may_hold_sessions, pieces
from sessions.foreign.session_strings import is_session_string
from sessions.roster.admission import NOT_HERE, Newcomer, admit
from sessions.roster.names import name_for_import
from sessions.session_manager import SessionManager


class Verdict(StrEnum):
    """What became of one piece."""

    TAKEN = "taken"
    RENEWED = "renewed"
    """The account was known and needed a new login; now it has this one."""
    DUPLICATE = "duplicate"
    """The login or, as Telegram says, its account is here already."""
    REFUSED = "refused"


@dataclass(frozen=True)
class Report:
    """One piece and what became of it."""

    source: str
    verdict: Verdict
    session: str | None = None
    """The account's session: the new one, or the one it had."""
    format: Format | None = None
    reason: str | None = None


@dataclass(frozen=True)
class Terms:
    """The terms of an import. `owner` None: the accounts become spare ones for everyone."""

    owner: str | None = None
    label: str = ""
    by_operator: bool = True
    """False: the importer learns nothing about others' accounts, changes none, and may name only Telegram's servers."""
    our_dc: int | None = None
    """The data centre whose address comes from the settings, whatever a session says."""
    most: int = MOST_FILES
    """An import of more pieces than this takes in nothing."""
    most_unconfirmed: int | None = None
    """How many accounts that Telegram has not confirmed their owner may have. None: any number."""


class Importer:
    """Imports accounts, for an operator or for their owner."""

    def __init__(self, store: DataManager, pool: Pool, sessions: SessionManager, clock: Clock) -> None:
        self._store = store
        self._pool = pool
        self._sessions = sessions
        self._clock = clock

    def take(self, source: str | Path, terms: Terms, progress: Callable[[int], None] = lambda _: None) -> list[Report]:
        """Import a session string, a session file, a text file of strings, or a folder or zip of those.

        `progress` gets the number of pieces read so far. The files stay where they are.

        Raises:
            InvalidInput: there is no session to read, or there are too many.
            StateError: the state could not be written; nothing was taken in.
        """
        return self._take(_brought(source), "source", terms, progress)

    def take_content(self, content: bytes, name: str, terms: Terms, field: str = "body") -> list[Report]:
        """Import the content of a session file, of a zip, or of a text with session strings.

        A single session is called `name` if that is free. `field` names the input in error messages.
        """
        return self._take(Brought(content, name, name), field, terms)

    def _take(
        self, brought: Brought, field: str, terms: Terms, progress: Callable[[int], None] = lambda _: None
    ) -> list[Report]:
        found: list[Piece] = []
        with contextlib.closing(pieces(brought)) as reading:
            for piece in reading:
                found.append(piece)
                progress(len(found))
                if len(found) > terms.most:
                    raise InvalidInput(field, f"more than {terms.most} sessions; import them in parts")
        if not found:
            raise InvalidInput(field, "there is no session in it: no .session file and no session string")
        return self._admit_all(found, terms)

    def _admit_all(self, pieces: list[Piece], terms: Terms) -> list[Report]:
        self._store.transact_now(lambda _: None)  # read what another process wrote
        plan = _Plan(dict(self._store.snapshot.sessions), self._sessions.pairs.usable(), terms)
        reports = [plan.judge(piece) for piece in pieces]
        keys = {name: newcomer.credentials for name, newcomer in plan.newcomers.items()}
        if keys:
            self._pool.stage(keys)
            try:
                lost = self._store.transact_now(lambda tx: self._register(tx, plan.newcomers))
            except PostfleetError:
                self._pool.unstage(keys)
                raise
            self._pool.unstage({name: keys[name] for name in lost})
            self._pool.follow(self._store.snapshot, keys.keys() - lost.keys())
            reports = [
                replace(report, verdict=Verdict.REFUSED, reason=lost[report.session])
                if report.verdict is Verdict.TAKEN and report.session in lost
                else report
                for report in reports
            ]
        return reports

    def _register(self, tx: Transaction, newcomers: dict[str, Newcomer]) -> dict[str, str]:
        """Make the newcomers sessions. Return the names of those that can no longer be one, with the reason."""
        now, rules, lost = self._clock.now(), self._sessions.rules, {}
        for name, newcomer in newcomers.items():
            try:
                admit(tx, name, newcomer, rules, now)
            except Conflict as error:
                lost[name] = str(error)
        return lost


_UNCONFIRMED = "Telegram has not confirmed {} of your accounts yet: check or delete those first"


class _Plan:
    """Decides which pieces become sessions under which names, by the known sessions and the pieces before."""

    def __init__(self, known: dict[str, Session], usable: tuple[int, ...], terms: Terms) -> None:
        self.newcomers: dict[str, Newcomer] = {}
        self._terms = terms
        self._usable = usable
        self._unconfirmed = sum(
            session.telegram_id is None and session.owner == terms.owner for session in known.values()
        )
        self._names = set(known)
        self._by_key = {session.key_id: name for name, session in known.items() if session.key_id}
        self._owners = {name: session.owner for name, session in known.items()}

    def judge(self, piece: Piece) -> Report:
        """Return the report on one piece."""
        terms, found = self._terms, piece.found
        if found is None:
            return Report(piece.source, Verdict.REFUSED, reason=piece.reason)
        server, key_id = found.credentials, found.credentials.key_id
        if not terms.by_operator and server.dc_id != terms.our_dc and not is_telegrams(server.host):
            # The daemon would connect to any address that the file names.
            return Report(piece.source, Verdict.REFUSED, None, found.format, "its server is none of Telegram's")
        # Only the key counts: anybody can make up what else a file says.
        known = self._by_key.get(key_id)
        if known is not None and not terms.by_operator and self._owners.get(known, terms.owner) != terms.owner:
            return Report(piece.source, Verdict.REFUSED, None, found.format, NOT_HERE)
        if known is not None:
            return Report(piece.source, Verdict.DUPLICATE, known, found.format, f"the same login as {known}")
        if terms.most_unconfirmed is not None and self._unconfirmed >= terms.most_unconfirmed:
            return Report(piece.source, Verdict.REFUSED, None, found.format, _UNCONFIRMED.format(self._unconfirmed))
        self._unconfirmed += 1
        name = name_for_import(piece.name, key_id, self._names, by_operator=terms.by_operator)
        self._names.add(name)
        self._by_key[key_id] = name
        self.newcomers[name] = Newcomer(
            credentials=found.credentials,
            owner=terms.owner,
            api_id=found.api_id if found.api_id in self._usable else None,
            label=terms.label,
            by_operator=terms.by_operator,
        )
        return Report(piece.source, Verdict.TAKEN, name, found.format)


def _brought(source: str | Path) -> Brought:
    if isinstance(source, str) and is_session_string(source):
        return Brought(source.encode(), "session string", "imported")
    path = Path(source)
    try:
        exists, is_folder = path.exists(), path.is_dir()
    except (OSError, ValueError):  # a string that is too long for a path
        exists = is_folder = False
    if not exists:
        raise InvalidInput("source", "neither a session string nor an existing file or folder; was all of it copied?")
    if not is_folder:
        return Brought(files=((path.resolve(), path.name),))
    files = sorted(one for one in path.rglob("*") if one.is_file() and may_hold_sessions(one.name))
    return Brought(files=tuple((one.resolve(), str(one.relative_to(path))) for one in files[:MOST_FILES]))
