"""Accounts and chats while the world runs."""

from typing import Any

from sandbox.state.boxes import Box
from sandbox.world import AccountSpec, ChatSpec


class Account:
    """A Telegram user. `state` is one of active, banned, deactivated, frozen."""

    def __init__(self, spec: AccountSpec) -> None:
        self.name = spec.name
        self.id = spec.id
        self.phone = spec.phone
        self.first_name = spec.first_name
        self.username = spec.username
        self.state = spec.state
        self.box = Box()
        self.random_ids: dict[int, tuple[Any, int]] = {}  # random_id -> (chat, message id)
        self.sessions: set[Any] = set()  # the connected ones
        self.rendered: dict[int, bytes] = {}  # this user as each viewer sees it, ready to send

    def __repr__(self) -> str:
        return f"Account({self.name})"


class Chat:
    """A supergroup."""

    def __init__(self, spec: ChatSpec, members: list[Account]) -> None:
        self.key = spec.key
        self.id = spec.id
        self.kind = spec.kind
        self.title = spec.title
        self.username = spec.username
        self.members: dict[int, Account] = {member.id: member for member in members}
        self.box = Box()
        self.rendered: dict[int, bytes] = {}

    def __repr__(self) -> str:
        return f"Chat({self.key})"
