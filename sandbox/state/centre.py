"""The state that the data centres of a running world share."""

import asyncio
import time
from collections.abc import Callable
from hashlib import blake2b
from typing import Any, Protocol

from telethon.tl import types

from sandbox.errors import RpcError
from sandbox.ledger import Ledger
from sandbox.limits import Limits
from sandbox.rules import RuleError, Rules
from sandbox.state.boxes import Message
from sandbox.state.files import Files
from sandbox.state.keyring import Keyring
from sandbox.state.peers import Account, Chat, Directory, Member, Topic
from sandbox.world import DC_IDS, ChatSpec, World


class Unknown(LookupError):
    """There is no account or chat of that name."""


class Clock(Protocol):
    """The sandbox's source of time."""

    def time(self) -> float:
        """Return Unix seconds."""
        ...

    def monotonic(self) -> float:
        """Return seconds that never jump."""
        ...


class Centre:
    """The running world: accounts, chats, keys, files, limits, rules and the ledger."""

    def __init__(self, world: World, *, clock: Clock = time) -> None:
        self.world = world
        self.clock = clock
        self.dc_id = DC_IDS[0]
        self.addresses: dict[int, tuple[str, int]] = {}
        self.directory = Directory()
        self.keys = Keyring(world.seed, self.now)
        self.files = Files(world.seed)
        self.ledger = Ledger()
        self.limits = Limits(clock.monotonic, on=world.limits == "realistic")
        self.rules = Rules(world.seed)
        self.seq = 0
        self.log: list[Message] = []  # every delivered message, in order of arrival
        self.arrived = asyncio.Event()
        self.listening: set[Account] = set()  # accounts that may have a session that wants updates
        self.on_delivered: list[Callable[[Account], None]] = []
        for account_spec in world.accounts:
            self.directory.add_account(Account(account_spec))
        for chat_spec in world.chats:
            self.directory.add_chat(self._chat(chat_spec))
        for account in self.directory.accounts.values():
            self.keys.derived_login(account)
        for position, raw in enumerate(world.faults):
            try:
                self.rules.add(raw)
            except RuleError as error:
                raise RuleError(f"faults[{position}]: {error}") from error

    def _chat(self, spec: ChatSpec) -> Chat:
        members = [
            Member(
                self.directory.accounts[name],
                role="creator" if name == spec.creator else "admin" if name in spec.admins else "member",
                banned=frozenset(spec.banned.get(name, ())),
            )
            for name in spec.members
        ]
        chat = Chat(spec, members)
        chat.kicked = {self.directory.accounts[name].id for name in spec.kicked}
        if spec.kind == "forum":
            self._topics(chat, [*spec.topics, *spec.closed_topics], set(spec.closed_topics))
        return chat

    def _topics(self, chat: Chat, titles: list[str], closed: set[str]) -> None:
        chat.topics[1] = Topic(1, "General", None, self.now())
        creator = next(iter(chat.members.values())).account if chat.members else None
        chat.box.next_id = 2  # id 1 belongs to General
        for title in titles if creator else ():
            action = types.MessageActionTopicCreate(title=title, icon_color=0x6FB9F0)
            entry = Message(chat, creator, self.now(), kind="service", action=action)  # type: ignore[arg-type]  # titles is empty without a creator
            entry.id = chat.box.add(entry)
            chat.topics[entry.id] = Topic(entry.id, title, creator, self.now(), closed=title in closed)

    # --- time

    def now(self) -> float:
        """Return Unix seconds."""
        return self.clock.time()

    def monotonic(self) -> float:
        """Return seconds that never jump."""
        return self.clock.monotonic()

    # --- finding accounts and chats

    def account(self, name: str) -> Account:
        """Return an account by name. Raises Unknown."""
        try:
            return self.directory.accounts[name]
        except KeyError:
            raise Unknown(f"no account {name!r} in this world") from None

    def chat(self, key: str) -> Chat:
        """Return a chat by key. Raises Unknown."""
        try:
            return self.directory.by_key[key]
        except KeyError:
            raise Unknown(f"no chat {key!r} in this world") from None

    def access_hash(self, viewer: Account, peer_id: int) -> int:
        """Return the access hash of a peer for one viewer. It differs for each, so hashes cannot be shared."""
        digest = blake2b(b"%d/%d/%d" % (self.world.seed, viewer.id, peer_id), digest_size=8).digest()
        return int.from_bytes(digest, "little", signed=True)

    def dialog(self, one: Account, other: Account) -> Chat:
        """Return the dialog of two accounts, or of one with itself. It is created on first use."""
        names = sorted((one.name, other.name))
        key = f"saved:{one.name}" if one is other else f"private:{names[0]}:{names[1]}"
        chat = self.directory.by_key.get(key)
        if chat is None:
            members = {account.id: Member(account) for account in (one, other)}
            chat = Chat(ChatSpec(key=key, title=key, kind="private"), list(members.values()))
            self.directory.by_key[key] = chat
        return chat

    def channel_from(self, viewer: Account, peer: Any) -> Chat:
        """Return the channel that an InputChannel or InputPeerChannel names. Raises RpcError."""
        chat = self.directory.chats.get(getattr(peer, "channel_id", 0))
        if chat is None or not chat.own_box or peer.access_hash != self.access_hash(viewer, chat.id):
            raise RpcError("CHANNEL_INVALID")
        if viewer.id in chat.kicked or (chat.username is None and viewer.id not in chat.members):
            raise RpcError("CHANNEL_PRIVATE")
        return chat

    def group_from(self, viewer: Account, chat_id: int) -> Chat:
        """Return a basic group. It has no access hash, but only members see it. Raises RpcError."""
        chat = self.directory.chats.get(chat_id)
        if chat is None or chat.kind != "group" or viewer.id not in chat.members:
            raise RpcError("CHAT_ID_INVALID")
        return chat

    def chat_from(self, viewer: Account, peer: Any) -> Chat:
        """Return the chat that an InputPeer names. Raises RpcError."""
        if isinstance(peer, types.InputPeerChannel):
            return self.channel_from(viewer, peer)
        if isinstance(peer, types.InputPeerChat):
            group = self.group_from(viewer, peer.chat_id)
            if group.moved_to is not None:
                raise RpcError("CHAT_ID_INVALID")
            return group
        return self.dialog(viewer, self.user_from(viewer, peer))

    def user_from(self, viewer: Account, peer: Any) -> Account:
        """Return the user that an InputUser or InputPeer names. Raises RpcError."""
        if isinstance(peer, types.InputUserSelf | types.InputPeerSelf):
            return viewer
        account = self.directory.by_id.get(getattr(peer, "user_id", 0))
        if account is not viewer and (account is None or peer.access_hash != self.access_hash(viewer, account.id)):
            raise RpcError("USER_ID_INVALID" if isinstance(peer, types.InputUser) else "PEER_ID_INVALID")
        return account

    def name_of(self, viewer: Account | None, peer: Any) -> str:
        """Return the chat key that rules and the report use for a peer, "" if there is no such peer."""
        chat = self.directory.chats.get(getattr(peer, "channel_id", 0) or getattr(peer, "chat_id", 0))
        if chat is not None:
            return chat.key
        user = self.directory.by_id.get(getattr(peer, "user_id", 0))
        if isinstance(peer, types.InputPeerSelf):
            user = viewer
        return self.dialog(viewer, user).key if viewer is not None and user is not None else ""

    # --- messages

    def place(self, message: Message) -> None:
        """Put a message into its chat. `rpc.news` tells the members."""
        chat, sender = message.chat, message.sender
        self.seq += 1
        message.seq = self.seq
        message.id = chat.box.add(message)
        if not chat.own_box:
            members = [member.account for member in chat.members.values()]
            message.ids = {account.id: account.box.add(message) for account in members}
        if message.random_id:
            sender.random_ids[message.random_id] = (message, self.monotonic())
        if message.kind == "service":
            return
        if message.topic in chat.topics:
            chat.topics[message.topic].top_message = message.id
        self.log.append(message)
        self.ledger.sends[sender.name] += 1
        self.arrived.set()
        self.arrived = asyncio.Event()
        for callback in self.on_delivered:
            callback(sender)
