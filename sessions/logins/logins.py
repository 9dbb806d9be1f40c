"""Logins of accounts: by phone, code and two-step password, or by QR code.

An attempt lives in this process only, belongs to whoever began it, and ends after `LOGIN_SECONDS`. It handles one code
or password at a time and refuses a second one meanwhile. An account becomes a session before anybody hears that it is
logged in. An account that cannot be kept is logged out again.
"""

import asyncio
import contextlib
import logging
import secrets
import unicodedata
from collections.abc import Coroutine
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Any

import msgspec
from telethon.tl.types import User

from core.clock import Clock, wait_for_event
from core.errors import InvalidInput, LoginRefused, NotFound, PostfleetError, TooMany
from core.models import Moment
from core.pasted import peeled
from sessions.connections.client import Clients
from sessions.logins.login_client import LoginClient, PasswordNeeded, qr_url
from sessions.roster.admission import Admitted, Newcomer
from sessions.roster.names import check_name
from sessions.session_manager import SessionManager

log = logging.getLogger(__name__)

LOGIN_SECONDS = 300.0
"""How long a login may take."""
QR_SECONDS = 25.0
"""How long a QR code is shown. Telegram accepts it for about 30 seconds."""
MOST_WRONG = 5
"""This many wrong codes or passwords end the attempt."""
MOST_A_USER = 3
MOST_AT_ONCE = 50


class Step(StrEnum):
    """What a login waits for."""

    CODE = "code"
    QR = "qr"
    PASSWORD = "password"  # noqa: S105  a step's name
    DONE = "done"
    OVER = "over"
    """Ended without an account; `reason` says why."""


OPEN = frozenset({Step.CODE, Step.QR, Step.PASSWORD})


@dataclass(frozen=True)
class Wish:
    """What to do with the account. `owner` None: make it a spare one for everyone (operators only)."""

    owner: str | None = None
    name: str | None = None
    label: str = ""
    by_operator: bool = False
    api_id: int | None = None
    """The API pair to log in with; None: any usable one."""


class Login(msgspec.Struct, frozen=True, kw_only=True):
    """The state of a login."""

    id: str
    step: Step
    """What the login waits for."""
    expires_at: Moment
    sent: str | None
    """A phrase that says where Telegram sent the code."""
    qr_url: str | None
    """The content of the QR code to scan. It changes about twice a minute."""
    hint: str | None
    """The owner's reminder of the two-step password."""
    session: str | None
    """The account's session, once the login is done."""
    assigned_to: str | None
    reason: str | None
    """Why the login is over."""


@dataclass
class _Attempt:
    id: str
    by: str
    wish: Wish
    api_id: int
    client: LoginClient
    expires_at: Moment
    phone: str = ""
    code_hash: str = ""
    step: Step = Step.CODE
    sent: str | None = None
    qr_url: str | None = None
    hint: str | None = None
    reason: str | None = None
    admitted: Admitted | None = None
    wrong: int = 0
    keeping: bool = False
    """Whether Telegram has accepted the login and it is being made a session."""
    answering: asyncio.Task[Login] | None = None
    over: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def busy(self) -> bool:
        return self.keeping or (self.answering is not None and not self.answering.done())

    def view(self) -> Login:
        return Login(
            id=self.id,
            step=self.step,
            expires_at=self.expires_at,
            sent=self.sent,
            qr_url=self.qr_url if self.step is Step.QR else None,
            hint=self.hint,
            session=self.admitted.name if self.admitted else None,
            assigned_to=self.admitted.assigned_to if self.admitted else None,
            reason=self.reason,
        )

    def end(self, reason: str) -> None:
        if self.step in OPEN:
            self.step, self.reason = Step.OVER, reason
        self.over.set()
        self.client.scanned.set()


class Logins:
    """The logins that are under way in this process."""

    def __init__(self, sessions: SessionManager, clients: Clients, clock: Clock) -> None:
        self._sessions = sessions
        self._clients = clients
        self._clock = clock
        self._attempts: dict[str, _Attempt] = {}
        self._watchers: dict[str, asyncio.Task[None]] = {}

    async def begin(self, by: str, wish: Wish, phone: str | None) -> Login:
        """Begin a login for `by`: with a phone number, to which Telegram sends a code, or without one by QR code.

        Raises:
            InvalidInput: the phone number or the name is malformed, or no account has the number.
            LoginRefused: Telegram refuses it; `code` says why.
            TooMany: too many logins are under way, or Telegram wants a rest.
            NoRoomOnApiPairs: no API pair may be used.
            NotFound, Conflict: the requested pair does not exist, or may not be used.
        """
        if wish.name is not None:
            check_name(wish.name)
        digits = None if phone is None else _digits(phone)
        self._check_room(by)
        api_id = self._sessions.pair_for_login(wish.api_id)
        attempt = _Attempt(
            id=secrets.token_urlsafe(16),
            by=by,
            wish=wish,
            api_id=api_id,
            client=self._clients.new_login(LoginClient, api_id),
            expires_at=self._clock.now() + timedelta(seconds=LOGIN_SECONDS),
        )
        self._attempts[attempt.id] = attempt
        try:
            if digits is None:
                attempt.step = Step.QR
                await self._next_token(attempt)
            else:
                attempt.phone = digits
                attempt.code_hash, attempt.sent = await attempt.client.send_code(digits)
        except BaseException as error:
            del self._attempts[attempt.id]
            await attempt.client.close()
            self._close_refused_pair(attempt, error)
            raise
        self._watchers[attempt.id] = asyncio.create_task(self._watch(attempt), name=f"login {attempt.id[:6]}")
        return attempt.view()

    async def code(self, by: str, login_id: str, code: str) -> Login:
        """Continue a login with the code that Telegram sent.

        Raises:
            NotFound: there is no such login, or no longer.
            InvalidInput: the code is wrong; the login stays open.
            LoginRefused: the login cannot continue, or another request is at work on it; `code` says why.
            TooMany: Telegram wants a rest.
            AccountRefused: somebody else has the account here; it was logged out again.
            Conflict: the name an operator asked for is taken; the account was logged out again.
        """
        attempt = self._waiting(by, login_id, Step.CODE)
        digits = "".join(character for character in code if character.isalnum())
        if not digits:
            raise InvalidInput("code", "type the code Telegram sent")
        return await self._sign_in(attempt, attempt.client.sign_in(attempt.phone, attempt.code_hash, digits))

    async def password(self, by: str, login_id: str, password: str) -> Login:
        """Continue a login with the account's two-step password. Raises as `code` does."""
        attempt = self._waiting(by, login_id, Step.PASSWORD)
        if not password:
            raise InvalidInput("password", "type the account's two-step password")
        return await self._sign_in(attempt, attempt.client.check_password(password))

    def status(self, by: str, login_id: str) -> Login:
        """Return the state of a login. Raises NotFound."""
        return self._find(by, login_id).view()

    async def cancel(self, by: str, login_id: str) -> Login:
        """Give up a login.

        Raises:
            NotFound: there is no such login, or no longer.
            LoginRefused: the login is done, over or being answered.
        """
        attempt = self._waiting(by, login_id)
        attempt.end("it was cancelled")
        return attempt.view()

    async def close(self) -> None:
        """End every login and its connection."""
        for attempt in self._attempts.values():
            attempt.end("the daemon stopped")
        answering = [attempt.answering for attempt in self._attempts.values() if attempt.answering is not None]
        await asyncio.gather(*answering, return_exceptions=True)
        for watcher in self._watchers.values():
            watcher.cancel()
        await asyncio.gather(*self._watchers.values(), return_exceptions=True)
        for attempt in self._attempts.values():
            await attempt.client.close()

    def _check_room(self, by: str) -> None:
        under_way = [attempt for attempt in self._attempts.values() if attempt.step in OPEN]
        mine = [attempt for attempt in under_way if attempt.by == by]
        if len(mine) >= MOST_A_USER or len(under_way) >= MOST_AT_ONCE:
            first = min((attempt.expires_at for attempt in mine or under_way), default=self._clock.now())
            wait = max(1.0, (first - self._clock.now()).total_seconds())
            raise TooMany("too many logins are under way; finish or cancel one first", wait)

    def _find(self, by: str, login_id: str) -> _Attempt:
        attempt = self._attempts.get(login_id)
        if attempt is None or attempt.by != by:
            raise NotFound("there is no such login, or it ended a while ago; begin again")
        return attempt

    def _waiting(self, by: str, login_id: str, step: Step | None = None) -> _Attempt:
        """Return a login that waits for its next step: this one, or any."""
        attempt = self._find(by, login_id)
        if attempt.step is Step.DONE:
            raise LoginRefused("login_used", "this login is done already")
        if attempt.step is Step.OVER:
            raise LoginRefused("login_over", f"this login is over: {attempt.reason}; begin again")
        if attempt.busy:
            raise LoginRefused("login_busy", "another answer to this login is being checked; try again in a moment")
        if step is not None and attempt.step is not step:
            raise LoginRefused("login_step", f"this login waits for something else: {attempt.step.value}")
        return attempt

    async def _sign_in(self, attempt: _Attempt, step: Coroutine[Any, Any, User]) -> Login:
        """Sign in, to the end even if the caller has gone: Telegram may accept it."""
        attempt.answering = asyncio.create_task(self._let_in(attempt, step), name=f"answer to login {attempt.id[:6]}")
        attempt.answering.add_done_callback(_retrieve)
        return await asyncio.shield(attempt.answering)

    async def _let_in(self, attempt: _Attempt, step: Coroutine[Any, Any, User]) -> Login:
        try:
            user = await step
        except PasswordNeeded as needed:
            attempt.step, attempt.hint, attempt.wrong = Step.PASSWORD, needed.hint, 0
            return attempt.view()
        except InvalidInput:
            attempt.wrong += 1
            if attempt.wrong >= MOST_WRONG:
                attempt.end(f"{MOST_WRONG} wrong answers")
            raise
        except LoginRefused as refused:
            self._close_refused_pair(attempt, refused)
            if refused.code != "telegram_unreachable":
                attempt.end(str(refused))
            raise
        return await self._keep(attempt, user)

    async def _keep(self, attempt: _Attempt, user: User) -> Login:
        """Make the account a session, or log it out again."""
        wish = attempt.wish
        newcomer = Newcomer(
            credentials=attempt.client.credentials,
            name=wish.name,
            owner=wish.owner,
            telegram_id=int(user.id),
            api_id=attempt.api_id,
            phone=str(user.phone) if user.phone else attempt.phone or None,
            label=wish.label,
            by_operator=wish.by_operator,
        )
        attempt.keeping = True
        try:
            if attempt.step not in OPEN:
                raise LoginRefused("login_over", f"this login is over: {attempt.reason}; begin again")
            await attempt.client.close()  # from now on only the session may connect with this key
            attempt.admitted = await self._sessions.admit(newcomer)
        except PostfleetError as error:
            with contextlib.suppress(PostfleetError):
                await attempt.client.log_out()
            attempt.end(error.for_users)
            raise
        finally:
            attempt.keeping = False
        attempt.step = Step.DONE
        attempt.over.set()
        log.info("Logged in %s", attempt.admitted.name, extra={"action": "session_logged_in", "user": wish.owner})
        return attempt.view()

    async def _watch(self, attempt: _Attempt) -> None:
        """Renew the QR code of a login, end it when its time is up, and close its connection."""
        try:
            while attempt.step is Step.QR and not attempt.over.is_set() and self._left(attempt) > 0:
                await self._wait_for_scan(attempt)
            await wait_for_event(self._clock, attempt.over, self._left(attempt))
            if attempt.answering is not None:
                await asyncio.wait({attempt.answering})
            attempt.end("it was not finished in time")
        except Exception:
            log.exception("A login failed", extra={"action": "login_failed"})
            attempt.end("a fault of Postfleet; its log tells more")
        finally:
            await attempt.client.close()
        await self._clock.sleep(LOGIN_SECONDS)  # meanwhile `status` still shows how it ended
        del self._attempts[attempt.id], self._watchers[attempt.id]

    async def _wait_for_scan(self, attempt: _Attempt) -> None:
        """Wait until somebody accepts the QR code or it needs renewing, then ask Telegram for the next."""
        await wait_for_event(self._clock, attempt.client.scanned, min(QR_SECONDS, self._left(attempt)))
        if attempt.over.is_set() or self._left(attempt) <= 0:
            return
        attempt.client.scanned.clear()
        try:
            await self._next_token(attempt)
        except PasswordNeeded as needed:
            attempt.step, attempt.hint = Step.PASSWORD, needed.hint
        except PostfleetError as error:
            self._close_refused_pair(attempt, error)
            attempt.end(error.for_users)

    async def _next_token(self, attempt: _Attempt) -> None:
        answer = await attempt.client.login_token()
        if isinstance(answer, bytes):
            attempt.qr_url = qr_url(answer)
        else:
            await self._keep(attempt, answer)

    def _left(self, attempt: _Attempt) -> float:
        return (attempt.expires_at - self._clock.now()).total_seconds()

    def _close_refused_pair(self, attempt: _Attempt, error: BaseException) -> None:
        if isinstance(error, LoginRefused) and error.code == "api_pair_refused":
            self._sessions.close_pair(attempt.api_id, "Telegram refused it at a login")


def _retrieve(task: "asyncio.Task[Login]") -> None:
    """Read the error of a request whose caller may have gone, or the loop would log it."""
    if not task.cancelled():
        task.exception()


def _digits(phone: str) -> str:
    written = unicodedata.normalize("NFKC", peeled(phone))
    digits = "".join(str(unicodedata.decimal(sign)) for sign in written if sign.isdecimal())
    others = {sign for sign in written if not sign.isdecimal() and unicodedata.category(sign) not in {"Pd", "Zs"}}
    if not 5 <= len(digits) <= 20 or others - set("+()./"):
        raise InvalidInput("phone", "not a phone number; write it with + and the country's code")
    return digits
