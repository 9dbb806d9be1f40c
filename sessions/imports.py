"""Takes sessions in from whatever people have: files, strings, folders, zips; one report a piece, none stops the rest.

Everything is read first, then all keys are written down together, then one transaction makes them sessions.
"""

import io
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from core.clock import Clock
from core.errors import Conflict, InvalidInput, PostfleetError
from core.models import Session
from data.data_manager import DataManager, Transaction
from sessions import changes
from sessions.changes import Newcomer
from sessions.formats import (
    SQLITE,
    Format,
    Found,
    is_session_string,
    is_telegrams,
    read_session_bytes,
    read_session_file,
    read_session_string,
)
from sessions.names import name_for_import
from sessions.pool import Pool
from sessions.session_manager import SessionManager

_SUFFIX = ".session"
_TEXTS = {".txt", ".string"}
MOST_BYTES = 64 * 1024 * 1024
"""Of one file: a session file with a large cache of names is a few MB."""
MOST_FILES = 10_000
MOST_UNPACKED = 1024 * 1024 * 1024
"""Of one zip, all of its files together: what it says of their sizes may be untrue."""
_COMPANIONS = ("-journal", "-wal", "-shm")


class Verdict(StrEnum):
    """What became of one piece."""

    TAKEN = "taken"
    RENEWED = "renewed"
    """Telegram says that the account was known and needed a new login; it has this one now."""
    DUPLICATE = "duplicate"
    """The login is here already, or Telegram says that the account is."""
    REFUSED = "refused"


@dataclass(frozen=True)
class Report:
    """One piece and what became of it."""

    source: str
    verdict: Verdict
    session: str | None = None
    """Its session: the new one, or the one the account had."""
    format: Format | None = None
    reason: str | None = None


@dataclass(frozen=True)
class _Piece:
    source: str
    name: str
    found: Found | None = None
    reason: str | None = None


@dataclass(frozen=True)
class Terms:
    """Under what terms accounts are taken in. `owner` None: as spare ones for everyone."""

    owner: str | None = None
    label: str = ""
    by_operator: bool = True
    """False: whoever imports learns nothing of others' accounts, changes none, and names no server but Telegram's."""
    our_dc: int | None = None
    """The data centre whose address is that of the settings, whatever a session says."""
    most: int = MOST_FILES
    """More pieces than that are not looked at: nothing is taken in."""
    most_unconfirmed: int | None = None
    """So many accounts that Telegram has not confirmed may their owner have; None: any number."""


class Importer:
    """Imports accounts, for an operator or for their owner."""

    def __init__(self, store: DataManager, pool: Pool, sessions: SessionManager, clock: Clock) -> None:
        self._store = store
        self._pool = pool
        self._sessions = sessions
        self._clock = clock

    def take(self, source: str | Path, terms: Terms, progress: Callable[[int], None] = lambda _: None) -> list[Report]:
        """Take in a session string, a session file, a text file of strings, a folder or a zip of those.

        `progress` is told how many pieces were looked at. The files themselves stay where they are.

        Raises:
            InvalidInput: there is nothing of the kind to read.
            StateNotWritten and its kin: nothing was taken in.
        """
        return self._take(_pieces_of(source), str(source), terms, progress)

    def take_content(self, content: bytes, name: str, terms: Terms) -> list[Report]:
        """The same for the content of a session file, of a zip, or of a text with a session string a line.

        `name` is what a single session is called, where that is free.
        """
        return self._take(_pieces_of_content(content, name), "body", terms)

    def _take(
        self, found: Iterator[_Piece], source: str, terms: Terms, progress: Callable[[int], None] = lambda _: None
    ) -> list[Report]:
        pieces: list[_Piece] = []
        for piece in found:
            pieces.append(piece)
            progress(len(pieces))
            if len(pieces) > terms.most:
                raise InvalidInput(source, f"more than {terms.most} sessions; import them in parts")
        if not pieces:
            raise InvalidInput(source, "there is no session in it: no .session file and no session string")
        return self._admit_all(pieces, terms)

    def _admit_all(self, pieces: list[_Piece], terms: Terms) -> list[Report]:
        self._store.transact_now(lambda _: None)  # what another process wrote counts too
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
        """Make sessions of them; those that cannot be any more, with the reason."""
        now, rules, lost = self._clock.now(), self._sessions.rules, {}
        for name, newcomer in newcomers.items():
            try:
                changes.admit(tx, name, newcomer, rules, now)
            except Conflict as error:
                lost[name] = str(error)
        return lost


_UNCONFIRMED = "Telegram has not confirmed {} of your accounts yet: check or delete those first"


class _Plan:
    """Who would be taken in under which name, judged against what is known and what came before in the same import."""

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

    def judge(self, piece: _Piece) -> Report:
        """What becomes of it."""
        terms, found = self._terms, piece.found
        if found is None:
            return Report(piece.source, Verdict.REFUSED, reason=piece.reason)
        server = found.credentials
        if not terms.by_operator and server.dc_id != terms.our_dc and not is_telegrams(server.host):
            # The daemon would connect to wherever somebody's file says.
            return Report(piece.source, Verdict.REFUSED, None, found.format, "its server is none of Telegram's")
        # Who it is counts once Telegram says so: what a file says of that is anybody's to make up.
        key_id = found.credentials.key_id
        known = self._by_key.get(key_id)
        if known is not None and not terms.by_operator and self._owners.get(known, terms.owner) != terms.owner:
            return Report(piece.source, Verdict.REFUSED, None, found.format, changes.NOT_HERE)
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


def _pieces_of(source: str | Path) -> Iterator[_Piece]:
    if isinstance(source, str) and is_session_string(source):
        yield _string_piece(source, "session string", "imported")
        return
    path = Path(source)
    try:
        exists, is_folder = path.exists(), path.is_dir()
    except (OSError, ValueError):  # a string much too long for a path
        exists = is_folder = False
    if not exists:
        raise InvalidInput(
            "source", "neither a session string nor a file or folder that is there; was all of it copied?"
        )
    if is_folder:
        files = sorted(one for one in path.rglob("*") if one.is_file() and _may_hold_sessions(one.name))
        for file in files[:MOST_FILES]:
            yield from _pieces_of_file(file, str(file.relative_to(path)))
    else:
        yield from _pieces_of_file(path, path.name)


def _may_hold_sessions(name: str) -> bool:
    return Path(name).suffix.lower() in {_SUFFIX, ".zip", *_TEXTS}


def _pieces_of_file(path: Path, source: str) -> Iterator[_Piece]:
    try:
        if path.stat().st_size > MOST_BYTES:
            yield _Piece(source, path.stem, reason=f"larger than {MOST_BYTES // 2**20} MB; no session file is")
        elif zipfile.is_zipfile(path):
            yield from _pieces_of_zip(path, source)
        elif path.suffix.lower() in _TEXTS:
            yield from _pieces_of_text(path.read_bytes(), source, path.stem)
        elif path.with_name(path.name + "-wal").exists():
            yield _judged(source, path.stem, lambda: read_session_file(path))
        else:
            yield from _pieces_of_bytes(path.read_bytes(), source, path.stem)
    except OSError as error:
        yield _Piece(source, path.stem, reason=f"cannot be read ({error.strerror})")


def _pieces_of_content(content: bytes, name: str) -> Iterator[_Piece]:
    if zipfile.is_zipfile(io.BytesIO(content)):
        yield from _pieces_of_zip(io.BytesIO(content), name)
    elif content.startswith(SQLITE):
        yield from _pieces_of_bytes(content, name, name)
    else:
        yield from _pieces_of_text(content, name, name)


def _pieces_of_zip(opened: Path | io.BytesIO, source: str) -> Iterator[_Piece]:
    left = MOST_UNPACKED
    try:
        with zipfile.ZipFile(opened) as archive:
            for entry in archive.infolist()[:MOST_FILES]:
                inner = Path(entry.filename)
                where = f"{source}:{entry.filename}"
                if entry.is_dir() or inner.suffix.lower() not in {_SUFFIX, *_TEXTS}:
                    continue
                if entry.file_size > MOST_BYTES:
                    yield _Piece(where, inner.stem, reason=f"larger than {MOST_BYTES // 2**20} MB; no session file is")
                    continue
                try:
                    with archive.open(entry) as file:
                        content = file.read(min(MOST_BYTES, left) + 1)  # what it says of sizes may be untrue
                except (zipfile.BadZipFile, RuntimeError, NotImplementedError, EOFError, ValueError):
                    yield _Piece(where, inner.stem, reason="cannot be unpacked: damaged or with a password")
                    continue
                left -= len(content)
                if left < 0:
                    yield _Piece(where, inner.stem, reason="too much in one zip; import it in parts")
                    return
                if inner.suffix.lower() in _TEXTS:
                    yield from _pieces_of_text(content, where, inner.stem)
                else:
                    yield from _pieces_of_bytes(content, where, inner.stem)
    except zipfile.BadZipFile:
        yield _Piece(source, Path(source).stem, reason="a damaged zip")


def _pieces_of_bytes(content: bytes, source: str, name: str) -> Iterator[_Piece]:
    text = content[:1024].decode("ascii", "replace")
    if is_session_string(text) and len(content) <= 1024:
        yield _string_piece(text, source, name)
    else:
        yield _judged(source, name, lambda: read_session_bytes(content, Path(source).name))


def _pieces_of_text(content: bytes, source: str, name: str) -> Iterator[_Piece]:
    lines = [line for line in content.decode("utf-8", "replace").splitlines() if line.strip()]
    if len(lines) == 1:
        yield _string_piece(lines[0], source, name)
        return
    for number, line in enumerate(lines, 1):
        yield _string_piece(line, f"{source}:{number}", f"{name}-{number}")


def _string_piece(text: str, source: str, name: str) -> _Piece:
    return _judged(source, name, lambda: read_session_string(text, source))


def _judged(source: str, name: str, read: Callable[[], Found]) -> _Piece:
    try:
        return _Piece(source, name, read())
    except InvalidInput as error:
        return _Piece(source, name, reason=error.fix)
