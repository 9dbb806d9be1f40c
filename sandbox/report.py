"""The report of what happened in the sandbox, as plain values."""

from typing import Any

from sandbox.actions import Actions
from sandbox.state.boxes import Message
from sandbox.state.centre import Centre
from sandbox.state.peers import Chat


def message(entry: Message) -> dict[str, Any]:
    """Return one message. Optional fields are present only if they are set."""
    shown: dict[str, Any] = {
        "seq": entry.seq,
        "id": entry.id_for(entry.sender),
        "sender": entry.sender.name,
        "date": entry.date,
        "random_id": entry.random_id,
        "kind": entry.kind,
        "text": entry.text,
    }
    if entry.topic:
        shown["topic"] = entry.topic
    if entry.reply_to is not None:
        shown["reply_to"] = entry.reply_to.reply_to_msg_id
    if entry.grouped_id is not None:
        shown["grouped_id"] = entry.grouped_id
    if entry.edited:
        shown["edited"] = entry.edited
    if entry.forwarded is not None:
        shown["forwarded"] = True
    for flag in ("silent", "no_webpage", "from_schedule", "pinned"):
        if getattr(entry, flag):
            shown[flag] = True
    if entry.entities:
        shown["entities"] = len(entry.entities)
    return shown


def _messages(chat: Chat) -> dict[str, Any]:
    standing = [message(entry) for entry in chat.box.messages.values() if entry.action is None]
    return {"messages": standing, "deleted": chat.deleted}


def report(centre: Centre, actions: Actions, *, messages: bool = True) -> dict[str, Any]:
    """Return the whole report. Without `messages` each chat shows only their count."""
    ledger = centre.ledger
    return {
        "seed": centre.world.seed,
        "now": centre.now(),
        "chats": {
            chat.key: {
                "id": chat.id,
                "kind": chat.kind,
                "title": chat.title,
                "members": len(chat.members),
                "count": sum(entry.action is None for entry in chat.box.messages.values()),
                **(_messages(chat) if messages else {}),
            }
            for chat in centre.directory.by_key.values()
            if chat.kind != "private" or chat.box.next_id > 1
        },
        "accounts": {account.name: actions.state_of(account) for account in centre.directory.accounts.values()},
        "refused": list(ledger.refused),
        "floods": {name: count for name, count in ledger.floods.items() if count},
        "rpc": {method: dict(counts) for method, counts in ledger.rpc.items()},
        "dedup_hits": list(ledger.dedup_hits),
    }


def messages_after(centre: Centre, after: int, limit: int) -> dict[str, Any]:
    """Return up to `limit` messages with a `seq` above `after`, in order of arrival, each with its chat."""
    entries = centre.log[after : after + limit]
    return {
        "messages": [{"chat": entry.chat.key, **message(entry)} for entry in entries],
        "last": after + len(entries),
    }
