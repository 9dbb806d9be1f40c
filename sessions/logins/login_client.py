"""The steps of a login at Telegram. Each has a time limit, and each failure raises a `PostfleetError`."""

import asyncio
import base64
import contextlib
from collections.abc import Iterator
from typing import Any

from telethon import TelegramClient, errors
from telethon.password import compute_check
from telethon.tl import functions, types
from telethon.tl.types import User

from core.errors import InvalidInput, LoginCode, LoginRefused, PostfleetError, TooMany
from sessions.connections.client import CONNECTION_LOST, PostingClient, connect
from sessions.foreign.credentials import Credentials

_CALL_SECONDS = 20.0
_DAY = 86_400.0


class PasswordNeeded(Exception):
    """The account has a two-step password. `hint` is its owner's reminder of it."""

    def __init__(self, hint: str) -> None:
        super().__init__("a password is needed")
        self.hint = hint


class LoginClient(PostingClient):
    """A client that nobody is signed in with yet. `scanned` is set when somebody accepts the QR code."""

    _config = None

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.scanned = asyncio.Event()

    async def _get_dc(self, new_dc: int, cdn: bool = False) -> Any:
        LoginClient._config = None  # ask again where the data centres are: the cached answer may be another server's
        return await super()._get_dc(new_dc, cdn)

    async def _call(self, *args: Any, **options: Any) -> Any:
        # Telegram may move a login to another data centre, which Telethon's own call follows.
        return await super(PostingClient, self)._call(*args, **options)

    async def get_me(self, input_peer: bool = False) -> User | None:
        """Return who is signed in, or None."""
        return await TelegramClient.get_me(self, input_peer)

    async def _update_loop(self) -> None:
        while True:
            update = await self._updates_queue.get()
            inner = getattr(update, "update", update)
            if isinstance(inner, types.UpdateLoginToken):
                self.scanned.set()

    @property
    def credentials(self) -> Credentials:
        """The credentials of the login that this client made."""
        session = self.session
        return Credentials(session.dc_id, session.server_address, session.port, session.auth_key.key)

    async def send_code(self, phone: str) -> tuple[str, str]:
        """Let Telegram send a code. Return the code's hash, and a phrase that says where it went.

        Raises:
            InvalidInput, LoginRefused, TooMany.
        """
        settings = types.CodeSettings()
        sent = await self._ask(functions.auth.SendCodeRequest(phone, self.api_id, self.api_hash, settings))
        if not isinstance(sent, types.auth.SentCode):
            raise LoginRefused(
                "login_not_possible", "Telegram asks for something only its own app can do; log in there first"
            )
        return sent.phone_code_hash, _WAYS.get(type(sent.type), "to that account")

    async def sign_in(self, phone: str, code_hash: str, code: str) -> User:
        """Sign in with the code. Raises PasswordNeeded, InvalidInput, LoginRefused, TooMany."""
        return await self._sign_in(functions.auth.SignInRequest(phone, code_hash, code))

    async def check_password(self, password: str) -> User:
        """Sign in with the two-step password. Raises InvalidInput, LoginRefused, TooMany."""
        challenge = await self._ask(functions.account.GetPasswordRequest())
        # The key derivation takes most of a second, so it runs in a thread.
        proof = await asyncio.to_thread(compute_check, challenge, password)
        return await self._sign_in(functions.auth.CheckPasswordRequest(proof))

    async def login_token(self) -> User | bytes:
        """Return the token for a QR code, or the user once somebody has accepted one.

        Raises:
            PasswordNeeded, LoginRefused, TooMany.
        """
        try:
            answer = await self._ask(functions.auth.ExportLoginTokenRequest(self.api_id, self.api_hash, []))
            if isinstance(answer, types.auth.LoginTokenMigrateTo):
                with _clear_errors():
                    await self._switch_dc(answer.dc_id)
                answer = await self._ask(functions.auth.ImportLoginTokenRequest(answer.token))
        except errors.SessionPasswordNeededError:
            raise await self._password_needed() from None
        if isinstance(answer, types.auth.LoginTokenSuccess):
            return answer.authorization.user
        return bytes(answer.token)

    async def log_out(self) -> None:
        """Log out, so that no abandoned login stays open. Raises LoginRefused, TooMany."""
        await self._ask(functions.auth.LogOutRequest())

    async def close(self) -> None:
        """Disconnect, even if the caller is cancelled: an open connection would share its key with the session's."""
        await asyncio.shield(asyncio.ensure_future(self.disconnect()))

    async def _sign_in(self, request: Any) -> User:
        with _clear_errors():
            try:
                answer = await self._once(request)
            except _BROKEN:  # the answer is lost; ask Telegram whether it signed in
                await self.disconnect()
                await connect(self)
                if (me := await self.get_me()) is not None:
                    return me
                answer = await self._ask(request)
            except errors.SessionPasswordNeededError:
                answer = None
        if answer is None:
            raise await self._password_needed()
        if isinstance(answer, types.auth.AuthorizationSignUpRequired):
            raise _no_such_account()
        return answer.user

    async def _password_needed(self) -> PasswordNeeded:
        challenge = await self._ask(functions.account.GetPasswordRequest())
        return PasswordNeeded(challenge.hint or "")

    async def _ask(self, request: Any) -> Any:
        """Send the request, and once more over a new connection if the first was lost."""
        with _clear_errors():
            try:
                return await self._once(request)
            except _BROKEN:
                await self.disconnect()
                return await self._once(request)

    async def _once(self, request: Any) -> Any:
        if not self.is_connected():
            await connect(self)
        return await self.call(request, _CALL_SECONDS)


_BROKEN = (*CONNECTION_LOST, errors.AuthKeyNotFound, errors.SecurityError)


@contextlib.contextmanager
def _clear_errors() -> Iterator[None]:
    """Turn Telegram's errors into ours, except the one that asks for a password."""
    try:
        yield
    except errors.SessionPasswordNeededError:
        raise
    except (errors.RPCError, *_BROKEN) as error:
        raise _error_for_user(error) from error


def qr_url(token: bytes) -> str:
    """Return the content of the QR code."""
    return "tg://login?token=" + base64.urlsafe_b64encode(token).decode().rstrip("=")


_WAYS = {
    types.auth.SentCodeTypeApp: "in a Telegram app that is logged in to that account",
    types.auth.SentCodeTypeSms: "by SMS",
    types.auth.SentCodeTypeCall: "by a phone call",
    types.auth.SentCodeTypeFlashCall: "by a missed call: it is in the caller's number",
    types.auth.SentCodeTypeMissedCall: "by a missed call: it is the end of the caller's number",
    types.auth.SentCodeTypeEmailCode: "by e-mail",
    types.auth.SentCodeTypeFragmentSms: "on fragment.com",
}


def _no_such_account() -> InvalidInput:
    return InvalidInput("phone", "no Telegram account has this number; make one in a Telegram app first")


def _error_for_user(error: BaseException) -> PostfleetError:
    for kind, field_and_fix in _INPUT.items():
        if isinstance(error, kind):
            return InvalidInput(*field_and_fix)
    if isinstance(error, errors.PhoneNumberUnoccupiedError):
        return _no_such_account()
    seconds = getattr(error, "seconds", None)
    if isinstance(error, errors.FloodError) and isinstance(seconds, int):
        return TooMany(f"Telegram wants {seconds} seconds of rest before the next try", float(seconds))
    if isinstance(error, errors.PhoneNumberFloodError | errors.PhonePasswordFloodError):
        return TooMany("too many logins of this number; Telegram wants a day of rest before the next try", _DAY)
    for kind, refusal in _REFUSALS.items():
        if isinstance(error, kind):
            return LoginRefused(*refusal)
    if isinstance(error, errors.RPCError):
        return LoginRefused("login_refused", f"Telegram refused the login ({error.message}); begin again later")
    return LoginRefused("telegram_unreachable", "Telegram could not be reached or did not answer; try again")


_INPUT: dict[type[BaseException], tuple[str, str]] = {
    errors.PhoneNumberInvalidError: ("phone", "not a phone number; write it with + and the country's code"),
    errors.PhoneCodeEmptyError: ("code", "type the code Telegram sent"),
    errors.PhoneCodeInvalidError: ("code", "that is not the code Telegram sent; look again"),
    errors.PasswordHashInvalidError: ("password", "that is not the account's two-step password"),
    errors.SrpIdInvalidError: ("password", "Telegram wants it once more; type the password again"),
    errors.SrpPasswordChangedError: ("password", "it has just been changed; type the new password"),
}
PAIR_REFUSED = (errors.ApiIdInvalidError, errors.ConnectionApiIdInvalidError, errors.ApiIdPublishedFloodError)
"""The errors for an API pair that Telegram refuses."""
_API_PAIR: tuple[LoginCode, str] = (
    "api_pair_refused",
    "Telegram no longer accepts this API pair; the operator has to look at it",
)
_BANNED: tuple[LoginCode, str] = (
    "account_banned",
    "Telegram has banned this number; its owner can write to recover@telegram.org",
)
_REFUSALS: dict[type[BaseException], tuple[LoginCode, str]] = {
    errors.PhoneCodeExpiredError: ("code_expired", "the code has expired; begin again to get a new one"),
    errors.PhoneNumberBannedError: _BANNED,
    errors.UserDeactivatedBanError: _BANNED,
    errors.UserDeactivatedError: ("account_deleted", "this Telegram account was deleted"),
    **dict.fromkeys(PAIR_REFUSED, _API_PAIR),
    errors.AuthKeyUnregisteredError: ("login_lost", "Telegram no longer knows this login; begin again"),
    errors.AuthTokenExpiredError: ("login_lost", "the QR code is too old; begin again"),
    errors.UpdateAppToLoginError: ("login_not_possible", "Telegram wants a newer app for this login; use a QR code"),
}
