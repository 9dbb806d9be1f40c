"""The accounts and chats of a running world."""

from dataclasses import dataclass, field
from typing import Any

from sandbox.srp import Verifier
from sandbox.state.boxes import Box, Message
from sandbox.world import CHANNEL_KINDS, AccountSpec, ChatSpec


class Account:
    """A Telegram user. `state` is active, banned, deactivated or frozen."""

    def __init__(self, spec: AccountSpec) -> None:
        self.name = spec.name
        self.id = spec.id
        self.phone = spec.phone
        self.first_name = spec.first_name
        self.username = spec.username
        self._password = spec.password
        self.premium = spec.premium
        self.dc_id = spec.dc
        self.state = spec.state
        self.box = Box()
        self.random_ids: dict[int, tuple[Message, float]] = {}  # random_id -> message and when it was sent
        self.uploads: dict[int, dict[int, bytes]] = {}  # file id -> part number -> bytes
        self.sessions: set[Any] = set()  # the connected ones
        self.blocked: set[int] = set()  # ids of the accounts this user has blocked
        self.rendered: dict[int, bytes] = {}  # viewer id -> this user as that viewer sees it, serialised
        self._verifier: Verifier | None = None

    @property
    def verifier(self) -> Verifier | None:
        """Return what checks the password, None if there is no password."""
        if self._password is not None:  # created on first use because it takes a tenth of a second
            self._verifier, self._password = Verifier.from_password(self._password), None
        return self._verifier

    @verifier.setter
    def verifier(self, verifier: Verifier | None) -> None:
        self._verifier, self._password = verifier, None

    @property
    def has_password(self) -> bool:
        """Return whether the account has a password."""
        return self._password is not None or self._verifier is not None

    def __repr__(self) -> str:
        return f"Account({self.name})"


@dataclass(slots=True)
class Member:
    """An account in a chat. `banned` names the rights that were taken from it."""

    account: Account
    role: str = "member"
    banned: frozenset[str] = frozenset()
    last_sent: float = float("-inf")

    @property
    def admin(self) -> bool:
        """Return whether this is an admin or the creator. Slow mode and default rights do not apply to them."""
        return self.role != "member"


@dataclass(slots=True)
class Topic:
    """A topic of a forum. Its id is that of the message that created it, 1 for "General"."""

    id: int
    title: str
    creator: Account | None
    date: float
    closed: bool = False
    hidden: bool = False
    top_message: int = 0


@dataclass(slots=True)
class Scheduled:
    """A scheduled message. Cancelling `handle` stops it from being sent."""

    message: Message
    handle: Any = None


class Chat:
    """A supergroup, forum, broadcast channel or basic group, or the dialog of two accounts or of one with itself."""

    def __init__(self, spec: ChatSpec, members: list[Member]) -> None:
        self.key = spec.key
        self.id = spec.id
        self.kind = spec.kind
        self.title = spec.title
        self.username = spec.username
        self.about = spec.about
        self.invite = spec.invite
        self.join_request = spec.join_request
        self.protected = spec.protected
        self.slow_mode = spec.slow_mode
        self.default_banned = frozenset(spec.default_banned)
        self.deletes_after = spec.deletes_after
        self.deletes_matching = spec.deletes_matching
        self.members: dict[int, Member] = {member.account.id: member for member in members}
        self.kicked: set[int] = set()
        self.requests: list[Account] = []
        self.topics: dict[int, Topic] = {}
        self.box = Box()  # in basic groups and dialogs only the report reads it, because ids differ by account
        self.read: dict[int, int] = {}  # account id -> id of the newest message it has read
        self.scheduled: dict[int, Scheduled] = {}
        self.next_scheduled = 1
        self.deleted: list[dict[str, Any]] = []
        self.rendered: dict[int, bytes] = {}
        self.moved_to: Chat | None = None  # the supergroup a basic group became

    @property
    def own_box(self) -> bool:
        """Return whether the chat numbers its own messages. In basic groups and dialogs each account numbers them."""
        return self.kind in CHANNEL_KINDS

    def box_of(self, viewer: Account) -> Box:
        """Return the box in which a viewer finds this chat's messages."""
        return self.box if self.own_box else viewer.box

    def messages_of(self, viewer: Account) -> list[tuple[int, Message]]:
        """Return the chat's messages, newest first, each with the id by which the viewer knows it."""
        if self.own_box:
            return [(number, self.box.messages[number]) for number in reversed(self.box.messages)]
        return [(number, entry) for number, entry in reversed(viewer.box.messages.items()) if entry.chat is self]

    def changed(self) -> None:
        """Drop the serialised views of the chat."""
        self.rendered.clear()

    def __repr__(self) -> str:
        return f"Chat({self.key})"


@dataclass
class Directory:
    """Accounts and chats by name, id, phone number, username and invite link."""

    accounts: dict[str, Account] = field(default_factory=dict)
    by_id: dict[int, Account] = field(default_factory=dict)
    by_phone: dict[str, Account] = field(default_factory=dict)
    chats: dict[int, Chat] = field(default_factory=dict)
    by_key: dict[str, Chat] = field(default_factory=dict)
    by_invite: dict[str, Chat] = field(default_factory=dict)
    usernames: dict[str, Account | Chat] = field(default_factory=dict)

    def add_account(self, account: Account) -> None:
        """Add an account."""
        self.accounts[account.name] = account
        self.by_id[account.id] = account
        self.by_phone[account.phone] = account
        if account.username:
            self.usernames[account.username.lower()] = account

    def rename(self, peer: Account | Chat, username: str | None) -> None:
        """Change or remove a peer's username."""
        if peer.username:
            self.usernames.pop(peer.username.lower(), None)
        peer.username = username
        if username:
            self.usernames[username.lower()] = peer
        peer.rendered.clear()

    def add_chat(self, chat: Chat) -> None:
        """Add a chat."""
        self.chats[chat.id] = chat
        self.by_key[chat.key] = chat
        if chat.username:
            self.usernames[chat.username.lower()] = chat
        if chat.invite:
            self.by_invite[chat.invite] = chat
