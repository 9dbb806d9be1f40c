"""Everything a data centre knows while it runs."""

import asyncio
import time
from collections.abc import Callable
from hashlib import blake2b
from typing import Any

from sandbox.errors import RpcError
from sandbox.keys import auth_key_id, derived_auth_key
from sandbox.ledger import Ledger
from sandbox.mtproto.envelope import Key
from sandbox.mtproto.layer import Login
from sandbox.rules import Rules
from sandbox.state.boxes import Message
from sandbox.state.peers import Account, Chat
from sandbox.world import World


class Unknown(LookupError):
    """No account or chat of that name."""


class Centre:
    """The running world: accounts, chats, logins, rules and the ledger."""

    def __init__(self, world: World, *, dc_id: int = 2) -> None:
        self.world = world
        self.dc_id = dc_id
        self.address = ("127.0.0.1", 0)
        self.accounts = {spec.name: Account(spec) for spec in world.accounts}
        self.accounts_by_id = {account.id: account for account in self.accounts.values()}
        self.chats: dict[int, Chat] = {}
        for spec in world.chats:
            chat = Chat(spec, [self.accounts[name] for name in spec.members])
            self.chats[chat.id] = chat
        peers: list[Account | Chat] = [*self.accounts.values(), *self.chats.values()]
        self.usernames = {peer.username.lower(): peer for peer in peers if peer.username}
        self.logins: dict[int, Login] = {}
        for account in self.accounts.values():
            self.ready_login(account)
        self.ledger = Ledger()
        self.rules = Rules(world.seed)
        for raw in world.faults:
            self.rules.add(raw)
        self.seq = 0
        self.log: list[tuple[Chat, Message]] = []  # every message ever delivered, in order of arrival
        self.arrived = asyncio.Event()
        self.on_delivered: list[Callable[[Account], None]] = []

    # --- who

    def account(self, name: str) -> Account:
        """An account by name. Raises Unknown."""
        try:
            return self.accounts[name]
        except KeyError:
            raise Unknown(f"no account {name!r} in this world") from None

    def ready_login(self, account: Account, number: int = 0) -> Login:
        """The login whose key comes from the seed, made known on first use."""
        key = derived_auth_key(self.world.seed, account.name, number)
        key_id = auth_key_id(key)
        login = self.logins.get(key_id)
        if login is None:
            login = self.logins[key_id] = Login(Key(key, key_id), account, number)
        return login

    def access_hash(self, viewer: Account, peer_id: int) -> int:
        """What `viewer` must show to speak to a peer; differs for each viewer, so hashes cannot be shared."""
        digest = blake2b(f"{self.world.seed}/{viewer.id}/{peer_id}".encode(), digest_size=8).digest()
        return int.from_bytes(digest, "little", signed=True)

    # --- what is meant by an input peer

    def chat_from(self, viewer: Account, peer: Any) -> Chat:
        """The chat an InputPeerChannel or InputChannel means. Raises RpcError."""
        chat = self.chats.get(getattr(peer, "channel_id", 0))
        if chat is None or peer.access_hash != self.access_hash(viewer, chat.id):
            raise RpcError("CHANNEL_INVALID")
        return chat

    def user_from(self, viewer: Account, peer: Any) -> Account:
        """The user an InputPeerUser or InputUser means. Raises RpcError."""
        if type(peer).__name__ in {"InputUserSelf", "InputPeerSelf"}:
            return viewer
        account = self.accounts_by_id.get(getattr(peer, "user_id", 0))
        if account is None:
            raise RpcError("USER_ID_INVALID" if type(peer).__name__ == "InputUser" else "PEER_ID_INVALID")
        if account is not viewer and peer.access_hash != self.access_hash(viewer, account.id):
            raise RpcError("PEER_ID_INVALID")
        return account

    def peer_name(self, peer: Any) -> str:
        """What rules and the report call a peer; "" if it is none of ours."""
        channel = self.chats.get(getattr(peer, "channel_id", 0))
        if channel is not None:
            return channel.key
        user = self.accounts_by_id.get(getattr(peer, "user_id", 0))
        return user.name if user is not None else ""

    # --- what happens

    @staticmethod
    def now() -> float:
        """Unix seconds."""
        return time.time()

    def deliver(self, chat: Chat, sender: Account, message: Message) -> Message:
        """Put a message into a chat and tell everybody who follows."""
        self.seq += 1
        message.seq = self.seq
        chat.box.add(message)
        self.log.append((chat, message))
        if message.random_id:
            sender.random_ids[message.random_id] = (chat, message.id)
        self.ledger.sends[sender.name] += 1
        self.arrived.set()
        self.arrived = asyncio.Event()
        for told in self.on_delivered:
            told(sender)
        return message
