"""The only place a TelegramClient is built.

Telethon is kept from deciding anything on its own: it does not sleep through floods, does not reconnect by itself
(accept-then-drop would spin hundreds of times a second) and keeps no session file. A posting client needs no updates,
so they are drained instead of followed. One key is connected at most once at a time: Telegram destroys a key used
from two places.
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
"""Sends a request and returns what Telegram said: a client, or one bounded in time."""
CONNECTION_LOST = (
    OSError,  # TimeoutError and ConnectionError are among them
    EOFError,  # asyncio.IncompleteReadError: the server closed in order
    errors.InvalidBufferError,
    errors.InvalidChecksumError,
    errors.ReadCancelledError,
)
"""Errors that mean: the connection is gone, silent or garbled. The request may have arrived; a new one is needed.

This tuple tells such trouble from an answer of Telegram everywhere: `except CONNECTION_LOST`, `isinstance`.
"""


class PostingClient(TelegramClient):  # type: ignore[misc]  # telethon has no types
    """A Telethon client for posting: without updates or waits of its own, and it raises every error."""

    premium = False
    """Whether the account has Telegram Premium; known once it is connected."""
    phone: str | None = None
    """The account's number; known once it is connected."""

    async def get_me(self, input_peer: bool = False) -> User:  # noqa: ARG002  telethon's signature
        """Return who the account is. Telethon's own returns None for banned and revoked accounts; this raises."""
        return (await self(GetUsersRequest([InputUserSelf()])))[0]

    async def _on_login(self, user: User) -> User:
        # Telethon asks for the update state here; nobody follows updates.
        self._mb_entity_cache.set_self_user(user.id, user.bot, user.access_hash)
        self.premium = bool(user.premium)
        self.phone = user.phone or None
        self._authorized = True
        return user

    async def _call(self, sender: Any, request: Any, ordered: bool = False, **_: Any) -> Any:
        # One try. Telethon's own sleeps two seconds after each server error, RANDOM_ID_DUPLICATE among them, and
        # remembers flood waits per kind of request. We decide how long to wait and what to repeat.
        await request.resolve(self, utils)
        return await sender.send(request, ordered=ordered)

    async def _disconnect_coro(self) -> None:
        await super()._disconnect_coro()
        # Telethon keeps the reason of a connection's end in a future. Open requests were told. Nobody else reads it,
        # and the loop would log the unread error later.
        ended = self.disconnected
        if ended.done() and not ended.cancelled():
            ended.exception()

    @property
    def self_id(self) -> int:
        """The account's Telegram id; known once it is connected."""
        return int(self._mb_entity_cache.self_id)

    async def _update_loop(self) -> None:
        while True:
            await self._updates_queue.get()

    async def call(self, request: Any, within: float) -> Any:
        """Send a request and wait for its answer at most `within` seconds.

        After a time-out the request may still arrive: repeat it with the same random_id.

        Raises:
            CONNECTION_LOST: no answer came (TimeoutError), or the connection went away.
            RPCError: Telegram's answer.
        """
        answer = asyncio.ensure_future(self(request))
        try:
            done, _ = await asyncio.wait({answer}, timeout=within)
        finally:
            if not answer.done():
                answer.cancel()
        if not done:
            raise TimeoutError(f"no answer within {within:g} seconds")
        if answer.cancelled():  # a connection that closes quietly cancels what waits for it
            raise ConnectionError("the connection closed before the answer came")
        return answer.result()


_C = TypeVar("_C", bound=PostingClient)


@dataclass
class _Line:
    """An open connection of a session, and the lease that keeps it the only one."""

    name: str
    client: PostingClient
    api_id: int
    key_id: str
    lease: contextlib.ExitStack
    let_go: asyncio.TimerHandle | None = None


class Clients:
    """Builds clients from sealed session files and keeps each key to one connection.

    An unused connection is kept for a while, because opening one costs several calls. It is closed when it has been
    idle, or when another is needed and POSTFLEET_MAX_CONCURRENT_SESSIONS are open.
    """

    def __init__(self, settings: Settings, pool: Pool) -> None:
        self._pool = pool
        self._dc = settings.dc
        self._pairs = ApiPairs(settings, pool.vault)
        self._between_processes = Leases(settings.state_dir)
        self._settings = settings
        self._leased: dict[str, asyncio.Lock] = {}
        self._wanted = Counter[str]()
        """Session → how many use it or wait for it."""
        self._idle: dict[str, _Line] = {}
        """Idle connections, longest idle first."""
        self._closing: set[asyncio.Task[None]] = set()
        self._ends: dict[str, asyncio.Task[None]] = {}
        """Connections that are being closed. Their sessions are taken until then."""
        self.data_centres = DataCentres()
        self.open = 0
        """Connections that are open or being opened."""
        if settings.dc_public_key is not None:
            trust_key(settings.dc_public_key.read_text())

    @contextlib.asynccontextmanager
    async def connected(self, name: str, api_id: int) -> AsyncIterator[PostingClient]:
        """Yield the session's client, connected and known to be alive. An error ends the connection.

        Raises:
            UnknownSession, SealBroken: there is no usable session file.
            SessionInUse: another process works with it; it was not touched.
            SettingsError: its API pair is not in POSTFLEET_API_PAIRS any more.
            CONNECTION_LOST: Telegram cannot be reached.
            RPCError, AuthKeyNotFound: Telegram does not know the account any more (banned, revoked …).
        """
        async with self._alone_with(name):
            line = await self._idle_line(name, api_id) or await self._open(name, api_id)
            try:
                yield line.client
            except BaseException:
                await self._close(line)
                raise
            idle_seconds = self._settings.idle_connection_seconds
            if idle_seconds <= 0 or not line.client.is_connected():
                await self._close(line)
            else:
                line.let_go = asyncio.get_running_loop().call_later(idle_seconds, self._let_go, name)
                self._idle[name] = line

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
        """Keep the session to the caller, after a connection that is being closed is gone."""
        lock = self._leased.setdefault(name, asyncio.Lock())
        await lock.acquire()
        try:
            yield
        finally:
            if name in self._ends:  # a cancelled caller does not wait for it
                self._ends[name].add_done_callback(lambda _: lock.release())
            else:
                lock.release()

    @contextlib.asynccontextmanager
    async def set_aside(self, name: str) -> AsyncIterator[None]:
        """Let nobody connect with the session meanwhile, here or in another process. An idle connection is closed.

        Raises:
            SessionInUse: another process works with it.
        """
        async with self._alone_with(name):
            line = self._idle.pop(name, None)
            if line is not None:
                if line.let_go is not None:
                    line.let_go.cancel()
                await self._close(line)
            with self._between_processes.held(name):
                yield

    async def close(self) -> None:
        """Close every connection that is kept."""
        for name in list(self._idle):
            self._let_go(name)
        if self._closing:
            await asyncio.wait(self._closing)
        self._between_processes.close()

    def in_use(self, name: str) -> bool:
        """Return whether this process is connected with the session now."""
        lease = self._leased.get(name)
        return name in self._idle or (lease is not None and lease.locked())

    def at_work(self, name: str) -> bool:
        """Return whether this process does something with the session now."""
        lease = self._leased.get(name)
        return lease is not None and lease.locked()

    def new_login(self, kind: type[_C], api_id: int, api_hash: SecretStr | None = None) -> _C:
        """Return a client without a key, which makes one when it connects. `api_hash` None: the known one.

        Raises:
            SettingsError: there is none.
        """
        session = MemorySession()
        if self._dc is not None:
            session.set_dc(self._dc.dc_id, self._dc.host, self._dc.port)
        return self._client(kind, session, api_id, api_hash)

    async def _idle_line(self, name: str, api_id: int) -> _Line | None:
        """Return the connection that was kept, if it is still good."""
        line = self._idle.pop(name, None)
        if line is None:
            return None
        if line.let_go is not None:
            line.let_go.cancel()
        # A new login gives the session another key, so a connection with the old one is of no use.
        if line.client.is_connected() and line.api_id == api_id and self._pool.has_key(name, line.key_id):
            return line
        await self._close(line)
        return None

    async def _open(self, name: str, api_id: int) -> _Line:
        await self._make_room()
        with contextlib.ExitStack() as lease:
            lease.callback(self._count_closed)
            self.open += 1
            lease.enter_context(self._between_processes.held(name))
            credentials = self._pool.credentials(name)
            client = self._build(credentials, api_id)
            line = _Line(name, client, api_id, credentials.key_id, lease.pop_all())
            try:
                await connect(client)
            except BaseException as error:
                if isinstance(error, CONNECTION_LOST):
                    self.data_centres.failed(client.session.dc_id, client.session.server_address, client.session.port)
                await self._close(line)
                raise
            self.data_centres.answered(client.session.dc_id)
            return line

    def _count_closed(self) -> None:
        self.open -= 1

    async def _make_room(self) -> None:
        """Close idle connections before more are open than accounts may be at work."""
        while self.open >= self._settings.max_concurrent_sessions:
            # A session that is wanted takes its idle connection in a moment, and may use it for very long.
            unwanted = (name for name in self._idle if not self._wanted[name] and not self._leased[name].locked())
            name = next(unwanted, None)
            if name is None:
                return
            await self._close_if_idle(name)

    async def _close(self, line: _Line) -> None:
        # Shielded, because a connection left open by a cancelled cycle would meet the next one on the same key.
        end = self._ends[line.name] = self._own(_end(line))
        end.add_done_callback(lambda _: self._ends.pop(line.name))
        await asyncio.shield(end)

    def _own(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)
        return task

    def _let_go(self, name: str) -> None:
        """Close a connection that was idle for long."""
        self._own(self._close_if_idle(name))

    async def _close_if_idle(self, name: str) -> None:
        async with self._taken(name):  # the next caller either takes the connection or waits until it is gone
            line = self._idle.pop(name, None)
            if line is not None:
                if line.let_go is not None:
                    line.let_go.cancel()
                await self._close(line)

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


async def connect(client: PostingClient) -> None:
    """Open the connection. Raises CONNECTION_LOST, RPCError, AuthKeyNotFound."""
    connecting = asyncio.ensure_future(client.connect())
    try:
        done, _ = await asyncio.wait({connecting}, timeout=_CONNECT_SECONDS)
    finally:
        if not connecting.done():
            connecting.cancel()
    if not done:
        raise TimeoutError(f"Telegram did not answer within {_CONNECT_SECONDS} seconds")
    if connecting.cancelled():
        raise ConnectionError("the connection closed while it was being opened")
    connecting.result()


async def _end(line: _Line) -> None:
    try:
        await line.client.disconnect()
    finally:
        line.lease.close()


def trust_key(pem: str) -> None:
    """Accept another data centre's public key (PKCS1, PEM) in key exchanges."""
    try:
        rsa.add_key(pem, old=False)
    except (ValueError, IndexError):
        raise SettingsError("POSTFLEET_DC_PUBLIC_KEY: the file holds no RSA public key in PEM form") from None
