"""Accounts, chats and messages as TL objects, each as one viewer sees it."""

import struct
from typing import Any

from telethon.tl import types

from sandbox.mtproto.session import encoded
from sandbox.state.boxes import Message
from sandbox.state.centre import Centre
from sandbox.state.peers import Account, Chat

MAX_RENDERED = 2_000


class Raw:
    """An object that is already bytes; Telethon's own objects take it for one of theirs."""

    __slots__ = ("_data",)

    def __init__(self, data: bytes) -> None:
        self._data = data

    def _bytes(self) -> bytes:
        return self._data

    def __bytes__(self) -> bytes:
        return self._data


def user(centre: Centre, viewer: Account, account: Account) -> Raw:
    """A user; one's own phone number is shown to oneself only."""
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
                status=types.UserStatusRecently(),
            )
        )
        _keep(account.rendered, viewer.id, data)
    return Raw(data)


def chat(centre: Centre, viewer: Account, channel: Chat) -> Raw:
    """A supergroup."""
    data = channel.rendered.get(viewer.id)
    if data is None:
        data = encoded(
            types.Channel(
                id=channel.id,
                title=channel.title,
                photo=types.ChatPhotoEmpty(),
                date=0,
                megagroup=True,
                left=viewer.id not in channel.members,
                access_hash=centre.access_hash(viewer, channel.id),
                username=channel.username,
                participants_count=len(channel.members),
                default_banned_rights=types.ChatBannedRights(until_date=0),
            )
        )
        _keep(channel.rendered, viewer.id, data)
    return Raw(data)


def _keep(rendered: dict[int, bytes], viewer_id: int, data: bytes) -> None:
    if len(rendered) >= MAX_RENDERED:
        rendered.clear()
    rendered[viewer_id] = data


def message(viewer: Account, channel: Chat, entry: Message) -> Any:
    """A message."""
    return types.Message(
        id=entry.id,
        peer_id=types.PeerChannel(channel.id),
        date=int(entry.date),
        message=entry.text,
        out=entry.sender is viewer,
        silent=entry.silent,
        from_id=types.PeerUser(entry.sender.id),
        entities=entry.entities,
    )


def updates(centre: Centre, viewer: Account, news: list[Any], accounts: list[Account], chats: list[Chat]) -> bytes:
    """An Updates object around some news."""
    return b"".join(
        (
            b"\x40\x42\xae\x74",
            _vector(news),
            _vector([user(centre, viewer, account) for account in accounts]),
            _vector([chat(centre, viewer, channel) for channel in chats]),
            struct.pack("<ii", int(centre.now()), 0),
        )
    )


def _vector(items: list[Any]) -> bytes:
    return struct.pack("<Ii", 0x1CB5C415, len(items)) + b"".join(bytes(item) for item in items)
