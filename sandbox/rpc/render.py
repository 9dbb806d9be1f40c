"""Accounts, chats and messages as TL objects, as one viewer sees them."""

import struct
from collections.abc import Iterable
from typing import Any

from telethon.tl import types

from sandbox.mtproto.session import encoded
from sandbox.state.boxes import Event, Message
from sandbox.state.centre import Centre
from sandbox.state.peers import Account, Chat, Member

MAX_RENDERED = 2_000
FOREVER = 2**31 - 1
ADMIN_RIGHTS = (
    "change_info",
    "post_messages",
    "edit_messages",
    "delete_messages",
    "ban_users",
    "invite_users",
    "pin_messages",
    "manage_topics",
    "other",
)


class Raw:
    """A serialised TL object that can be put into Telethon's own objects."""

    __slots__ = ("_data",)

    def __init__(self, data: bytes) -> None:
        self._data = data

    def _bytes(self) -> bytes:
        return self._data

    def __bytes__(self) -> bytes:
        return self._data


def user(centre: Centre, viewer: Account, account: Account) -> Raw:
    """Return a user. Only the user sees their own phone number."""
    data = account.rendered.get(viewer.id)
    if data is None:
        mine = account is viewer
        data = encoded(
            types.User(
                id=account.id,
                is_self=mine,
                access_hash=centre.access_hash(viewer, account.id),
                first_name=account.first_name,
                username=account.username,
                phone=account.phone if mine else None,
                deleted=account.state == "deactivated",
                premium=account.premium,
                status=types.UserStatusRecently(),
            )
        )
        _keep(account.rendered, viewer.id, data)
    return Raw(data)


def chat(centre: Centre, viewer: Account, place: Chat) -> Raw:
    """Return a channel of any kind, or a basic group."""
    data = place.rendered.get(viewer.id)
    if data is None:
        data = encoded(_channel(centre, viewer, place) if place.own_box else _group(centre, viewer, place))
        _keep(place.rendered, viewer.id, data)
    return Raw(data)


def _keep(rendered: dict[int, bytes], viewer_id: int, data: bytes) -> None:
    if len(rendered) >= MAX_RENDERED:
        rendered.clear()
    rendered[viewer_id] = data


def _channel(centre: Centre, viewer: Account, place: Chat) -> Any:
    if viewer.id in place.kicked:
        return types.ChannelForbidden(
            id=place.id,
            access_hash=centre.access_hash(viewer, place.id),
            title=place.title,
            megagroup=place.kind != "channel",
        )
    member = place.members.get(viewer.id)
    return types.Channel(
        id=place.id,
        title=place.title,
        photo=types.ChatPhotoEmpty(),
        date=0,
        broadcast=place.kind == "channel",
        megagroup=place.kind != "channel",
        forum=place.kind == "forum",
        left=member is None,
        noforwards=place.protected,
        join_request=place.join_request,
        slowmode_enabled=place.slow_mode > 0,
        access_hash=centre.access_hash(viewer, place.id),
        username=place.username,
        participants_count=len(place.members),
        default_banned_rights=banned_rights(place.default_banned, 0),
        **_role(member),
    )


def _group(centre: Centre, viewer: Account, place: Chat) -> Any:
    member = place.members.get(viewer.id)
    role = _role(member)
    role.pop("banned_rights", None)
    moved = place.moved_to
    return types.Chat(
        id=place.id,
        title=place.title,
        photo=types.ChatPhotoEmpty(),
        participants_count=len(place.members),
        date=0,
        version=1,
        left=member is None,
        noforwards=place.protected,
        deactivated=moved is not None,
        migrated_to=types.InputChannel(moved.id, centre.access_hash(viewer, moved.id)) if moved else None,
        default_banned_rights=banned_rights(place.default_banned, 0),
        **role,
    )


def _role(member: Member | None) -> dict[str, Any]:
    if member is None:
        return {}
    return {
        "creator": member.role == "creator",
        "admin_rights": admin_rights() if member.admin else None,
        "banned_rights": banned_rights(member.banned, FOREVER) if member.banned else None,
    }


def admin_rights() -> Any:
    """Return the rights that every admin has."""
    return types.ChatAdminRights(**dict.fromkeys(ADMIN_RIGHTS, True))


def banned_rights(banned: frozenset[str], until: int) -> Any:
    """Return the rights that were taken away, until a Unix time (0: for ever)."""
    return types.ChatBannedRights(until_date=until, **dict.fromkeys(banned, True))


def peer(viewer: Account, place: Chat) -> Any:
    """Return the peer by which a viewer knows a chat."""
    if place.own_box:
        return types.PeerChannel(place.id)
    if place.kind == "group":
        return types.PeerChat(place.id)
    others = [member.account.id for member in place.members.values() if member.account is not viewer]
    return types.PeerUser(others[0] if others else viewer.id)


def message(viewer: Account, entry: Message) -> Any:
    """Return a message, or a service message if it has an action."""
    place = entry.chat
    broadcast = place.kind == "channel"
    if entry.action is not None:
        return types.MessageService(
            id=entry.id_for(viewer),
            peer_id=peer(viewer, place),
            date=int(entry.date),
            out=entry.sender is viewer,
            from_id=types.PeerUser(entry.sender.id),
            action=entry.action,
        )
    return types.Message(
        id=entry.id_for(viewer),
        peer_id=peer(viewer, place),
        date=int(entry.date),
        message=entry.text,
        out=entry.sender is viewer and len(place.members) != 1,
        silent=entry.silent,
        post=broadcast,
        noforwards=place.protected,
        from_scheduled=entry.from_schedule,
        pinned=entry.pinned,
        from_id=None if broadcast else types.PeerUser(entry.sender.id),
        views=1 if broadcast else None,
        forwards=0 if broadcast else None,
        entities=entry.entities,
        media=entry.media,
        reply_to=entry.reply_to,
        fwd_from=entry.forwarded,
        grouped_id=entry.grouped_id,
        edit_date=int(entry.edited) or None,
    )


def accounts_in(entries: Iterable[Message]) -> list[Account]:
    """Return the senders of these messages and the members of their dialogs."""
    found: dict[int, Account] = {}
    for entry in entries:
        found[entry.sender.id] = entry.sender
        if entry.chat.kind == "private":
            found.update({member.account.id: member.account for member in entry.chat.members.values()})
    return list(found.values())


def chats_in(entries: Iterable[Message]) -> list[Chat]:
    """Return the chats of these messages, without dialogs."""
    found = {entry.chat.id: entry.chat for entry in entries if entry.chat.kind != "private"}
    return list(found.values())


def news(viewer: Account, event: Event, place: Chat | None, *, repeated: bool = False) -> Any:
    """Return a change as an update. `place` is the channel it belongs to, None for the viewer's own box."""
    count = 0 if repeated else max(1, len(event.ids))
    if event.message is None:
        if place is not None:
            return types.UpdateDeleteChannelMessages(place.id, list(event.ids), event.pts, count)
        return types.UpdateDeleteMessages(list(event.ids), event.pts, count)
    shown = message(viewer, event.message)
    if event.kind == "edit":
        kind = types.UpdateEditMessage if place is None else types.UpdateEditChannelMessage
    else:
        kind = types.UpdateNewMessage if place is None else types.UpdateNewChannelMessage
    return kind(shown, event.pts, count)


def updates(centre: Centre, viewer: Account, changes: list[Any], entries: list[Message], place: Chat) -> bytes:
    """Return serialised Updates with changes of one chat."""
    chats = [] if place.kind == "private" else [chat(centre, viewer, place)]
    users = [user(centre, viewer, account) for account in accounts_in(entries)]
    return b"".join(
        (
            b"\x40\x42\xae\x74",
            _vector(changes),
            _vector(users),
            _vector(chats),
            struct.pack("<ii", int(centre.now()), 0),
        )
    )


def _vector(items: list[Any]) -> bytes:
    return struct.pack("<Ii", 0x1CB5C415, len(items)) + b"".join([item._bytes() for item in items])  # noqa: SLF001  # TL objects write themselves this way


def people(centre: Centre, viewer: Account, entries: Iterable[Message], *places: Chat) -> dict[str, Any]:
    """Return the `chats` and `users` that accompany messages."""
    entries = list(entries)
    chats = {place.id: place for place in (*chats_in(entries), *places) if place.kind != "private"}
    return {
        "chats": [chat(centre, viewer, place) for place in chats.values()],
        "users": [user(centre, viewer, account) for account in accounts_in(entries)],
    }
