"""Every auth key of a world, who is signed in with it, and the logins that are still in progress."""

from collections import defaultdict, deque
from collections.abc import Callable
from hashlib import blake2b
from typing import Any

from telethon.tl import types

from sandbox.keys import auth_key_id, derived_auth_key
from sandbox.mtproto.envelope import Key
from sandbox.state.logins import Login, LoginToken, SentCode
from sandbox.state.peers import Account

MAX_STRANGERS = 10_000


class Keyring:
    """Logins by key id, and the codes, QR tokens and exported authorizations that are not used yet."""

    def __init__(self, seed: int, now: Callable[[], float]) -> None:
        self._seed = seed
        self._now = now
        self.logins: dict[int, Login] = {}
        self._by_account: defaultdict[int, list[Login]] = defaultdict(list)
        self._strangers: deque[int] = deque()  # key ids in order of creation; the oldest unused keys are dropped
        self.codes: dict[str, SentCode] = {}
        self.tokens: dict[bytes, LoginToken] = {}
        self.exported: dict[bytes, Account] = {}

    def add(self, key: bytes, dc_id: int) -> Login:
        """Add the key of a key exchange. Nobody is signed in with it yet."""
        key_id = auth_key_id(key)
        login = self.logins[key_id] = Login(Key(key, key_id), dc_id)
        self._strangers.append(key_id)
        if len(self._strangers) > MAX_STRANGERS:
            oldest = self.logins.get(self._strangers.popleft())
            if oldest is not None and oldest.account is None and not oldest.addresses():
                del self.logins[oldest.key.id]
        return login

    def derived_login(self, account: Account, number: int = 0) -> Login:
        """Return the signed-in login whose key is derived from the seed. It is added on first use."""
        key = derived_auth_key(self._seed, account.name, number)
        login = self.logins.get(auth_key_id(key))
        if login is None:
            login = self.add(key, account.dc_id)
            self.sign_in(login, account)
        return login

    def logins_of(self, account: Account) -> list[Login]:
        """Return every login of an account, including revoked ones."""
        return list(self._by_account[account.id])

    def sign_in(self, login: Login, account: Account) -> None:
        """Sign an account in with a key."""
        self.sign_out(login)
        login.account = account
        self._by_account[account.id].append(login)
        login.created = self._now()
        account.sessions.update(session for session in login.sessions.values() if session.link is not None)

    def sign_out(self, login: Login) -> None:
        """Sign out whoever is signed in with a key."""
        if login.account is not None:
            login.account.sessions.difference_update(login.sessions.values())
            self._by_account[login.account.id].remove(login)
        login.account = login.awaiting_password = login.challenge = None

    @staticmethod
    def hash_of(login: Login) -> int:
        """Return the number that identifies a login in account.getAuthorizations."""
        return int.from_bytes(blake2b(login.key.bytes, digest_size=8).digest(), "little", signed=True)

    def authorization(self, login: Login, *, current: bool = False) -> Any:
        """Return a login as account.getAuthorizations shows it."""
        device = login.device
        return types.Authorization(
            hash=0 if current else self.hash_of(login),
            current=current,
            device_model=device.device_model if device else "",
            platform="",
            system_version=device.system_version if device else "",
            api_id=login.api_id,
            app_name="",
            app_version=device.app_version if device else "",
            date_created=int(login.created),
            date_active=int(login.active),
            ip=next(iter(login.addresses()), ""),
            country="",
            region="",
        )
