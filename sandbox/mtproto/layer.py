"""The MTProto layer: decrypts and checks packets, answers service messages and passes calls on."""

import asyncio
import logging
import struct
import time
from hashlib import blake2b
from typing import Any, Protocol

from telethon.tl import functions, types

from sandbox.keys import ServerKey
from sandbox.mtproto.envelope import BadEnvelope, Key
from sandbox.mtproto.handshake import BadHandshake, Handshake
from sandbox.mtproto.reader import GZIP_PACKED, BadBody, parse, unpacked
from sandbox.mtproto.session import CONTAINER, Session, next_message_id
from sandbox.transport.link import Link

log = logging.getLogger(__name__)
NO_SUCH_KEY = struct.pack("<i", -404)
TOO_OLD, TOO_NEW = 300, 30
CANNOT_VERIFY = 20  # the code for a message that may have been received and forgotten
MAX_SESSIONS_A_KEY = 5


class Login(Protocol):
    """What this layer needs to know about a login: the key, its sessions and its salts."""

    key: Key
    sessions: dict[int, Session]
    salts: tuple[int, int, int]  # a period, its salt and the salt of the period before


class CallHandler(Protocol):
    """What the layer passes calls to."""

    def find_login(self, key_id: int) -> Login | None:
        """Return the login of a key, None if the key is unknown."""
        ...

    def new_key(self, key: bytes) -> None:
        """Take the key of a successful key exchange."""
        ...

    def call(self, session: Session, message_id: int, request: Any) -> None:
        """Handle a call. The answer goes to `session.answer`."""
        ...

    def unknown(self, session: Session, message_id: int, constructor: int) -> None:
        """Handle a request that cannot be read. `constructor` is its unknown number, 0 if it is cut short."""
        ...

    def session_began(self, session: Session) -> None:
        """Note that a session is connected, for the first time or again."""
        ...

    def session_ended(self, session: Session) -> None:
        """Note that a session lost its connection."""
        ...


class Mtproto:
    """The MTProto side of all connections of one data centre."""

    def __init__(self, handler: CallHandler, server_key: ServerKey, salt_seconds: int = 3600) -> None:
        self._handler = handler
        self._server_key = server_key
        self._salt_seconds = salt_seconds
        self.links: set[Link] = set()
        self.handshakes = 0
        self.drops_until = 0.0  # until this moment of time.monotonic() new connections are dropped at once
        self._service = {
            types.MsgsAck: self._acked,
            functions.PingRequest: self._ping,
            functions.PingDelayDisconnectRequest: self._ping,
            functions.GetFutureSaltsRequest: self._future_salts,
            functions.DestroySessionRequest: self._destroy_session,
            functions.RpcDropAnswerRequest: self._drop_answer,
            types.MsgsStateReq: self._send_states,
            types.MsgResendReq: self._resend,
            types.MsgsStateInfo: self._nothing,
            types.MsgsAllInfo: self._nothing,
            types.HttpWait: self._nothing,
        }

    # --- connections

    def made(self, link: Link) -> None:
        """Register a new connection."""
        self.links.add(link)
        if time.monotonic() < self.drops_until:
            link.abort()

    def lost(self, link: Link) -> None:
        """Forget a closed connection. Its sessions are kept for a reconnect."""
        self.links.discard(link)
        for session in link.sessions:
            if session.link is link:
                session.link = None
                self._handler.session_ended(session)
        link.sessions.clear()

    def packet(self, link: Link, packet: bytes) -> None:
        """Handle a packet: a step of a key exchange, or messages encrypted with a known key."""
        if len(packet) < 20:
            self._refuse(link)
            return
        key_id = int.from_bytes(packet[:8], "little")
        if key_id == 0:
            self._plain(link, packet)
            return
        login = self._handler.find_login(key_id)
        if login is None:
            self._refuse(link)
            return
        try:
            salt, session_id, message_id, sequence, body = login.key.open(packet)
        except BadEnvelope as error:
            log.info("refusing a packet from %s: %s", link.address, error)
            self._refuse(link)
            return
        session = self._session(link, login, session_id)
        if not self._accepted(session, salt, message_id, sequence):
            return
        if session_id not in login.sessions:
            self._keep(login, session)
            self._send(session, types.NewSessionCreated(message_id, session_id, self._salt(login)), content=True)
        self._message(session, message_id, sequence, body, 0)

    @staticmethod
    def _keep(login: Login, session: Session) -> None:
        login.sessions[session.id] = session
        if len(login.sessions) > MAX_SESSIONS_A_KEY:
            abandoned = next((old for old in login.sessions.values() if old.link is None), None)
            if abandoned is not None:
                del login.sessions[abandoned.id]

    def _refuse(self, link: Link) -> None:
        link.send(NO_SUCH_KEY)
        link.close()

    def _session(self, link: Link, login: Login, session_id: int) -> Session:
        session = login.sessions.get(session_id)
        if session is None:
            known = next((s for s in link.sessions if s.id == session_id and s.login is login), None)
            loop = asyncio.get_running_loop()
            session = known or Session(login.key, session_id, login, lambda: self._salt(login), loop.call_soon)
        if session.link is not link:
            if session.link is not None:
                session.link.sessions.discard(session)
            session.attach(link)
            link.sessions.add(session)
            self._handler.session_began(session)
        return session

    def _plain(self, link: Link, packet: bytes) -> None:
        message_id, length = struct.unpack_from("<qi", packet, 8)
        try:
            request = parse(packet[20 : 20 + max(0, length)])
            if isinstance(request, types.MsgsAck):
                return
            exchange = link.exchange
            if exchange is None or isinstance(request, functions.ReqPqMultiRequest | functions.ReqPqRequest):
                exchange = link.exchange = Handshake(self._server_key)
            answer = bytes(exchange.answer(request))
        except (BadBody, BadHandshake) as error:
            log.info("key exchange with %s (%d) failed: %s", link.address, message_id, error)
            self._refuse(link)
            return
        if exchange.key:
            self.handshakes += 1
            self._handler.new_key(exchange.key)
            link.exchange = None
        link.send(struct.pack("<qqi", 0, next_message_id(answer=True), len(answer)) + answer)

    # --- salts and message ids

    def _salt(self, login: Login) -> int:
        period = int(time.time() / self._salt_seconds)
        if login.salts[0] != period:
            login.salts = (period, self._salt_of(login, period), self._salt_of(login, period - 1))
        return login.salts[1]

    @staticmethod
    def _salt_of(login: Login, period: int) -> int:
        digest = blake2b(login.key.bytes + period.to_bytes(8, "little"), digest_size=8).digest()
        return int.from_bytes(digest, "little", signed=True)

    def _accepted(self, session: Session, salt: int, message_id: int, sequence: int) -> bool:
        age = time.time() - (message_id >> 32)
        if message_id % 4:
            code = 18
        elif age > TOO_OLD:
            code = 16
        elif age < -TOO_NEW:
            code = 17
        elif salt not in (self._salt(session.login), session.login.salts[2]):
            self._send(session, types.BadServerSalt(message_id, sequence, 48, self._salt(session.login)))
            return False
        else:
            return True
        self._send(session, types.BadMsgNotification(message_id, sequence, code))
        return False

    @staticmethod
    def _send(session: Session, message: Any, *, content: bool = False) -> None:
        session.put(bytes(message), content=content)

    # --- messages

    def _message(self, session: Session, message_id: int, sequence: int, body: bytes, depth: int) -> None:
        constructor = int.from_bytes(body[:4], "little")
        if constructor == CONTAINER:
            self._container(session, message_id, sequence, body, depth)
            return
        try:
            if constructor == GZIP_PACKED:
                body = unpacked(_tl_bytes(body[4:]))
            message = parse(body)
        except BadBody as error:
            if self._is_new(session, message_id, sequence):
                self._handler.unknown(session, message_id, error.constructor or 0)
            return
        service = self._service.get(type(message))
        if service is not None:
            service(session, message_id, message)
        elif self._is_new(session, message_id, sequence):
            self._handler.call(session, message_id, message)

    def _is_new(self, session: Session, message_id: int, sequence: int) -> bool:
        """Record a call and return whether it is new. Answer a repeat again; refuse an id that cannot be verified.

        https://core.telegram.org/mtproto/service_messages_about_messages#notice-of-ignored-error-message
        """
        if session.too_old(message_id):
            self._send(session, types.BadMsgNotification(message_id, sequence, CANNOT_VERIFY))
            return False
        if session.first_seen(message_id):
            return True
        if session.seen[message_id]:
            session.repeat([session.seen[message_id]])
        return False

    def _container(self, session: Session, message_id: int, sequence: int, body: bytes, depth: int) -> None:
        count = int.from_bytes(body[4:8], "little")
        position = 8
        parts: list[tuple[int, int, bytes]] = []
        while len(parts) < count and len(body) - position >= 20:
            inner_id, inner_sequence, length = struct.unpack_from("<qii", body, position)
            position += 16
            if not 4 <= length <= len(body) - position:
                break
            parts.append((inner_id, inner_sequence, body[position : position + length]))
            position += length
        if depth or len(parts) != count or count > 1024:
            self._send(session, types.BadMsgNotification(message_id, sequence, 64))
            return
        for inner_id, inner_sequence, inner in parts:
            self._message(session, inner_id, inner_sequence, inner, 1)

    # --- service messages

    def _nothing(self, session: Session, message_id: int, message: Any) -> None:
        """Ignore a message that needs no answer."""

    def _acked(self, session: Session, _message_id: int, message: Any) -> None:
        for number in message.msg_ids:
            session.acked(number)

    def _ping(self, session: Session, message_id: int, message: Any) -> None:
        self._send(session, types.Pong(message_id, message.ping_id))

    def _future_salts(self, session: Session, message_id: int, message: Any) -> None:
        period = int(time.time() / self._salt_seconds)
        length = self._salt_seconds
        salts = [
            types.FutureSalt(number * length, (number + 2) * length, self._salt_of(session.login, number))
            for number in range(period, period + max(1, min(message.num, 64)))
        ]
        self._send(session, types.FutureSalts(message_id, int(time.time()), salts))

    def _destroy_session(self, session: Session, _message_id: int, message: Any) -> None:
        known = session.login.sessions.pop(message.session_id, None)
        kind = types.DestroySessionOk if known else types.DestroySessionNone
        self._send(session, kind(message.session_id))

    def _drop_answer(self, session: Session, message_id: int, message: Any) -> None:
        answer_id = session.seen.get(message.req_msg_id)
        known = session.acked(answer_id) if answer_id else None
        result = types.RpcAnswerDropped(answer_id, known[0], len(known[1])) if known else types.RpcAnswerUnknown()
        session.answer(message_id, bytes(result))

    def _send_states(self, session: Session, message_id: int, message: Any) -> None:
        states = bytes(4 if number in session.seen else 1 for number in message.msg_ids)
        self._send(session, types.MsgsStateInfo(message_id, states))

    def _resend(self, session: Session, message_id: int, message: Any) -> None:
        session.repeat(message.msg_ids)
        self._send_states(session, message_id, message)


def _tl_bytes(data: bytes) -> bytes:
    start, length = 1, data[0] if data else 0
    if length == 254:
        start, length = 4, int.from_bytes(data[1:4], "little")
    if len(data) < start + length:
        raise BadBody("the bytes are cut short")
    return data[start : start + length]
