"""auth.*: login by code, password and QR code, and logout."""

import secrets
from typing import Any

from telethon.tl import functions, types

from sandbox.errors import RpcError
from sandbox.mtproto.session import encoded
from sandbox.rpc import render
from sandbox.rpc.call import Call, handles
from sandbox.srp import new_algorithm
from sandbox.state.logins import CODE_SECONDS, TOKEN_SECONDS, Login, LoginToken, SentCode
from sandbox.state.peers import Account

MAX_WRONG_CODES = 5
DEAD = {"banned": "PHONE_NUMBER_BANNED", "deactivated": "USER_DEACTIVATED"}


def check_api_pair(call: Call, api_id: int, api_hash: str | None = None) -> None:
    """Raise RpcError if the world lists API pairs and this is not one of them."""
    pairs = call.centre.world.api_pairs
    if api_id <= 0 or (pairs and (api_id not in pairs or api_hash not in (None, pairs[api_id]))):
        raise RpcError("API_ID_INVALID")


def _account_of(call: Call, phone: str) -> Account:
    digits = "".join(character for character in phone if character.isdigit())
    if not 5 <= len(digits) <= 20:
        raise RpcError("PHONE_NUMBER_INVALID")
    account = call.centre.directory.by_phone.get(digits)
    if account is None:
        raise RpcError("PHONE_NUMBER_UNOCCUPIED")
    if account.state in DEAD:
        raise RpcError(DEAD[account.state])
    return account


@handles(functions.auth.SendCodeRequest, open_to_all=True)
def send_code(call: Call, request: Any) -> Any:
    """Send a login code. The control channel shows it."""
    check_api_pair(call, request.api_id, request.api_hash)
    account = _account_of(call, request.phone_number)
    call.require_home_dc(account, "PHONE_MIGRATE")
    call.centre.limits.sending_code(account.name)
    return _sent(call, account)


def _sent(call: Call, account: Account) -> Any:
    code = SentCode(account, call.centre.world.login_code, call.centre.monotonic() + CODE_SECONDS)
    code_hash = secrets.token_hex(9)
    call.keys.codes = {old: sent for old, sent in call.keys.codes.items() if sent.account is not account}
    call.keys.codes[code_hash] = code
    return types.auth.SentCode(
        type=types.auth.SentCodeTypeApp(length=len(code.code)), phone_code_hash=code_hash, timeout=60
    )


def _code(call: Call, request: Any) -> SentCode:
    account = _account_of(call, request.phone_number)
    code = call.keys.codes.get(request.phone_code_hash)
    if code is None or code.account is not account or call.centre.monotonic() > code.expires:
        raise RpcError("PHONE_CODE_EXPIRED")
    return code


@handles(functions.auth.ResendCodeRequest, open_to_all=True)
def resend_code(call: Call, request: Any) -> Any:
    """Replace a code with a new one."""
    code = _code(call, request)
    del call.keys.codes[request.phone_code_hash]
    return _sent(call, code.account)


@handles(functions.auth.CancelCodeRequest, open_to_all=True)
def cancel_code(call: Call, request: Any) -> bool:
    """Cancel a code."""
    _code(call, request)
    del call.keys.codes[request.phone_code_hash]
    return True


@handles(functions.auth.SignInRequest, open_to_all=True)
def sign_in(call: Call, request: Any) -> Any:
    """Sign in with a code. An account with a password needs the password as well."""
    code = _code(call, request)
    if not request.phone_code:
        raise RpcError("PHONE_CODE_EMPTY")
    if request.phone_code != code.code:
        code.wrong += 1
        if code.wrong >= MAX_WRONG_CODES:
            del call.keys.codes[request.phone_code_hash]
        raise RpcError("PHONE_CODE_INVALID")
    del call.keys.codes[request.phone_code_hash]
    return _admit(call, code.account)


def _admit(call: Call, account: Account) -> Any:
    if account.has_password:
        call.session.login.awaiting_password = account
        raise RpcError("SESSION_PASSWORD_NEEDED")
    return _complete_login(call, account)


def _complete_login(call: Call, account: Account) -> Any:
    call.keys.sign_in(call.session.login, account)
    call.account = account
    return types.auth.Authorization(user=render.user(call.centre, account, account))


@handles(functions.auth.SignUpRequest, open_to_all=True)
def sign_up(_call: Call, _request: Any) -> Any:
    """Refuse to register new accounts."""
    raise RpcError("PHONE_NUMBER_INVALID")


@handles(functions.account.GetPasswordRequest, open_to_all=True)
def get_password(call: Call, _request: Any) -> Any:
    """Return whether there is a password, and the challenge to prove knowledge of it."""
    account = call.account or call.session.login.awaiting_password
    if account is None:
        raise RpcError("AUTH_KEY_UNREGISTERED")
    values: dict[str, Any] = {}
    verifier = account.verifier
    if verifier is not None:
        challenge = call.session.login.challenge = verifier.challenge()
        values = {
            "has_password": True,
            "current_algo": verifier.algorithm,
            "srp_B": challenge.public,
            "srp_id": challenge.id,
            "hint": verifier.hint,
        }
    return types.account.Password(
        new_algo=new_algorithm(8),
        new_secure_algo=types.SecurePasswordKdfAlgoUnknown(),
        secure_random=secrets.token_bytes(32),
        **values,
    )


@handles(functions.auth.CheckPasswordRequest, open_to_all=True)
def check_password(call: Call, request: Any) -> Any:
    """Sign in with the password, the second step."""
    login = call.session.login
    if login.awaiting_password is None:
        raise RpcError("AUTH_KEY_UNREGISTERED")
    check_password_proof(login, request.password)
    return _complete_login(call, login.awaiting_password)


def check_password_proof(login: Login, proof: Any) -> None:
    """Raise RpcError unless the proof answers the latest challenge."""
    challenge, login.challenge = login.challenge, None
    if challenge is None or not isinstance(proof, types.InputCheckPasswordSRP) or proof.srp_id != challenge.id:
        raise RpcError("SRP_ID_INVALID")
    if not challenge.accepts(proof.A, proof.M1):
        raise RpcError("PASSWORD_HASH_INVALID")


@handles(functions.auth.LogOutRequest, open_to_all=True)
def log_out(call: Call, _request: Any) -> Any:
    """Sign out of this session's key."""
    call.keys.sign_out(call.session.login)
    return types.auth.LoggedOut()


@handles(functions.auth.ResetAuthorizationsRequest)
def reset_authorizations(call: Call, _request: Any) -> bool:
    """Revoke every other login of the account."""
    for login in call.keys.logins_of(call.me):
        if login is not call.session.login:
            login.state = "SESSION_REVOKED"
    return True


@handles(functions.auth.ExportLoginTokenRequest, open_to_all=True)
def export_login_token(call: Call, request: Any) -> Any:
    """Return a token to show as a QR code, or the login once another session has accepted it."""
    check_api_pair(call, request.api_id, request.api_hash)
    login = call.session.login
    now = call.centre.monotonic()
    call.keys.tokens = {old: shown for old, shown in call.keys.tokens.items() if now <= shown.expires}
    mine = next((token for token in call.keys.tokens.values() if token.session.login is login), None)
    if mine is not None and mine.account is not None:
        if mine.account.dc_id != call.dc_id:
            return types.auth.LoginTokenMigrateTo(dc_id=mine.account.dc_id, token=mine.token)
        del call.keys.tokens[mine.token]
        return types.auth.LoginTokenSuccess(_admit(call, mine.account))
    if mine is not None:
        del call.keys.tokens[mine.token]
    token = LoginToken(secrets.token_bytes(16), call.session, now + TOKEN_SECONDS)
    call.keys.tokens[token.token] = token
    return types.auth.LoginToken(expires=int(call.centre.now() + TOKEN_SECONDS), token=token.token)


@handles(functions.auth.ImportLoginTokenRequest, open_to_all=True)
def import_login_token(call: Call, request: Any) -> Any:
    """Sign in with an accepted token on the account's home data centre."""
    token = call.keys.tokens.pop(request.token, None)
    if token is None or token.account is None:
        raise RpcError("AUTH_TOKEN_INVALID")
    call.require_home_dc(token.account, "USER_MIGRATE")
    return types.auth.LoginTokenSuccess(_admit(call, token.account))


@handles(functions.auth.AcceptLoginTokenRequest)
def accept_login_token(call: Call, request: Any) -> Any:
    """Sign in the session that shows this token."""
    token = call.keys.tokens.get(request.token)
    if token is None:
        raise RpcError("AUTH_TOKEN_INVALID")
    if call.centre.monotonic() > token.expires:
        del call.keys.tokens[request.token]
        raise RpcError("AUTH_TOKEN_EXPIRED")
    if token.account is not None:
        raise RpcError("AUTH_TOKEN_ALREADY_ACCEPTED")
    token.account = call.me
    news = types.UpdateShort(types.UpdateLoginToken(), int(call.centre.now()))
    token.session.put(encoded(news), content=True, answer=False)
    return call.keys.authorization(token.session.login)


@handles(functions.auth.ExportAuthorizationRequest)
def export_authorization(call: Call, request: Any) -> Any:
    """Return an authorization for another data centre."""
    if request.dc_id not in call.centre.addresses or request.dc_id == call.dc_id:
        raise RpcError("DC_ID_INVALID")
    ticket = secrets.token_bytes(32)
    call.keys.exported = {old: owner for old, owner in call.keys.exported.items() if owner is not call.me}
    call.keys.exported[ticket] = call.me
    return types.auth.ExportedAuthorization(id=call.me.id, bytes=ticket)


@handles(functions.auth.ImportAuthorizationRequest, open_to_all=True)
def import_authorization(call: Call, request: Any) -> Any:
    """Sign in with an authorization from another data centre."""
    account = call.keys.exported.pop(request.bytes, None)
    if account is None or account.id != request.id:
        raise RpcError("AUTH_BYTES_INVALID")
    call.session.login.imported = True
    return _complete_login(call, account)
