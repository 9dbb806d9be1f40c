"""The only place that builds a TelegramClient.

Telethon decides nothing on its own here: it does not sleep through flood waits, does not reconnect (a server that
accepts and drops would make it spin hundreds of times a second) and keeps no session file. A posting client needs no
updates and drops them. A key has one connection at most, because Telegram destroys a key used from two places.
"""

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import SecretStr
from telethon import TelegramClient, errors, utils
from telethon.crypto import AuthKey, rsa
from telethon.sessions import MemorySession
from telethon.tl.functions.users import GetUsersRequest
from telethon.tl.types import InputUserSelf, User

from core.errors import SettingsError
from core.settings import Settings
from sessions.connections.data_centres import DataCentres
from sessions.connections.lease import Leases
from sessions.files.pool import Pool
from sessions.foreign.credentials import Credentials
from sessions.keys.api_pairs import ApiPairs

log = logging.getLogger(__name__)
_CONNECT_SECONDS = 10

Call = Callable[[Any], Awaitable[Any]]
"""Sends a request and returns Telegram's answer: a client, or its `call` with a time limit."""
CONNECTION_LOST = (
    OSError,  # TimeoutError and ConnectionError are among them
    EOFError,  # asyncio.IncompleteReadError: the server closed the connection
    errors.InvalidBufferError,
    errors.InvalidChecksumError,
    errors.ReadCancelledError,
)
"""The errors of a connection that is gone, silent or garbled. The request may have arrived.

Every place that tells them from an answer of Telegram uses this tuple.
"""


class PostingClient(TelegramClient):  # type: ignore[misc]  # telethon has no types
    """A Telethon client for posting: it ignores updates, never waits by itself and raises every error."""

    premium = False
    """Whether the account has Telegram Premium; known once connected."""
    phone: str | None = None
    """The account's phone number; known once connected."""

    async def get_me(self, input_peer: bool = False) -> User:  # noqa: ARG002  telethon's signature
        """Return the account's user. Raises for banned and revoked accounts, where Telethon returns None."""
        return (await self(GetUsersRequest([InputUserSelf()])))[0]

    async def _on_login(self, user: User) -> User:
        # Telethon would ask for the update state here.
        self._mb_entity_cache.set_self_user(user.id, user.bot, user.access_hash)
        self.premium = bool(user.premium)
        self.phone = user.phone or None
        self._authorized = True
        return user

    async def _call(self, sender: Any, request: Any, ordered: bool = False, **_: Any) -> Any:
        # One try. Telethon would sleep two seconds after each server error, RANDOM_ID_DUPLICATE among them, and
        # remember flood waits for each kind of request. Our callers decide when to wait and what to repeat.
        await request.resolve(self, utils)
        return await sender.send(request, ordered=ordered)

    async def _disconnect_coro(self) -> None:
        await super()._disconnect_coro()
        # Telethon keeps the reason why a connection ended in a future. Read it, or the loop logs an unread error.
        ended = self.disconnected
        if ended.done() and not ended.cancelled():
            ended.exception()

    @property
    def self_id(self) -> int:
        """The account's Telegram id; known once connected."""
        return int(self._mb_entity_cache.self_id)

    async def _update_loop(self) -> None:
        while True:
            await self._updates_queue.get()

    async def call(self, request: Any, within: float) -> Any:
        """Send a request and return its answer, which may take `within` seconds.

        After a timeout the request may still arrive: repeat it with the same random_id.

        Raises:
            CONNECTION_LOST: no answer came in time (TimeoutError), or the connection was lost.
            RPCError: Telegram refused the request.
        """
        return await _answered(self(request), within)


async def connect(client: PostingClient) -> None:
    """Open the connection. Raises CONNECTION_LOST, RPCError, AuthKeyNotFound."""
    await _answered(client.connect(), _CONNECT_SECONDS)


async def _answered(work: Awaitable[Any], within: float) -> Any:
    answer = asyncio.ensure_future(work)
    try:
        done, _ = await asyncio.wait({answer}, timeout=within)
    finally:
        if not answer.done():
            answer.cancel()
    if not done:
        raise TimeoutError(f"Telegram did not answer within {within:g} seconds")
    if answer.cancelled():  # a connection that closes quietly cancels what waits for it
        raise ConnectionError("the connection closed before Telegram answered")
    return answer.result()


_C = TypeVar("_C", bound=PostingClient)


@dataclass
class _Connection:
    """An open connection of a session, and the lease that makes it the only one."""

    name: str
    client: PostingClient
    api_id: int
    key_id: str
    lease: contextlib.ExitStack
    idle_timer: asyncio.TimerHandle | None = None
    """Closes the connection once it has been idle for long."""


class Clients:
    """Builds clients from sealed session files, with one connection for each key.

    A connection stays open for a while after use, because opening one costs several calls. It is closed after
    POSTFLEET_IDLE_CONNECTION_SECONDS, or when another is needed and POSTFLEET_MAX_CONCURRENT_SESSIONS are open.
    """

    def __init__(self, settings: Settings, pool: Pool) -> None:
        self._pool = pool
        self._dc = settings.dc
        self._pairs = ApiPairs(settings, pool.vault)
        self._between_processes = Leases(settings.state_dir)
        self._settings = settings
        self._locks: dict[str, asyncio.Lock] = {}
        self._wanted = Counter[str]()
        """Session → how many callers use it or wait for it."""
        self._idle: dict[str, _Connection] = {}
        """Session → its idle connection, longest idle first."""
        self._closing: set[asyncio.Task[None]] = set()
        self._ends: dict[str, asyncio.Task[None]] = {}
        """Session → the closing of its connection. Nobody else gets the session until it ends."""
        self.data_centres = DataCentres()
        self.open = 0
        """How many connections are open or being opened."""
        if settings.dc_public_key is not None:
            trust_key(settings.dc_public_key.read_text())

    @contextlib.asynccontextmanager
    async def connected(self, name: str, api_id: int) -> AsyncIterator[PostingClient]:
        """Yield the session's client, connected. An error in the body closes the connection.

        Raises:
            UnknownSession, SealBroken: there is no usable session file.
            SessionInUse: another process works with the session.
            SettingsError: POSTFLEET_API_PAIRS no longer names its API pair.
            CONNECTION_LOST: Telegram cannot be reached.
            RPCError, AuthKeyNotFound: Telegram no longer accepts the login (banned, revoked …).
        """
        async with self._alone_with(name):
            connection = await self._reuse(name, api_id) or await self._open(name, api_id)
            try:
                yield connection.client
            except BaseException:
                await self._close(connection)
                raise
            idle_seconds = self._settings.idle_connection_seconds
            if idle_seconds <= 0 or not connection.client.is_connected():
                await self._close(connection)
            else:
                loop = asyncio.get_running_loop()
                connection.idle_timer = loop.call_later(idle_seconds, self._start_closing, name)
                self._idle[name] = connection

    @contextlib.asynccontextmanager
    async def _alone_with(self, name: str) -> AsyncIterator[None]:
        self._wanted[name] += 1
        try:
            async with self._taken(name):
                yield
        finally:
            self._wanted[name] -= 1

    @contextlib.asynccontextmanager
    async def _taken(self, name: str) -> AsyncIterator[None]:
        """Reserve the session for the caller, once a connection that is being closed is gone."""
        lock = self._locks.setdefault(name, asyncio.Lock())
        await lock.acquire()
        try:
            yield
        finally:
            if name in self._ends:  # a cancelled caller does not wait for the end
                self._ends[name].add_done_callback(lambda _: lock.release())
            else:
                lock.release()

    @contextlib.asynccontextmanager
    async def set_aside(self, name: str) -> AsyncIterator[None]:
        """Close the session's idle connection, and let nobody connect with it here or in another process meanwhile.

        Raises:
            SessionInUse: another process works with the session.
        """
        async with self._alone_with(name):
            if connection := self._take_idle(name):
                await self._close(connection)
            with self._between_processes.held(name):
                yield

    async def close(self) -> None:
        """Close every idle connection."""
        for name in list(self._idle):
            self._start_closing(name)
        if self._closing:
            await asyncio.wait(self._closing)
        self._between_processes.close()

    def in_use(self, name: str) -> bool:
        """Return whether this process is connected with the session now."""
        return name in self._idle or self.at_work(name)

    def at_work(self, name: str) -> bool:
        """Return whether this process does something with the session now."""
        lock = self._locks.get(name)
        return lock is not None and lock.locked()

    def new_login(self, kind: type[_C], api_id: int, api_hash: SecretStr | None = None) -> _C:
        """Return a client without a key; it makes one when it connects. `api_hash` None: use the known one.

        Raises:
            SettingsError: no hash is known.
        """
        session = MemorySession()
        if self._dc is not None:
            session.set_dc(self._dc.dc_id, self._dc.host, self._dc.port)
        return self._client(kind, session, api_id, api_hash)

    def _take_idle(self, name: str) -> _Connection | None:
        connection = self._idle.pop(name, None)
        if connection is not None and connection.idle_timer is not None:
            connection.idle_timer.cancel()
        return connection

    async def _reuse(self, name: str, api_id: int) -> _Connection | None:
        """Return the session's idle connection if it is still good."""
        idle = self._take_idle(name)
        if idle is None:
            return None
        # A new login gives the session another key, so a connection with the old one is useless.
        if idle.client.is_connected() and idle.api_id == api_id and self._pool.has_key(name, idle.key_id):
            return idle
        await self._close(idle)
        return None

    async def _open(self, name: str, api_id: int) -> _Connection:
        await self._make_room()
        with contextlib.ExitStack() as lease:
            lease.callback(self._count_closed)
            self.open += 1
            lease.enter_context(self._between_processes.held(name))
            credentials = self._pool.credentials(name)
            client = self._build(credentials, api_id)
            connection = _Connection(name, client, api_id, credentials.key_id, lease.pop_all())
            try:
                await connect(client)
            except BaseException as error:
                if isinstance(error, CONNECTION_LOST):
                    self.data_centres.failed(client.session.dc_id, client.session.server_address, client.session.port)
                await self._close(connection)
                raise
            self.data_centres.answered(client.session.dc_id)
            return connection

    def _count_closed(self) -> None:
        self.open -= 1

    async def _make_room(self) -> None:
        """Close idle connections until fewer are open than accounts may be at work."""
        while self.open >= self._settings.max_concurrent_sessions:
            # A caller who waits for a session takes its idle connection in a moment, and may use it for very long.
            unwanted = (name for name in self._idle if not self._wanted[name] and not self.at_work(name))
            name = next(unwanted, None)
            if name is None:
                return
            await self._close_if_idle(name)

    async def _close(self, connection: _Connection) -> None:
        # Shielded: a connection that a cancelled cycle left open would share its key with the next cycle's.
        end = self._ends[connection.name] = self._own(_end(connection))
        end.add_done_callback(lambda _: self._ends.pop(connection.name))
        await asyncio.shield(end)

    def _own(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)
        return task

    def _start_closing(self, name: str) -> None:
        self._own(self._close_if_idle(name))

    async def _close_if_idle(self, name: str) -> None:
        async with self._taken(name):  # the next caller either takes the connection or waits until it is gone
            if connection := self._take_idle(name):
                await self._close(connection)

    def _build(self, credentials: Credentials, api_id: int) -> PostingClient:
        session = MemorySession()
        if self._dc is not None and self._dc.dc_id == credentials.dc_id:
            session.set_dc(self._dc.dc_id, self._dc.host, self._dc.port)
        else:
            session.set_dc(credentials.dc_id, credentials.host, credentials.port)
        session.auth_key = AuthKey(credentials.auth_key)
        return self._client(PostingClient, session, api_id)

    def _client(self, kind: type[_C], session: MemorySession, api_id: int, api_hash: SecretStr | None = None) -> _C:
        api_hash = api_hash or self._pairs.hash_of(api_id)
        if api_hash is None:
            raise SettingsError(
                f"POSTFLEET_API_PAIRS no longer names api_id {api_id}, which this session was logged in with"
            )
        return kind(
            session,
            api_id,
            api_hash.get_secret_value(),
            flood_sleep_threshold=0,
            raise_last_call_error=True,
            request_retries=1,
            connection_retries=1,
            retry_delay=0,
            auto_reconnect=False,
            timeout=_CONNECT_SECONDS,
            device_model="Postfleet",
            app_version="1.0",
            receive_updates=False,
            base_logger="telethon",
        )


async def _end(connection: _Connection) -> None:
    try:
        await connection.client.disconnect()
    finally:
        connection.lease.close()


def trust_key(pem: str) -> None:
    """Trust another data centre's public key (PKCS1, PEM). Raises SettingsError."""
    try:
        rsa.add_key(pem, old=False)
    except (ValueError, IndexError):
        raise SettingsError("POSTFLEET_DC_PUBLIC_KEY: the file holds no RSA public key in PEM form") from None
