"""Every auth key of a world, who is signed in with it, and the ways to sign in that are under way."""

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
    """Logins by key id, and codes, QR tokens and tickets that have not been used yet."""

    def __init__(self, seed: int, now: Callable[[], float]) -> None:
        self._seed = seed
        self._now = now
        self.logins: dict[int, Login] = {}
        self._by_account: defaultdict[int, list[Login]] = defaultdict(list)
        self._strangers: deque[int] = deque()  # keys in order of their making; unused ones do not stay for ever
        self.codes: dict[str, SentCode] = {}
        self.tokens: dict[bytes, LoginToken] = {}
        self.tickets: dict[bytes, Account] = {}

    def add(self, key: bytes, dc_id: int) -> Login:
        """A key from a key exchange: nobody is signed in with it yet."""
        key_id = auth_key_id(key)
        login = self.logins[key_id] = Login(Key(key, key_id), dc_id)
        self._strangers.append(key_id)
        if len(self._strangers) > MAX_STRANGERS:
            oldest = self.logins.get(self._strangers.popleft())
            if oldest is not None and oldest.account is None and not oldest.addresses():
                del self.logins[oldest.key.id]
        return login

    def ready(self, account: Account, number: int = 0) -> Login:
        """The login whose key comes from the seed, made known on first use."""
        key = derived_auth_key(self._seed, account.name, number)
        login = self.logins.get(auth_key_id(key))
        if login is None:
            login = self.add(key, account.dc_id)
            login.number = number
            self.sign_in(login, account)
        return login

    def of(self, account: Account) -> list[Login]:
        """Every login of an account, ended ones too."""
        return list(self._by_account[account.id])

    def sign_in(self, login: Login, account: Account) -> None:
        """Make an account the owner of a key."""
        self.sign_out(login)
        login.account = account
        self._by_account[account.id].append(login)
        login.created = self._now()
        account.sessions.update(session for session in login.sessions.values() if session.link is not None)

    def sign_out(self, login: Login) -> None:
        """Make a key nobody's."""
        if login.account is not None:
            login.account.sessions.difference_update(login.sessions.values())
            self._by_account[login.account.id].remove(login)
        login.account = login.waiting = login.challenge = None

    @staticmethod
    def hash_of(login: Login) -> int:
        """The number by which an account's sessions are told apart."""
        return int.from_bytes(blake2b(login.key.bytes, digest_size=8).digest(), "little", signed=True)

    def authorization(self, login: Login, *, current: bool = False) -> Any:
        """A login as account.getAuthorizations tells it."""
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
