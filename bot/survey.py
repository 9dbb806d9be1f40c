"""Looking before posting: what Telegram says about a user's groups, account by account.

Bounded: one connection an account, its chats a hundred a call, and at most `MOST_QUESTIONS` calls about single chats
besides. What is the same for everybody (slow mode, topics) is asked once, by whichever account comes first. What was
learnt is kept, so that the cycle that follows has nothing left to look up.
"""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from telethon import utils
from telethon.errors import RPCError
from telethon.tl.functions.messages import GetForumTopicsByIDRequest
from telethon.tl.types import Channel, ForumTopic

from bot.compose_content import SAVED, Post
from bot.compose_media import Call
from bot.compose_rights import is_exempt
from bot.compose_send import SourceUnavailable, find_source
from bot.dialogs import OwnChats
from bot.peers import KnownPeer
from bot.reactions import Action, Reaction, Scope, reaction_to
from bot.run import BotParts
from bot.targets import Target, TargetKind, parse_message_link
from core.errors import InvalidInput, PostfleetError
from core.models import PostType, SessionState, User
from sessions.client import PostingClient
from sessions.recognition import recognised

MOST_QUESTIONS = 40
WITHIN_SECONDS = 20.0
"""An account that takes longer is told of as it is known so far."""
_FORWARDS = frozenset({PostType.FORWARD, PostType.COPY})


@dataclass
class AccountView:
    """What one account sees."""

    session: str
    premium: bool | None = None
    chats: dict[str, Any] = field(default_factory=dict)
    """`Target.chat` → Telethon's Channel or Chat as this account was given it."""
    absent: dict[str, str] = field(default_factory=dict)
    """`Target.chat` → why the account cannot see it."""
    source_missing: str | None = None
    """Why it cannot see the message to forward."""
    trouble: str | None = None
    """Why it could not be asked (any further)."""


@dataclass
class Survey:
    """What all of them see together."""

    views: dict[str, AccountView] = field(default_factory=dict)
    slow_modes: dict[str, float] = field(default_factory=dict)
    """`Target.chat` → seconds, for who is no administrator."""
    closed_topics: dict[str, dict[int, bool | None]] = field(default_factory=lambda: defaultdict(dict))
    """`Target.chat` → topic → whether it is closed; None: there is no such topic."""
    source_problem: str | None = None
    """The message to forward is gone, or protected."""
    asked_for: set[tuple[str, str]] = field(default_factory=set)


async def survey(parts: BotParts, user: User, post: Post, targets: Sequence[Target]) -> Survey:
    """Ask every account of the user that can be asked, side by side. Nothing is posted; never raises for Telegram."""
    found = Survey()
    async with asyncio.TaskGroup() as group:
        for session in user.assigned_sessions:
            view = found.views[session] = AccountView(session)
            group.create_task(_Look(parts, found, view, post, targets).look(), name=f"survey by {session}")
    return found


class _Look:
    """One account's part."""

    def __init__(
        self, parts: BotParts, found: Survey, view: AccountView, post: Post, targets: Sequence[Target]
    ) -> None:
        self._parts = parts
        self._found = found
        self._view = view
        self._post = post
        self._targets = targets
        self._left = MOST_QUESTIONS

    async def look(self) -> None:
        session = self._parts.store.snapshot.sessions.get(self._view.session)
        if session is None or session.state is not SessionState.READY or session.api_id is None:
            self._view.trouble = "it is not ready to be asked"
            return
        if self._parts.clients.at_work(self._view.session):
            self._view.trouble = "it is posting just now; this is what is known of it"
            self._from_memory()
            return
        try:
            async with asyncio.timeout(WITHIN_SECONDS):
                connection = recognised(self._parts.clients, self._parts.sessions, self._view.session, session.api_id)
                async with connection as client:
                    await self._ask(client)
        except PostfleetError as error:
            self._view.trouble = error.for_users
        except Exception as error:  # noqa: BLE001  the table says what it means; a survey itself never fails
            await self._trouble(reaction_to(error))

    async def _trouble(self, reaction: Reaction) -> None:
        """Waits Telegram asks for are kept; everything else is left to the cycle, which will meet it too."""
        self._view.trouble = reaction.explanation
        self._from_memory()
        if reaction.scope is Scope.ACCOUNT and reaction.action is Action.HOLD and reaction.hold_seconds:
            until = self._parts.clock.now() + timedelta(seconds=reaction.hold_seconds)
            await self._parts.sessions.hold(self._view.session, until, reaction.code, reaction.explanation)

    def _from_memory(self) -> None:
        for target in self._targets:
            chat = self._parts.peers.description(self._view.session, target.chat)
            if chat is not None:
                self._view.chats.setdefault(target.chat, chat)

    async def _ask(self, client: PostingClient) -> None:
        within = self._parts.settings.send_timeout_seconds

        async def call(request: Any) -> Any:
            return await client.call(request, within)

        self._view.premium = bool((await client.get_me()).premium)
        own = await OwnChats.read(call, self._targets)
        for target in self._targets:
            await self._one(client, own, target)
        await self._slow_modes(client)
        await self._topics(call)
        if self._post.type in _FORWARDS:
            await self._source(client, call)
        await self._keep()

    async def _one(self, client: PostingClient, own: OwnChats, target: Target) -> None:
        """See the chat, or say why not."""
        if target.chat in self._view.chats or target.chat in self._view.absent:
            return  # another topic of it
        chat = own.find(target)
        asked_for_alone = target.kind is TargetKind.INVITE or target.basic_group_id is not None
        if chat is None and (asked_for_alone or not own.complete) and self._may_ask():
            try:
                chat = await self._parts.peers.chat(client, target.chat)
            except RPCError as error:
                reaction = reaction_to(error)
                if reaction.scope is not Scope.GROUP:
                    raise
                self._view.absent[target.chat] = reaction.explanation
                return
        if chat is not None:
            self._view.chats[target.chat] = chat
            self._parts.peers.describe(self._view.session, target.chat, chat)
        elif target.kind is not TargetKind.INVITE and own.complete:
            self._view.absent[target.chat] = "This account is not a member of this group."

    async def _slow_modes(self, client: PostingClient) -> None:
        for name, chat in self._view.chats.items():
            if not isinstance(chat, Channel) or not chat.slowmode_enabled:
                if isinstance(chat, Channel):
                    self._found.slow_modes[name] = 0.0
                continue
            if self._first_to_ask("slow mode", name) and self._may_ask():
                full = await self._parts.peers.full(client, utils.get_input_peer(chat))
                self._found.slow_modes[name] = float(full.slowmode_seconds or 0)

    async def _topics(self, call: Call) -> None:
        wanted: dict[str, set[int]] = defaultdict(set)
        for target in self._targets:
            if target.topic is not None and getattr(self._view.chats.get(target.chat), "forum", False):
                wanted[target.chat].add(target.topic)
        for name, topics in wanted.items():
            if not self._first_to_ask("topics", name) or not self._may_ask():
                continue
            peer = utils.get_input_peer(self._view.chats[name])
            answer = await call(GetForumTopicsByIDRequest(peer, sorted(topics)[:100]))
            shown = {topic.id: bool(topic.closed) for topic in answer.topics if isinstance(topic, ForumTopic)}
            self._found.closed_topics[name] = {topic: shown.get(topic) for topic in topics}

    async def _source(self, client: PostingClient, call: Call) -> None:
        message = self._post.content.message or ""
        try:
            if message.strip().lower() == SAVED:
                source = await find_source(call, await client.get_input_entity("me"), None)
            else:
                link = parse_message_link(message, "post_content.message")
                peer = await self._parts.peers.source(client, self._view.session, link.chat.chat)
                source = await find_source(call, peer, link.message_id)
        except SourceUnavailable as error:
            self._view.source_missing = error.fix
        except InvalidInput as error:
            if message.strip().lower() == SAVED:
                self._view.source_missing = "its Saved Messages are empty"
            else:
                self._found.source_problem = error.fix
        except RPCError as error:
            reaction = reaction_to(error)
            if reaction.scope is not Scope.GROUP:
                raise
            self._view.source_missing = "this account cannot see the message; let it join that chat first"
        else:
            if any(getattr(one, "noforwards", False) for one in source.messages):
                self._found.source_problem = (
                    "the message comes from a chat that does not let its messages be forwarded or copied"
                )

    async def _keep(self) -> None:
        """The cycle need not ask again."""
        for name, chat in self._view.chats.items():
            slow_mode = 0.0 if is_exempt(chat) else self._found.slow_modes.get(name)
            if slow_mode is not None and not getattr(chat, "left", False):
                known = KnownPeer(utils.get_input_peer(chat), utils.get_display_name(chat), slow_mode)
                await self._parts.peers.keep(self._view.session, name, known)

    def _first_to_ask(self, what: str, name: str) -> bool:
        """Whether no other account asks this already."""
        if (what, name) in self._found.asked_for:
            return False
        self._found.asked_for.add((what, name))
        return True

    def _may_ask(self) -> bool:
        self._left -= 1
        return self._left >= 0
