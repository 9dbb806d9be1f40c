"""updates.*: what a client missed."""

from typing import Any

from telethon.tl import functions, types

from sandbox.rpc import render
from sandbox.rpc.call import Call, handles

MAX_DIFFERENCE = 100


@handles(functions.updates.GetStateRequest)
def get_state(call: Call, _request: Any) -> Any:
    """Where the account's own row of changes stands."""
    return types.updates.State(pts=call.me.box.pts, qts=0, date=int(call.centre.now()), seq=0, unread_count=0)


@handles(functions.updates.GetDifferenceRequest)
def get_difference(call: Call, _request: Any) -> Any:
    """Nothing but channels changes yet, and those have their own row."""
    return types.updates.DifferenceEmpty(date=int(call.centre.now()), seq=0)


@handles(functions.updates.GetChannelDifferenceRequest)
def get_channel_difference(call: Call, request: Any) -> Any:
    """Messages of one channel since a pts."""
    chat = call.centre.chat_from(call.me, request.channel)
    newer = chat.box.since(request.pts)
    limit = max(1, min(request.limit, MAX_DIFFERENCE))
    page = newer[:limit]
    if not page:
        return types.updates.ChannelDifferenceEmpty(pts=chat.box.pts, final=True, timeout=30)
    return types.updates.ChannelDifference(
        pts=chat.box.pts if len(page) == len(newer) else page[-1].pts,
        new_messages=[render.message(call.me, chat, entry) for entry in page],
        other_updates=[],
        chats=[render.chat(call.centre, call.me, chat)],
        users=[render.user(call.centre, call.me, sender) for sender in {entry.sender for entry in page}],
        final=len(page) == len(newer),
        timeout=30,
    )
