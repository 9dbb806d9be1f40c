"""account.*: sessions, password and reports."""

from typing import Any

from telethon.tl import functions, types

from sandbox.errors import RpcError
from sandbox.mtproto.primes import DH_PRIME_BYTES
from sandbox.rpc.auth import check_password_proof
from sandbox.rpc.call import Call, handles
from sandbox.srp import GENERATOR, Verifier


@handles(functions.account.GetAuthorizationsRequest)
def get_authorizations(call: Call, _request: Any) -> Any:
    """Return every login of the account. The calling one has hash 0."""
    return types.account.Authorizations(
        authorization_ttl_days=180,
        authorizations=[
            call.keys.authorization(login, current=login is call.session.login)
            for login in call.keys.logins_of(call.me)
            if login.state == "ok" and (login.active or login is call.session.login)
        ],
    )


@handles(functions.account.ResetAuthorizationRequest)
def reset_authorization(call: Call, request: Any) -> bool:
    """Revoke another login of the account."""
    for login in call.keys.logins_of(call.me):
        if login is not call.session.login and call.keys.hash_of(login) == request.hash:
            login.state = "SESSION_REVOKED"
            return True
    raise RpcError("HASH_INVALID")


@handles(functions.account.UpdatePasswordSettingsRequest, writes=True)
def update_password(call: Call, request: Any) -> bool:
    """Set, change or remove the password. Changing and removing need a proof of the current one."""
    new = request.new_settings
    if call.me.has_password:
        check_password_proof(call.session.login, request.password)
    if not new.new_password_hash:
        call.me.verifier = None
        return True
    algorithm = new.new_algo
    if getattr(algorithm, "p", b"") != DH_PRIME_BYTES or algorithm.g != GENERATOR:
        raise RpcError("NEW_SETTINGS_INVALID")
    call.me.verifier = Verifier(algorithm, int.from_bytes(new.new_password_hash, "big"), new.hint or "")
    return True


@handles(functions.account.GetNotifySettingsRequest)
def get_notify_settings(_call: Call, _request: Any) -> Any:
    """Return the default settings."""
    return types.PeerNotifySettings()


@handles(functions.messages.ReportSpamRequest, functions.account.ReportPeerRequest)
def report_peer(call: Call, request: Any) -> bool:
    """Report the other member of a dialog. Reports of groups are accepted and ignored."""
    chat = call.centre.chat_from(call.me, request.peer)
    for member in chat.members.values() if chat.kind == "private" else ():
        if member.account is not call.me:
            call.centre.limits.reported(member.account.name, call.me.name)
    return True


@handles(functions.account.UpdateStatusRequest, functions.account.UpdateDeviceLockedRequest)
def ignore_status(_call: Call, _request: Any) -> bool:
    """Accept a status without storing it."""
    return True
