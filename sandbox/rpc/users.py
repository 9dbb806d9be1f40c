"""users.* and contacts.*: finding people and chats."""

from typing import Any

from telethon.tl import functions, types

from sandbox.errors import RpcError
from sandbox.rpc import render
from sandbox.rpc.call import Call, handles
from sandbox.state.peers import Account


@handles(functions.users.GetUsersRequest)
def get_users(call: Call, request: Any) -> Any:
    """Return users by id. Unknown ones come as UserEmpty."""
    found = []
    for wanted in request.id:
        try:
            found.append(render.user(call.centre, call.me, call.centre.user_from(call.me, wanted)))
        except RpcError:
            found.append(types.UserEmpty(getattr(wanted, "user_id", 0)))
    return found


@handles(functions.contacts.ResolveUsernameRequest)
def resolve_username(call: Call, request: Any) -> Any:
    """Return the user or channel that has a username."""
    call.centre.limits.resolving(call.me.name)
    name = request.username.lstrip("@").lower()
    if not name:
        raise RpcError("USERNAME_INVALID")
    peer = call.centre.directory.usernames.get(name)
    if peer is None:
        raise RpcError("USERNAME_NOT_OCCUPIED")
    if isinstance(peer, Account):
        return types.contacts.ResolvedPeer(
            types.PeerUser(peer.id), chats=[], users=[render.user(call.centre, call.me, peer)]
        )
    return types.contacts.ResolvedPeer(
        types.PeerChannel(peer.id), chats=[render.chat(call.centre, call.me, peer)], users=[]
    )


@handles(functions.users.GetFullUserRequest)
def get_full_user(call: Call, request: Any) -> Any:
    """Return the full information about a user."""
    account = call.centre.user_from(call.me, request.id)
    full = types.UserFull(
        id=account.id,
        settings=types.PeerSettings(),
        notify_settings=types.PeerNotifySettings(),
        common_chats_count=0,
    )
    return types.users.UserFull(full, chats=[], users=[render.user(call.centre, call.me, account)])


@handles(functions.contacts.BlockRequest, functions.contacts.UnblockRequest, writes=True)
def block(call: Call, request: Any) -> bool:
    """Block or unblock a user."""
    account = call.centre.user_from(call.me, request.id)
    if isinstance(request, functions.contacts.BlockRequest):
        call.me.blocked.add(account.id)
    else:
        call.me.blocked.discard(account.id)
    return True


@handles(functions.contacts.GetContactsRequest)
def get_contacts(_call: Call, _request: Any) -> Any:
    """Return no contacts: the sandbox has none."""
    return types.contacts.Contacts(contacts=[], saved_count=0, users=[])
