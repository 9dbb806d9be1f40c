"""What the sandbox says happened, as plain values."""

from typing import Any

from sandbox.actions import Actions
from sandbox.state.boxes import Message
from sandbox.state.centre import Centre


def message(entry: Message) -> dict[str, Any]:
    """One message."""
    return {
        "seq": entry.seq,
        "id": entry.id,
        "sender": entry.sender.name,
        "date": entry.date,
        "random_id": entry.random_id,
        "text": entry.text,
    }


def report(centre: Centre, actions: Actions) -> dict[str, Any]:
    """The whole report."""
    ledger = centre.ledger
    return {
        "seed": centre.world.seed,
        "now": centre.now(),
        "chats": {
            chat.key: {
                "id": chat.id,
                "kind": chat.kind,
                "title": chat.title,
                "messages": [message(entry) for entry in chat.box.messages.values()],
            }
            for chat in centre.chats.values()
        },
        "accounts": {account.name: actions.state_of(account) for account in centre.accounts.values()},
        "refused": list(ledger.refused),
        "floods": {name: count for name, count in ledger.floods.items() if count},
        "rpc": {method: dict(counts) for method, counts in ledger.rpc.items()},
        "dedup_hits": list(ledger.dedup_hits),
    }


def messages_after(centre: Centre, after: int, limit: int) -> dict[str, Any]:
    """Messages in order of arrival since a seq, each with its chat."""
    entries = centre.log[after : after + limit]
    return {
        "messages": [{"chat": chat.key, **message(entry)} for chat, entry in entries],
        "last": after + len(entries),
    }
