"""API pairs: which there are, which may be used, and how sessions are balanced over them.

Pairs come from POSTFLEET_API_PAIRS, or are added later. `api_pairs.json` in STATE_DIR holds the state of each pair and
the hash of added ones, sealed by the vault. The file is read again when another process changed it.
"""

import base64
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from enum import StrEnum
from pathlib import Path

import msgspec
from msgspec.structs import replace
from pydantic import SecretStr

from core.errors import InvalidInput, NotFound, SealBroken, StateNotWritten
from core.logs import never_log
from core.models import Model, Session, User
from core.settings import Settings
from data.disk.files import locked, open_to_read, read_whole
from data.disk.inventory import PAIRS_FILE
from data.disk.sealed import pair_label
from data.disk.strict_json import decode_as
from data.disk.traces import note_made, refuse_new_beginning
from sessions.keys.vault import Vault, write_private


def sessions_on_pairs(users: Mapping[str, User], sessions: Mapping[str, Session]) -> Counter[int]:
    """Return how many assigned sessions run on each api_id, over all users."""
    return Counter(
        api_id
        for user in users.values()
        for name in user.assigned_sessions
        if (api_id := sessions[name].api_id) is not None
    )


def least_used(api_ids: Iterable[int], used: Mapping[int, int], limit: int) -> int | None:
    """Return the pair with the fewest sessions (the first named of equals), None when all are full."""
    with_room = [api_id for api_id in api_ids if used.get(api_id, 0) < limit]
    return min(with_room, key=lambda api_id: used.get(api_id, 0), default=None)


class PairState(StrEnum):
    """Whether sessions may run on a pair."""

    ENABLED = "enabled"
    DISABLED = "disabled"
    """An operator puts no further session on it. Those on it continue."""
    QUARANTINED = "quarantined"
    """Telegram refuses it. The sessions on it need a new login on another pair."""


class _Kept(Model, frozen=True, kw_only=True):
    """What the file says of a pair."""

    state: PairState = PairState.ENABLED
    reason: str | None = None
    since: datetime | None = None
    api_hash: str | None = None
    """Sealed, base64. None: the settings have it."""


class PairsFile(Model, frozen=True, kw_only=True):
    """The whole file."""

    version: int = 1
    pairs: dict[int, _Kept] = msgspec.field(default_factory=dict)


class ApiPairView(msgspec.Struct, frozen=True):
    """An API pair as an operator sees it; its hash is never shown."""

    api_id: int
    state: PairState
    reason: str | None
    since: datetime | None
    in_settings: bool


class ApiPairs:
    """Every pair of this Postfleet."""

    def __init__(self, settings: Settings, vault: Vault) -> None:
        self._path = settings.state_dir / PAIRS_FILE
        self._vault = vault
        self._set = {pair.api_id: pair.api_hash for pair in settings.api_pairs}
        self._stamp: tuple[int, int, int] | None = None
        self._file = PairsFile()
        for api_hash in self._set.values():
            never_log(api_hash.get_secret_value())

    def every(self) -> list[ApiPairView]:
        """Return every pair: those of the settings first, in their order. Raises StateDamaged."""
        kept = self._read().pairs
        ids = [*self._set, *(api_id for api_id, one in kept.items() if api_id not in self._set and one.api_hash)]
        return [
            ApiPairView(api_id, one.state, one.reason, one.since, api_id in self._set)
            for api_id in ids
            for one in [kept.get(api_id, _Kept())]
        ]

    def usable(self) -> tuple[int, ...]:
        """Return the api_ids that further sessions may be put on. Raises StateDamaged."""
        return tuple(pair.api_id for pair in self.every() if pair.state is PairState.ENABLED)

    def hash_of(self, api_id: int) -> SecretStr | None:
        """Return its api_hash, None for a pair that is not ours (any more). Raises StateDamaged."""
        if api_id in self._set:
            return self._set[api_id]
        sealed = self._read().pairs.get(api_id, _Kept()).api_hash
        if sealed is None:
            return None
        try:
            api_hash = self._vault.unseal_bytes(pair_label(api_id), base64.b64decode(sealed)).decode()
        except ValueError:
            raise SealBroken(f"the hash of API pair {api_id} cannot be opened with this vault key") from None
        never_log(api_hash)
        return SecretStr(api_hash)

    def check_input(self, api_id: int, api_hash: SecretStr) -> str:
        """Return the hash as text, if the pair may be added. Raises InvalidInput."""
        text = api_hash.get_secret_value().strip()
        if api_id <= 0:
            raise InvalidInput("api_id", "a positive number, from my.telegram.org")
        if len(text) != 32 or set(text.lower()) - set("0123456789abcdef"):
            raise InvalidInput("api_hash", "32 hexadecimal digits, from my.telegram.org")
        if api_id in self._set:
            raise InvalidInput("api_id", "POSTFLEET_API_PAIRS names it already; change it there")
        never_log(text)
        return text

    def add(self, api_id: int, api_hash: SecretStr, now: datetime) -> None:
        """Add a pair, or replace the hash of an added one; it may be used then.

        Raises:
            InvalidInput: it is no pair, or the settings name it already.
        """
        text = self.check_input(api_id, api_hash)
        sealed = base64.b64encode(self._vault.seal_bytes(pair_label(api_id), text.encode())).decode()
        self._change(api_id, lambda _: _Kept(api_hash=sealed, since=now))

    def remove(self, api_id: int) -> None:
        """Forget an added pair. Raises NotFound, InvalidInput."""
        self.must_be_added(api_id)
        self._change(api_id, lambda _: None)

    def must_be_added(self, api_id: int) -> None:
        """Check that it can be removed. Raises NotFound; InvalidInput: the settings name it."""
        if api_id in self._set:
            raise InvalidInput("api_id", "POSTFLEET_API_PAIRS names it; take it out there, or disable it")
        self.state_of(api_id)

    def set_state(self, api_id: int, state: PairState, reason: str | None, now: datetime) -> bool:
        """Enable, disable or quarantine a pair. Return whether that changed anything. Raises NotFound."""
        if self.hash_of(api_id) is None:
            raise NotFound(f"there is no API pair {api_id}")
        changed = self._read().pairs.get(api_id, _Kept()).state is not state
        if changed:
            self._change(api_id, lambda kept: replace(kept, state=state, reason=reason, since=now))
        return changed

    def reseal(self, vault: Vault) -> None:
        """Seal the hashes of added pairs anew with this vault."""
        hashes = {api_id: self.hash_of(api_id) for api_id, one in self._read().pairs.items() if one.api_hash}
        self._vault = vault
        for api_id, api_hash in hashes.items():
            if api_hash is not None and api_id not in self._set:
                text = api_hash.get_secret_value().encode()
                sealed = base64.b64encode(vault.seal_bytes(pair_label(api_id), text)).decode()
                self._change(api_id, lambda kept, sealed=sealed: replace(kept, api_hash=sealed))  # type: ignore[misc]  # mypy cannot infer a lambda with a default

    def state_of(self, api_id: int) -> PairState:
        """Return whether it may be used. Raises NotFound."""
        for pair in self.every():
            if pair.api_id == api_id:
                return pair.state
        raise NotFound(f"there is no API pair {api_id}")

    def _change(self, api_id: int, change: Callable[[_Kept], _Kept | None]) -> None:
        """Replace what the file says of the pair. None removes it."""
        with locked(self._path.with_suffix(".lock")):
            self._stamp = None
            file = self._read()
            changed = change(file.pairs.get(api_id, _Kept()))
            pairs = {other: one for other, one in file.pairs.items() if other != api_id}
            if changed is not None:
                pairs[api_id] = changed
            try:
                write_private(self._path, msgspec.json.encode(replace(file, pairs=pairs)))
            except OSError as error:
                raise StateNotWritten(f"{self._path} could not be written ({error.strerror})") from error
            self._stamp = None

    def _read(self) -> PairsFile:
        try:
            status = self._path.stat()
        except FileNotFoundError:
            refuse_new_beginning(self._path)
            return PairsFile()
        note_made(self._path)
        stamp = status.st_mtime_ns, status.st_size, status.st_ino
        if stamp != self._stamp:
            self._file = read_pairs(self._path)
            self._stamp = stamp
        return self._file


def read_pairs(path: Path) -> PairsFile:
    """Return what the file says of API pairs.

    Raises:
        FileNotFoundError: there is none.
        StateDamaged: it cannot be understood.
    """
    with open(open_to_read(path), "rb") as file:  # noqa: PTH123  a descriptor
        return decode_as(read_whole(file.fileno(), path), PairsFile, path)
