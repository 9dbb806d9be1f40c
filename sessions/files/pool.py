"""The session files: `sessions/{available,assigned,banned}/NAME.session`.

users.json decides which folder a file belongs in; `follow` moves what a crash left in the wrong one. A new key waits in
`incoming/` until users.json knows its session, so no crash leaves an account half registered. An operator may drop
plain session files into `available/`; sealed ones replace them.
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
from data.disk.sealed import SUFFIX, is_sealed
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
"""A key that has waited this long in `incoming/` was left by a crash."""


@dataclass(frozen=True)
class Repair:
    """The result of `Pool.repair`."""

    taken_in: tuple[str, ...] = ()
    """Sessions registered from files in available/."""
    moved: tuple[str, ...] = ()
    """Sessions whose file was in the wrong folder."""
    missing: tuple[str, ...] = ()
    """Sessions without a file: log them in again."""
    unknown: tuple[str, ...] = ()
    """Files in assigned/ or banned/ that users.json does not know; left where they are."""


class Pool:
    """The session files of a state folder."""

    def __init__(self, state_dir: Path, vault: Vault, store: DataManager, clock: Clock) -> None:
        self.vault = vault
        self._root = state_dir / SESSIONS
        self._store = store
        self._clock = clock
        for folder in (INCOMING, *FOLDERS):
            make_folder(self._root / folder)

    def credentials(self, name: str) -> Credentials:
        """Return the credentials in a session's file.

        Raises:
            UnknownSession: the session has no file.
            SealBroken: the file cannot be read or unsealed.
            StateNotWritten: the machine is too short of resources to read it now.
        """
        # A file without a seal is damaged, not missing: unsealing it says what may be wrong.
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
        """Return whether users.json knows this key, or none, for the session."""
        session = self._store.snapshot.sessions.get(name)
        return session is not None and session.key_id in {None, key_id}

    def stage(self, keys: Mapping[str, Credentials]) -> None:
        """Write sealed keys to `incoming/`, before users.json knows their sessions. `follow` moves them on.

        Raises:
            StateNotWritten: the disk refused; nothing stays staged.
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
        """Delete staged keys whose sessions did not reach users.json."""
        for name, credentials in keys.items():
            self._staged(name, credentials.key_id).unlink(missing_ok=True)

    @contextlib.asynccontextmanager
    async def removing(self, name: str) -> AsyncIterator[None]:
        """Delete a session's key after the body has removed the session from users.json.

        Meanwhile the key waits in `incoming/`. After an error it goes back, if users.json still has the session.

        Raises:
            StateNotWritten: the key cannot be moved.
        """
        session, path = self._store.snapshot.sessions.get(name), self._find(name)
        waiting = None
        if session is not None and session.key_id is not None and path is not None:
            waiting = self._staged(name, session.key_id)
            try:
                path.rename(waiting)
                os.utime(waiting)  # `repair` deletes keys that are old
            except OSError as error:
                raise StateNotWritten(f"the key of {name} cannot be moved ({error.strerror})") from error
        try:
            yield
        except PostfleetError:
            if name in self._store.snapshot.sessions:
                self.follow(self._store.snapshot, [name])
            raise
        key_id = session.key_id if session is not None else None
        for left in self._places(name):  # a concurrent repair may have put it back
            if is_sealed(left) and (key_id is None or self._holds(left, name, key_id)):
                left.unlink(missing_ok=True)
        if waiting is not None:
            waiting.unlink(missing_ok=True)

    def _holds(self, path: Path, name: str, key_id: str) -> bool:
        with contextlib.suppress(StateDamaged, OSError):
            return self.vault.unseal(name, path.read_bytes()).key_id == key_id
        return False

    def take_in(self) -> list[str]:
        """Register the unknown files in `available/`, seal the plain ones, and return the new names.

        A file that cannot be used stays there, and a warning says why.
        """
        new: dict[str, Session] = {}
        known = self._store.snapshot.sessions
        for path in sorted((self._root / AVAILABLE).glob(f"*{SUFFIX}")):
            name = path.name.removesuffix(SUFFIX)
            if name in known:
                if not is_sealed(path):
                    _warn_refused(path.name, "a session has that name; rename the file, or use session import")
                continue
            try:
                new[name] = self._record(self._seal_if_plain(name, path))
            except (InvalidInput, NotRead, StateDamaged, OSError) as error:
                _warn_refused(path.name, error)
        return self._register(new) if new else []

    def _register(self, new: Mapping[str, Session]) -> list[str]:
        def register(tx: Transaction) -> list[str]:
            key_ids = {session.key_id for session in tx.sessions.values()}
            taken: list[str] = []
            for name, session in new.items():
                if name not in tx.sessions and session.key_id not in key_ids:
                    key_ids.add(session.key_id)
                    taken.append(name)
                    tx.put_session(name, session)
            return taken

        taken = self._store.transact_now(register)
        for name in new.keys() - taken - self._store.snapshot.sessions.keys():
            _warn_refused(f"{name}{SUFFIX}", "another session has the same login; remove the file")
        if taken:
            log.info("Took in %d session(s): %s", len(taken), ", ".join(taken), extra={"action": "sessions_taken_in"})
        return taken

    def follow(self, snapshot: Snapshot, names: Iterable[str] | None = None) -> Repair:
        """Move the files of these sessions, or of all, to the folders where they belong by users.json."""
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
        """Take in files from `available/` and move every file to its folder. Return what was done and what is wrong."""
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
        """Give a record to accounts that a hand-edited users.json assigns but does not list. Cycles need one."""
        known, users = self._store.snapshot.sessions, self._store.snapshot.users
        named = {name: user_id for user_id, user in users.items() for name in user.assigned_sessions}
        new = {name: self._record_from_file(name) for name in sorted(named.keys() - known.keys())}

        def register(tx: Transaction) -> None:
            key_ids = {session.key_id for session in tx.sessions.values()}
            for name, record in new.items():
                if record.key_id is not None and record.key_id in key_ids:
                    new[name] = self._needs_login("its file holds the login of another account")
                key_ids.add(new[name].key_id)
                tx.put_session(name, new[name])

        if new:
            self._store.transact_now(register)
        for name, record in new.items():
            log.warning(
                "%s is assigned to %s but had no record among the sessions; one was added (%s)",
                name,
                named[name],
                record.state_reason or record.state,
                extra={"action": "session_recorded", "user": named[name]},
            )

    def _record_from_file(self, name: str) -> Session:
        try:
            return self._record(self.credentials(check_name(name)))
        except (InvalidInput, UnknownSession, StateDamaged) as error:
            return self._needs_login(str(error))

    def _record(self, key: Credentials) -> Session:
        return Session(dc_id=key.dc_id, key_id=key.key_id, added_at=self._clock.now())

    def _needs_login(self, reason: str) -> Session:
        return Session(state=SessionState.NEEDS_LOGIN, state_reason=reason, added_at=self._clock.now())

    def _move(self, path: Path, folder: str) -> None:
        # Old copies go first: after a crash here, the new key is still found in incoming/.
        file_name = path.name.partition("~")[0].removesuffix(SUFFIX) + SUFFIX
        for other in FOLDERS:
            stale = self._root / other / file_name
            if stale != path and is_sealed(stale):
                stale.unlink()
        target = self._root / folder / file_name
        if target.exists():  # a plain file of another account with the same name
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
        # The key's id in the name keeps a leftover of a crash from passing for another login.
        return _place(self._root, INCOMING, f"{name}~{key_id}{SUFFIX}")

    def _seal_if_plain(self, name: str, path: Path) -> Credentials:
        """Replace a plain file by a sealed one, and return its credentials."""
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


@functools.lru_cache(maxsize=4096)  # every connection asks; see data/disk/files.py on names that come and go
def _place(root: Path, folder: str, file_name: str) -> Path:
    return root / folder / file_name


def _warn_refused(file_name: str, reason: object) -> None:
    log.warning("%s was not taken in: %s", file_name, reason, extra={"action": "session_refused"})


def _sync_all(paths: Iterable[Path]) -> None:
    """Make written files durable together, which is faster than one by one."""
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            Disk().sync(descriptor)
        finally:
            os.close(descriptor)
