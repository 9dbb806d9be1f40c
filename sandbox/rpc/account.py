"""account.*: the sessions of an account."""

from typing import Any

from telethon.tl import functions, types

from sandbox.errors import RpcError
from sandbox.mtproto.primes import DH_PRIME_BYTES
from sandbox.rpc.auth import must_know_password
from sandbox.rpc.call import Call, handles
from sandbox.srp import GENERATOR, Verifier


@handles(functions.account.GetAuthorizationsRequest)
def get_authorizations(call: Call, _request: Any) -> Any:
    """Every session of the account, this one with hash 0."""
    return types.account.Authorizations(
        authorization_ttl_days=180,
        authorizations=[
            call.keys.authorization(login, current=login is call.session.login)
            for login in call.keys.of(call.me)
            if login.state == "ok" and (login.active or login is call.session.login)
        ],
    )


@handles(functions.account.ResetAuthorizationRequest)
def reset_authorization(call: Call, request: Any) -> bool:
    """Sign one other session out."""
    for login in call.keys.of(call.me):
        if login is not call.session.login and call.keys.hash_of(login) == request.hash:
            login.state = "SESSION_REVOKED"
            return True
    raise RpcError("HASH_INVALID")


@handles(functions.account.UpdatePasswordSettingsRequest, writes=True)
def update_password(call: Call, request: Any) -> bool:
    """Set, change or remove the password; whoever has one must show that they know it."""
    new = request.new_settings
    if call.me.guarded:
        must_know_password(call.session.login, request.password)
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
    """The usual ones."""
    return types.PeerNotifySettings()


@handles(functions.messages.ReportSpamRequest, functions.account.ReportPeerRequest)
def report_peer(call: Call, request: Any) -> bool:
    """Complain about somebody."""
    chat = call.centre.chat_from(call.me, request.peer)
    for member in chat.members.values() if chat.kind == "private" else ():
        if member.account is not call.me:
            call.centre.limits.reported(member.account.name, call.me.name)
    return True


@handles(functions.account.UpdateStatusRequest, functions.account.UpdateDeviceLockedRequest)
def nothing_to_do(_call: Call, _request: Any) -> bool:
    """Accepted and forgotten."""
    return True
