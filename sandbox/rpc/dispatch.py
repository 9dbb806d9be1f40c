"""From a request to its answer: unwrap it, apply fault rules, check who calls, run the handler, record the call."""

import asyncio
import logging
from typing import Any

from telethon.tl import functions, types

from sandbox.errors import RpcError, code_of
from sandbox.mtproto.session import Session, encoded
from sandbox.rpc import account, auth, channels, forums, help_, history, manage, media, messages, updates, users  # noqa: F401  # they fill the table
from sandbox.rpc.call import METHODS, Call, Handler, Method, method_name
from sandbox.rules import Rule
from sandbox.state.centre import Centre
from sandbox.state.logins import Login
from sandbox.transport.link import Link

log = logging.getLogger(__name__)
WRAPPERS = (
    functions.InvokeWithLayerRequest,
    functions.InitConnectionRequest,
    functions.InvokeWithoutUpdatesRequest,
    functions.InvokeAfterMsgRequest,
    functions.InvokeAfterMsgsRequest,
    functions.InvokeWithTakeoutRequest,
)
DEAD = {"banned": "USER_DEACTIVATED_BAN", "deactivated": "USER_DEACTIVATED"}
ANONYMOUS = "-"


class Dispatcher:
    """Answers the calls that the MTProto layer passes on."""

    def __init__(self, centre: Centre, dc_id: int) -> None:
        self._centre = centre
        self._dc_id = dc_id

    # --- what the MTProto layer calls

    def find_login(self, key_id: int) -> Login | None:
        """Return the login of a key, None if this data centre does not know the key."""
        login = self._centre.keys.logins.get(key_id)
        return login if login is not None and login.dc_id == self._dc_id else None

    def new_key(self, key: bytes) -> None:
        """Add the key of a successful key exchange."""
        self._centre.keys.add(key, self._dc_id)

    def session_began(self, session: Session) -> None:
        """Note a connected session. A key used from two addresses at once is treated as stolen and ends."""
        login: Login = session.login
        login.active = self._centre.now()
        if login.account is not None:
            login.account.sessions.add(session)
            if session.link is not None and login.addresses() - {session.link.address}:
                login.state = "AUTH_KEY_DUPLICATED"

    def session_ended(self, session: Session) -> None:
        """Note that a session lost its connection."""
        if session.login.account is not None:
            session.login.account.sessions.discard(session)

    def unknown(self, session: Session, message_id: int, constructor: int) -> None:
        """Refuse a request whose number is unknown, or that is cut short (`constructor` 0)."""
        log.info("unreadable request %08x", constructor)
        session.answer(
            message_id, encoded(types.RpcError(400, "INPUT_METHOD_INVALID" if constructor else "INPUT_FETCH_ERROR"))
        )

    def call(self, session: Session, message_id: int, request: Any) -> None:
        """Answer a call: now, or as a fault rule says later or never."""
        request = self._unwrapped(session, request)
        if session.updates and session.login.account is not None:
            self._centre.listening.add(session.login.account)
        method = METHODS.get(type(request))
        call = Call(self._centre, session, method.name if method else method_name(type(request)))
        name = call.account.name if call.account else ANONYMOUS
        self._centre.ledger.rpc[call.method][name] += 1
        rule = None
        if self._centre.rules:
            rule = self._centre.rules.strike(name, call.method, self._chat_of(call, request))
        if rule is not None and rule.do != "error":
            self._faulty(rule, call, method, message_id, request)
            return
        session.answer(message_id, self._result(call, method, request, rule))

    # --- answering

    @staticmethod
    def _unwrapped(session: Session, request: Any) -> Any:
        quiet = False
        while isinstance(request, WRAPPERS):
            if isinstance(request, functions.InvokeWithoutUpdatesRequest):
                quiet = True
            inner = request.query
            if isinstance(request, functions.InitConnectionRequest):
                session.login.api_id = request.api_id
                session.login.device, request.query = request, None
            request = inner
        if quiet:
            session.updates = False
        elif session.updates is None:
            session.updates = True
        return request

    def _chat_of(self, call: Call, request: Any) -> str:
        for field in ("peer", "to_peer", "channel"):
            peer = getattr(request, field, None)
            if peer is not None:
                return self._centre.name_of(call.account, peer)
        username = getattr(request, "username", None)
        return username.lower() if isinstance(username, str) else ""

    def _result(self, call: Call, method: Method | None, request: Any, rule: Rule | None) -> bytes:
        try:
            return encoded(self._handler(call, method, rule)(call, request))
        except RpcError as error:
            self._refused(call, request, error.name)
            return encoded(types.RpcError(error.code or code_of(error.name, call.method), error.name))
        except Exception:
            # If the connection were closed instead, the client would repeat the call for ever.
            log.exception("%s failed", call.method)
            self._refused(call, request, "INTERNAL")
            return encoded(types.RpcError(500, "INTERNAL"))

    def _refused(self, call: Call, request: Any, error: str) -> None:
        name = call.account.name if call.account else ANONYMOUS
        self._centre.limits.refused(name, error)
        self._centre.ledger.refuse(self._centre.now(), name, call.method, self._chat_of(call, request), error)

    @staticmethod
    def _handler(call: Call, method: Method | None, rule: Rule | None) -> Handler:
        if rule is not None:
            raise RpcError(rule.error, rule.code)
        if method is None:
            raise RpcError("INPUT_METHOD_INVALID")
        pairs = call.centre.world.api_pairs
        if pairs and call.session.login.api_id not in pairs:
            raise RpcError("CONNECTION_API_ID_INVALID")
        if method.open:
            return method.handler
        if call.session.login.state != "ok":
            raise RpcError(call.session.login.state)
        if call.me.dc_id != call.dc_id and not call.session.login.imported:
            raise RpcError(f"USER_MIGRATE_{call.me.dc_id}")
        state = call.me.state
        if state in DEAD:
            raise RpcError(DEAD[state])
        if state == "frozen" and method.writes:
            raise RpcError("FROZEN_METHOD_INVALID")
        return method.handler

    def _faulty(self, rule: Rule, call: Call, method: Method | None, message_id: int, request: Any) -> None:
        link = call.session.link
        if rule.do == "ignore":
            return
        if rule.do in {"drop_before", "hang_up_before"}:
            if link is not None:
                _end(link, rule)
            return
        result = self._result(call, method, request, None)
        if rule.do == "delay":
            asyncio.get_running_loop().call_later(rule.seconds, call.session.answer, message_id, result)
        elif rule.do in {"drop_after", "hang_up_after"} and link is not None:
            _end(link, rule)
            call.session.answer(message_id, result)  # kept for the client that reconnects with the same session


def _end(link: Link, rule: Rule) -> None:
    """Close the connection as the rule says: with a reset, or in order."""
    if rule.do.startswith("hang_up"):
        link.hang_up()
    else:
        link.abort()
