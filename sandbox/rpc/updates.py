"""updates.*: the changes a client missed."""

from typing import Any

from telethon.tl import functions, types

from sandbox.rpc import render
from sandbox.rpc.call import Call, handles
from sandbox.state.boxes import Event
from sandbox.state.peers import Chat

MAX_DIFFERENCE = 100
TIMEOUT = 30


def _state(call: Call, pts: int) -> Any:
    return types.updates.State(pts=pts, qts=0, date=int(call.centre.now()), seq=0, unread_count=0)


@handles(functions.updates.GetStateRequest)
def get_state(call: Call, _request: Any) -> Any:
    """Return the state of the account's own box."""
    return _state(call, call.me.box.pts)


def _split(call: Call, events: list[Event], place: Chat | None) -> dict[str, Any]:
    entries = [event.message for event in events if event.kind == "new" and event.message is not None]
    other = [render.news(call.me, event, place) for event in events if event.kind != "new"]
    places = [place] if place is not None else []
    return {
        "new_messages": [render.message(call.me, entry) for entry in entries],
        "other_updates": other,
        **render.people(call.centre, call.me, entries, *places),
    }


@handles(functions.updates.GetDifferenceRequest)
def get_difference(call: Call, request: Any) -> Any:
    """Return the changes of basic groups and dialogs since a pts."""
    box = call.me.box
    events = box.since(request.pts)
    if events is None:
        return types.updates.DifferenceTooLong(pts=box.pts)
    page = events[:MAX_DIFFERENCE]
    if not page:
        return types.updates.DifferenceEmpty(date=int(call.centre.now()), seq=0)
    parts = _split(call, page, None)
    if len(page) < len(events):
        return types.updates.DifferenceSlice(
            new_encrypted_messages=[], intermediate_state=_state(call, page[-1].pts), **parts
        )
    return types.updates.Difference(new_encrypted_messages=[], state=_state(call, box.pts), **parts)


@handles(functions.updates.GetChannelDifferenceRequest)
def get_channel_difference(call: Call, request: Any) -> Any:
    """Return the changes of a channel since a pts."""
    chat = call.centre.channel_from(call.me, request.channel)
    events = chat.box.since(request.pts)
    if events is None:
        return _too_long(call, chat)
    page = events[: max(1, min(request.limit, MAX_DIFFERENCE))]
    if not page:
        return types.updates.ChannelDifferenceEmpty(pts=chat.box.pts, final=True, timeout=TIMEOUT)
    final = len(page) == len(events)
    return types.updates.ChannelDifference(
        pts=chat.box.pts if final else page[-1].pts, final=final, timeout=TIMEOUT, **_split(call, page, chat)
    )


def _too_long(call: Call, chat: Chat) -> Any:
    dialog = types.Dialog(
        peer=types.PeerChannel(chat.id),
        top_message=chat.box.last,
        read_inbox_max_id=0,
        read_outbox_max_id=0,
        unread_count=0,
        unread_mentions_count=0,
        unread_reactions_count=0,
        unread_poll_votes_count=0,
        notify_settings=types.PeerNotifySettings(),
        pts=chat.box.pts,
    )
    top = [chat.box.messages[chat.box.last]] if chat.box.last else []
    return types.updates.ChannelDifferenceTooLong(
        dialog=dialog,
        messages=[render.message(call.me, entry) for entry in top],
        final=True,
        timeout=TIMEOUT,
        **render.people(call.centre, call.me, top, chat),
    )
