"""New, edited and deleted messages, and the updates that tell the members about them."""

import asyncio
import re
from typing import Any

from sandbox.mtproto.session import Session
from sandbox.rpc import render
from sandbox.state.boxes import Event, Message
from sandbox.state.centre import Centre
from sandbox.state.peers import Account, Chat


def deliver(centre: Centre, entry: Message, session: Session | None = None) -> Event:
    """Deliver a message and tell the members' sessions except `session`. Return the sender's event."""
    centre.place(entry)
    for account in _listeners(centre, entry.chat):
        event = Event(entry.chat.box_of(account).pts, "new", entry)
        _tell(centre, account, entry.chat, event, session)
    _watch(centre, entry)
    return Event(entry.chat.box_of(entry.sender).pts, "new", entry)


def edited(centre: Centre, entry: Message, session: Session | None = None) -> Event:
    """Tell the members' sessions except `session` that a message changed. Return the sender's event."""
    if entry.chat.own_box:
        entry.chat.box.edited(entry)
    for member in entry.chat.members.values():
        if not entry.chat.own_box:
            member.account.box.edited(entry)
        event = Event(entry.chat.box_of(member.account).pts, "edit", entry)
        _tell(centre, member.account, entry.chat, event, session)
    return Event(entry.chat.box_of(entry.sender).pts, "edit", entry)


def removed(centre: Centre, entries: list[Message], by: str, session: Session | None = None) -> None:
    """Delete messages of one chat for everybody, and tell the members' sessions except `session`."""
    if not entries:
        return
    chat = entries[0].chat
    chat.box.remove([entry.id for entry in entries])
    now = centre.now()
    chat.deleted += [{"id": entry.id_for(entry.sender), "seq": entry.seq, "by": by, "date": now} for entry in entries]
    for member in chat.members.values():
        ids = [entry.id_for(member.account) for entry in entries]
        box = chat.box_of(member.account)
        if not chat.own_box:
            box.remove(ids)
        _tell(centre, member.account, chat, Event(box.pts, "delete", None, tuple(ids)), session)


def _listeners(centre: Centre, chat: Chat) -> list[Account]:
    """Return the members that may want updates."""
    # Large chats have many members, and few of them listen: go through the shorter list.
    if len(centre.listening) < len(chat.members):
        return [account for account in centre.listening if account.id in chat.members]
    return [member.account for member in chat.members.values() if member.account in centre.listening]


def _tell(centre: Centre, account: Account, chat: Chat, event: Event, session: Session | None) -> None:
    wanting = [other for other in account.sessions if other.updates]
    if not wanting:
        centre.listening.discard(account)
    listeners = [other for other in wanting if other is not session]
    if not listeners or account.state not in {"active", "frozen"}:
        return
    change = render.news(account, event, chat if chat.own_box else None)
    entries = [event.message] if event.message is not None else []
    data = render.updates(centre, account, [change], entries, chat)
    for listener in listeners:
        listener.put(data, content=True, answer=False)


def _watch(centre: Centre, entry: Message) -> None:
    """Let the chat's moderating bot, if it has one, delete a member's post later."""
    chat = entry.chat
    member = chat.members.get(entry.sender.id)
    if chat.deletes_after is None or (member is not None and member.admin):
        return
    if re.search(chat.deletes_matching, entry.text):
        loop = asyncio.get_running_loop()
        loop.call_later(chat.deletes_after, _moderate, centre, entry)


def _moderate(centre: Centre, entry: Message) -> None:
    if entry.id in entry.chat.box.messages:
        removed(centre, [entry], by="moderator")


def answer(centre: Centre, viewer: Account, changes: list[Any], entries: list[Message], chat: Chat) -> render.Raw:
    """Return the Updates that answer the caller."""
    return render.Raw(render.updates(centre, viewer, changes, entries, chat))
