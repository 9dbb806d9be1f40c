"""account.*: the sessions of an account."""

from typing import Any

from telethon.tl import functions, types

from sandbox.errors import RpcError
from sandbox.rpc.call import Call, handles


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
