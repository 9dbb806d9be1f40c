"""The session files: `sessions/{available,assigned,banned}/NAME.session`, folders derived from users.json.

users.json decides and folders follow: whatever a crash left in the wrong folder is moved by `follow`. Plain session
files that an operator drops into `available/` are taken in and replaced by sealed ones.
"""

import logging
import re
from collections.abc import Iterable
from pathlib import Path

from core.clock import Clock
from core.errors import InvalidInput, StateDamaged, UnknownSession
from core.models import Session, SessionState
from data.data_manager import DataManager, Snapshot, Transaction
from sessions.telethon_file import SQLITE, read_telethon_file
from sessions.vault import SEALED, Credentials, Vault, write_private

log = logging.getLogger(__name__)

AVAILABLE, ASSIGNED, BANNED = "available", "assigned", "banned"
FOLDERS = (AVAILABLE, ASSIGNED, BANNED)
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,63}")
_SUFFIX = ".session"


class Pool:
    """Every session file of a state folder."""

    def __init__(self, state_dir: Path, vault: Vault, store: DataManager, clock: Clock) -> None:
        self._root = state_dir / "sessions"
        self._vault = vault
        self._store = store
        self._clock = clock
        for folder in FOLDERS:
            (self._root / folder).mkdir(parents=True, exist_ok=True, mode=0o700)

    def credentials(self, name: str) -> Credentials:
        """The account behind a session.

        Raises:
            UnknownSession: it has no file.
            StateDamaged: the file cannot be opened.
        """
        path = self._find(name)
        if path is None:
            raise UnknownSession(f"there is no session file for {name} under {self._root}")
        return self._vault.unseal(name, path.read_bytes())

    def take_in(self) -> list[str]:
        """Register the files in `available/` that are not known yet, sealing plain ones; answers the new names.

        A file that cannot be used is left where it is, and a warning says why.
        """
        new: dict[str, Session] = {}
        known = self._store.snapshot.sessions
        for path in sorted((self._root / AVAILABLE).glob(f"*{_SUFFIX}")):
            name = path.name.removesuffix(_SUFFIX)
            try:
                dc_id = self._seal_if_plain(name, path)
            except (InvalidInput, StateDamaged, OSError) as error:
                log.warning("%s was not taken in: %s", path.name, error, extra={"action": "session_refused"})
                continue
            if name not in known:
                new[name] = Session(dc_id=dc_id, added_at=self._clock.now())
        if new:

            def register(tx: Transaction) -> None:
                for name, session in new.items():
                    if name not in tx.sessions:
                        tx.put_session(name, session)

            self._store.transact_now(register)
            log.info("Took in %d session(s): %s", len(new), ", ".join(new), extra={"action": "sessions_taken_in"})
        return list(new)

    def follow(self, snapshot: Snapshot, names: Iterable[str] | None = None) -> None:
        """Move files to where users.json says they belong; all of them, or those named."""
        taken = {name for user in snapshot.users.values() for name in user.assigned_sessions}
        for name in snapshot.sessions if names is None else names:
            session = snapshot.sessions[name]
            folder = BANNED if session.state is SessionState.BANNED else ASSIGNED if name in taken else AVAILABLE
            path = self._find(name)
            if path is None:
                log.warning(
                    "%s has no session file under %s", name, self._root, extra={"action": "session_file_missing"}
                )
            elif path.parent.name != folder:
                path.rename(self._root / folder / path.name)

    def _find(self, name: str) -> Path | None:
        paths = (self._root / folder / f"{name}{_SUFFIX}" for folder in FOLDERS)
        return next((path for path in paths if path.is_file()), None)

    def _seal_if_plain(self, name: str, path: Path) -> int:
        """Replace a plain file by a sealed one; answers the account's data centre."""
        if not NAME.fullmatch(name):
            raise InvalidInput(path.name, "a session's name is letters, digits and _.+-, at most 64; rename the file")
        start = path.read_bytes()[: len(SQLITE)]
        if start.startswith(SEALED):
            return self._vault.unseal(name, path.read_bytes()).dc_id
        if start != SQLITE:
            raise InvalidInput(path.name, "neither a sealed nor a Telethon session file")
        credentials = read_telethon_file(path)
        write_private(path, self._vault.seal(name, credentials))
        for leftover in ("-journal", "-wal", "-shm"):
            path.with_name(path.name + leftover).unlink(missing_ok=True)
        return credentials.dc_id
