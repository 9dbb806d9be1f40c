"""The session files: `sessions/{available,assigned,banned}/NAME.session`, folders derived from users.json.

users.json decides, and folders follow: `follow` moves what a crash left in the wrong folder. A new key waits
in `incoming/` until users.json knows its session, so a crash leaves no account half taken in. Plain session files that
an operator drops into `available/` are taken in and replaced by sealed ones.
"""

import contextlib
import functools
import logging
import os
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from core.clock import Clock
from core.confined import run
from core.errors import (
    InvalidInput,
    NotRead,
    PostfleetError,
    SealBroken,
    StateDamaged,
    StateNotWritten,
    UnknownSession,
    Unreadable,
)
from core.models import Session, SessionState
from data.disk.files import Disk, is_short_of_something, make_folder
from data.disk.inventory import SESSIONS
from data.disk.sealed import SUFFIX, is_sealed, sealed_files
from data.users.data_manager import DataManager, Snapshot, Transaction
from sessions.foreign.credentials import Credentials
from sessions.foreign.reader import BOUNDS
from sessions.foreign.session_files import read_session_file
from sessions.keys.vault import Vault, write_private
from sessions.roster.names import check_name

log = logging.getLogger(__name__)

INCOMING, AVAILABLE, ASSIGNED, BANNED = "incoming", "available", "assigned", "banned"
FOLDERS = (AVAILABLE, ASSIGNED, BANNED)
_FORGOTTEN_SECONDS = 3600
"""A key that waited this long for users.json to know its session is left from something that was cut off."""


@dataclass(frozen=True)
class Repair:
    """The result of a repair of the folders."""

    taken_in: tuple[str, ...] = ()
    """Files in available/ that became sessions."""
    moved: tuple[str, ...] = ()
    """Files that were in a wrong folder."""
    missing: tuple[str, ...] = ()
    """Sessions without a file: log them in again."""
    unknown: tuple[str, ...] = ()
    """Files in assigned/ or banned/ that users.json does not know; left where they are."""


class Pool:
    """Every session file of a state folder."""

    def __init__(self, state_dir: Path, vault: Vault, store: DataManager, clock: Clock) -> None:
        self.vault = vault
        self._root = state_dir / SESSIONS
        self._store = store
        self._clock = clock
        for folder in (INCOMING, *FOLDERS):
            make_folder(self._root / folder)

    def credentials(self, name: str) -> Credentials:
        """Return the account behind a session.

        Raises:
            UnknownSession: it has no file.
            SealBroken: the file cannot be read or unsealed.
            StateNotWritten: the machine cannot read it just now.
        """
        # A damaged file is not a missing one: unsealing it says what may be wrong with it.
        path = self._find(name) or next((path for path in self._places(name) if path.is_file()), None)
        if path is None:
            raise UnknownSession(f"there is no session file for {name}; bring it back, or log the account in again")
        try:
            sealed = path.read_bytes()
        except OSError as error:
            if is_short_of_something(error):
                raise StateNotWritten(f"{path} cannot be read just now ({error.strerror})") from error
            raise SealBroken(f"the session file of {name} cannot be read ({error.strerror})") from error
        return self.vault.unseal(name, sealed)

    def has_key(self, name: str, key_id: str) -> bool:
        """Return whether that is the session's key, as far as users.json tells."""
        session = self._store.snapshot.sessions.get(name)
        return session is not None and session.key_id in {None, key_id}

    def stage(self, keys: Mapping[str, Credentials]) -> None:
        """Write keys down, sealed and durable, before users.json is told of their sessions; `follow` moves them on.

        Raises:
            StateNotWritten: the disk refused; what was staged is removed again.
        """
        disk = Disk()
        paths = {self._staged(name, one.key_id): self.vault.seal(name, one) for name, one in keys.items()}
        try:
            for path, sealed in paths.items():
                descriptor = disk.create(path)
                try:
                    disk.write(descriptor, [sealed])
                finally:
                    os.close(descriptor)
            _sync_all(paths)
            disk.sync_folder(self._root / INCOMING)
        except OSError as error:
            self.unstage(keys)
            raise StateNotWritten(
                f"{self._root / INCOMING} could not be written ({error.strerror}); nothing was taken in"
            ) from error

    def unstage(self, keys: Mapping[str, Credentials]) -> None:
        """Forget keys whose sessions did not reach users.json."""
        for name, credentials in keys.items():
            self._staged(name, credentials.key_id).unlink(missing_ok=True)

    @contextlib.asynccontextmanager
    async def removing(self, name: str) -> AsyncIterator[None]:
        """Let users.json forget the session meanwhile. Its key is removed once that is done.

        Until then the key waits where `stage` puts new ones.

        Raises:
            StateNotWritten: the key cannot be moved.
        """
        session, path = self._store.snapshot.sessions.get(name), self._find(name)
        waiting = None
        if session is not None and session.key_id is not None and path is not None:
            waiting = self._staged(name, session.key_id)
            try:
                path.rename(waiting)
                os.utime(waiting)  # a key that waits in incoming/ for long counts as forgotten
            except OSError as error:
                raise StateNotWritten(f"the key of {name} cannot be moved ({error.strerror})") from error
        try:
            yield
        except PostfleetError:
            if name in self._store.snapshot.sessions:
                self.follow(self._store.snapshot, [name])
            raise
        key_id = session.key_id if session is not None else None
        for left in self._places(name):  # a repair at the same moment may have put it back
            if is_sealed(left) and (key_id is None or self._holds(left, name, key_id)):
                left.unlink(missing_ok=True)
        if waiting is not None:
            waiting.unlink(missing_ok=True)

    def _holds(self, path: Path, name: str, key_id: str) -> bool:
        with contextlib.suppress(StateDamaged, OSError):
            return self.vault.unseal(name, path.read_bytes()).key_id == key_id
        return False

    def take_in(self) -> list[str]:
        """Register the files in `available/` that are not known yet, sealing plain ones. Return the new names.

        A file that cannot be used is left where it is, and a warning says why.
        """
        new: dict[str, Session] = {}
        known = self._store.snapshot.sessions
        for path in sorted((self._root / AVAILABLE).glob(f"*{SUFFIX}")):
            name = path.name.removesuffix(SUFFIX)
            if name in known:
                if not is_sealed(path):
                    text = (
                        "%s was not taken in: there is a session of that name; rename the file, or use session import"
                    )
                    log.warning(text, path.name, extra={"action": "session_refused"})
                continue
            try:
                credentials = self._seal_if_plain(name, path)
            except (InvalidInput, NotRead, StateDamaged, OSError) as error:
                log.warning("%s was not taken in: %s", path.name, error, extra={"action": "session_refused"})
                continue
            new[name] = Session(
                dc_id=credentials.dc_id,
                key_id=credentials.key_id,
                added_at=self._clock.now(),
            )
        return self._register(new) if new else []

    def _register(self, new: Mapping[str, Session]) -> list[str]:
        def register(tx: Transaction) -> list[str]:
            there = {session.key_id for session in tx.sessions.values()}
            taken: list[str] = []
            for name, session in new.items():
                if name in tx.sessions or session.key_id in there:
                    continue
                there.add(session.key_id)
                taken.append(name)
                tx.put_session(name, session)
            return taken

        taken = self._store.transact_now(register)
        for name in new.keys() - taken - self._store.snapshot.sessions.keys():
            log.warning(
                "%s.session was not taken in: the same login is here under another name; remove the file",
                name,
                extra={"action": "session_refused"},
            )
        if taken:
            log.info("Took in %d session(s): %s", len(taken), ", ".join(taken), extra={"action": "sessions_taken_in"})
        return taken

    def follow(self, snapshot: Snapshot, names: Iterable[str] | None = None) -> Repair:
        """Move files to where users.json says they belong: all of them, or those named."""
        taken = {name for user in snapshot.users.values() for name in user.assigned_sessions}
        moved: list[str] = []
        missing: list[str] = []
        for name in snapshot.sessions if names is None else names:
            session = snapshot.sessions[name]
            folder = BANNED if session.state is SessionState.BANNED else ASSIGNED if name in taken else AVAILABLE
            path = self._find(name)
            if path is None:
                missing.append(name)
                log.warning(
                    "%s has no session file under %s", name, self._root, extra={"action": "session_file_missing"}
                )
            elif path.parent.name != folder:
                moved.append(name)
                self._move(path, folder)
        return Repair(moved=tuple(moved), missing=tuple(missing))

    def repair(self) -> Repair:
        """Take in files from available/, let every file follow users.json, and return what does not fit together."""
        taken_in = self.take_in()
        self._record_named_ones()
        snapshot = self._store.snapshot
        done = self.follow(snapshot)
        for path in (self._root / INCOMING).glob(f"*{SUFFIX}"):
            if time.time() - path.stat().st_mtime > _FORGOTTEN_SECONDS:
                path.unlink(missing_ok=True)
        unknown = sorted(
            f"{path.parent.name}/{path.name}"
            for folder in (ASSIGNED, BANNED)
            for path in (self._root / folder).glob(f"*{SUFFIX}")
            if path.name.removesuffix(SUFFIX) not in snapshot.sessions
        )
        return Repair(taken_in=tuple(taken_in), moved=done.moved, missing=done.missing, unknown=tuple(unknown))

    def _record_named_ones(self) -> None:
        """Give a record to accounts that a user has by name alone, after an edit of users.json. Cycles need one."""
        known, users = self._store.snapshot.sessions, self._store.snapshot.users
        named = {name: user_id for user_id, user in users.items() for name in user.assigned_sessions}
        new = {name: self._record_from_file(name) for name in sorted(named.keys() - known.keys())}

        def register(tx: Transaction) -> None:
            there = {session.key_id for session in tx.sessions.values()}
            for name, record in new.items():
                if record.key_id is not None and record.key_id in there:
                    new[name] = self._needs_login("its file holds the login of another account")
                there.add(new[name].key_id)
                tx.put_session(name, new[name])

        if new:
            self._store.transact_now(register)
        for name, record in new.items():
            log.warning(
                "%s stood among the accounts of %s, but not among the sessions; it has a record now (%s)",
                name,
                named[name],
                record.state_reason or record.state,
                extra={"action": "session_recorded", "user": named[name]},
            )

    def _record_from_file(self, name: str) -> Session:
        try:
            key = self.credentials(check_name(name))
        except (InvalidInput, UnknownSession, StateDamaged) as error:
            return self._needs_login(str(error))
        return Session(dc_id=key.dc_id, key_id=key.key_id, added_at=self._clock.now())

    def _needs_login(self, reason: str) -> Session:
        return Session(state=SessionState.NEEDS_LOGIN, state_reason=reason, added_at=self._clock.now())

    def sealed_files(self) -> list[tuple[str, Path]]:
        """Return every sealed file and the name it is bound to, for a rotation of the vault's key."""
        return sealed_files(self._root.parent)

    def _move(self, path: Path, folder: str) -> None:
        # Old copies go first: if this is cut off, the new key still waits in incoming/ and is found there.
        file_name = path.name.partition("~")[0].removesuffix(SUFFIX) + SUFFIX
        for other in FOLDERS:
            stale = self._root / other / file_name
            if stale != path and is_sealed(stale):
                stale.unlink()
        target = self._root / folder / file_name
        if target.exists():  # a plain file of another account that happens to have this name
            target.rename(target.with_name(file_name + ".other"))
        path.rename(target)

    def _find(self, name: str) -> Path | None:
        session = self._store.snapshot.sessions.get(name)
        if session is not None and session.key_id is not None:
            staged = self._staged(name, session.key_id)
            if staged.is_file():
                return staged
        return next((path for path in self._places(name) if is_sealed(path)), None)

    def _places(self, name: str) -> Iterator[Path]:
        return (_place(self._root, folder, f"{name}{SUFFIX}") for folder in FOLDERS)

    def _staged(self, name: str, key_id: str) -> Path:
        # The name holds the key's own, so that a leftover of a crash or a refusal is never taken for another login.
        return _place(self._root, INCOMING, f"{name}~{key_id}{SUFFIX}")

    def _seal_if_plain(self, name: str, path: Path) -> Credentials:
        """Replace a plain file by a sealed one, and return its account."""
        check_name(name, path.name)
        if is_sealed(path):
            return self.vault.unseal(name, path.read_bytes())
        try:
            found = run(BOUNDS, read_session_file, path.resolve())
        except Unreadable as error:
            raise InvalidInput(path.name, str(error)) from None
        write_private(path, self.vault.seal(name, found.credentials))
        for leftover in ("-journal", "-wal", "-shm"):
            path.with_name(path.name + leftover).unlink(missing_ok=True)
        return found.credentials


@functools.lru_cache(maxsize=4096)  # this runs with every connection; see data/disk/files.py on names that come and go
def _place(root: Path, folder: str, file_name: str) -> Path:
    return root / folder / file_name


def _sync_all(paths: Iterable[Path]) -> None:
    """Make several written files durable at once, which waits less for the disk than one by one."""
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            Disk().sync(descriptor)
        finally:
            os.close(descriptor)
