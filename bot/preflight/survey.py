"""Ask Telegram about a user's groups, account by account, before anything is posted.

What Telegram says of chats, topics and the message to forward goes into `Seen`, which cycles read, too. So the cycle
that follows has nothing left to look up.

A survey takes one connection an account, one call for a hundred of its chats, and at most `MOST_QUESTIONS` calls about
single chats. What is the same for all accounts (slow mode, topics) is asked once, by the account that comes first.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Container, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeVar

from telethon import utils
from telethon.errors import RPCError

from bot.chats.dialogs import OwnChats
from bot.chats.membership import is_exempt
from bot.chats.peers import as_known
from bot.chats.seen import Absent, Seen
from bot.chats.targets import Target, TargetKind
from bot.compose.post import Post
from bot.compose.source import SourceUnavailable, source_of
from bot.cycle.run import CycleServices
from bot.reactions.classify import Action, Reaction, Scope, reaction_to
from bot.reactions.table import BY_CODE
from core.errors import InvalidInput, PostfleetError
from core.models import SessionState, User
from sessions.connections.client import Call, PostingClient
from sessions.logins.recognition import recognised

MOST_QUESTIONS = 40
WITHIN_SECONDS = 20.0
"""How long an account is asked. Of a slower one the survey holds what it said so far."""
_NOT_AMONG_ITS_CHATS = Absent("USER_NOT_PARTICIPANT", BY_CODE["USER_NOT_PARTICIPANT"][1])
T = TypeVar("T")


@dataclass
class AccountView:
    """What one account sees."""

    session: str
    premium: bool | None = None
    source_missing: str | None = None
    """Why it cannot see the message to forward."""
    trouble: str | None = None
    """Why it could not be asked (any further)."""


@dataclass
class Survey:
    """What all the accounts see together."""

    views: dict[str, AccountView] = field(default_factory=dict)
    slow_modes: dict[str, float] = field(default_factory=dict)
    """`Target.chat` → seconds, for members who are no administrators."""
    source_problem: str | None = None
    """The message to forward is gone, or protected."""
    asked_for: set[tuple[str, str]] = field(default_factory=set)

    def forget_those_gone(self, sessions: Container[str]) -> None:
        """Drop the views of accounts that were removed while the others were asked."""
        self.views = {session: view for session, view in self.views.items() if session in sessions}


async def survey(services: CycleServices, user: User, post: Post, targets: Sequence[Target]) -> Survey:
    """Ask all accounts of the user at once. Nothing is posted, and no error of Telegram is raised."""
    found = Survey()
    async with asyncio.TaskGroup() as group:
        for session in user.assigned_sessions:
            view = found.views[session] = AccountView(session)
            group.create_task(_Look(services, found, view, post, targets).look(), name=f"survey by {session}")
    return found


class _Look:
    """One account's part of the survey."""

    def __init__(
        self, services: CycleServices, found: Survey, view: AccountView, post: Post, targets: Sequence[Target]
    ) -> None:
        self._services = services
        self._found = found
        self._view = view
        self._post = post
        self._targets = targets
        self._left = MOST_QUESTIONS

    async def look(self) -> None:
        session = self._services.store.snapshot.sessions.get(self._view.session)
        if session is None or session.state is not SessionState.READY or session.api_id is None:
            self._view.trouble = "it is not ready to be asked"
            return
        if self._services.clients.at_work(self._view.session):
            self._view.trouble = "it is posting just now; this is what is known of it"
            return
        try:
            async with asyncio.timeout(WITHIN_SECONDS):
                connection = recognised(
                    self._services.clients, self._services.sessions, self._view.session, session.api_id
                )
                async with connection as client:
                    await self._ask(client)
        except PostfleetError as error:
            self._view.trouble = error.for_users
        except Exception as error:  # noqa: BLE001  the table says what it means; a survey itself never fails
            await self._trouble(reaction_to(error))

    async def _trouble(self, reaction: Reaction) -> None:
        """Keep a wait that Telegram asks for. Everything else is left to the cycle, which will meet it, too."""
        self._view.trouble = reaction.explanation
        if reaction.scope is Scope.ACCOUNT and reaction.action is Action.HOLD and reaction.hold_seconds:
            until = self._services.clock.now() + timedelta(seconds=reaction.hold_seconds)
            await self._services.sessions.hold(self._view.session, until, reaction.code, reaction.explanation)

    async def _ask(self, client: PostingClient) -> None:
        within = self._services.settings.send_timeout_seconds

        async def call(request: Any) -> Any:
            return await client.call(request, within)

        me = await client.get_me()
        self._view.premium = bool(me.premium)
        await self._services.sessions.used(self._view.session, me.id, premium=self._view.premium)
        own = await OwnChats.read(call, self._targets)
        by_chat = {target.chat: target for target in self._targets}
        for target in by_chat.values():
            await self._one(client, own, target)
        await self._slow_modes(client, by_chat)
        await self._topics(client)
        if self._post.content.message is not None:
            await self._source(client, call, self._post.content.message)
        await self._keep(by_chat)

    async def _one(self, client: PostingClient, own: OwnChats, target: Target) -> None:
        """Note how the account sees the chat, or why it does not."""
        chat = own.find(target)
        asked_for_alone = target.kind is TargetKind.INVITE or target.basic_group_id is not None
        if chat is not None:
            self._services.peers.note(self._view.session, target.chat, chat)
        elif (asked_for_alone or not own.complete) and self._may_ask():
            await _about_one_chat(self._services.peers.look(client, self._view.session, target.chat))
        elif await self._was_in(target) and self._may_ask():
            await _about_one_chat(self._services.peers.look_again(client, self._view.session, target.chat))
        elif target.kind is not TargetKind.INVITE and own.complete:
            self._seen.put_chat(self._view.session, target.chat, _NOT_AMONG_ITS_CHATS)

    async def _was_in(self, target: Target) -> bool:
        """Return whether the account was in the chat before: then it is worth asking why it has left."""
        return await self._services.peers.recall(self._view.session, target.chat) is not None

    async def _slow_modes(self, client: PostingClient, chats: Iterable[str]) -> None:
        for name in chats:
            chat = self._chat(name)
            if chat is None:
                continue
            if not getattr(chat, "slowmode_enabled", False):
                self._found.slow_modes[name] = 0.0
            elif self._first_to_ask("slow mode", name) and self._may_ask():
                full = await _about_one_chat(self._services.peers.full(client, utils.get_input_peer(chat)))
                if full is not None:
                    self._found.slow_modes[name] = float(full.slowmode_seconds or 0)

    async def _topics(self, client: PostingClient) -> None:
        wanted: dict[str, set[int]] = defaultdict(set)
        for target in self._targets:
            if target.topic is not None and getattr(self._chat(target.chat), "forum", False):
                wanted[target.chat].add(target.topic)
        for name, topics in wanted.items():
            if self._first_to_ask("topics", name) and self._may_ask():
                peer = utils.get_input_peer(self._chat(name))
                await _about_one_chat(self._services.peers.see_topics(client, peer, name, sorted(topics)[:100]))

    async def _source(self, client: PostingClient, call: Call, message: str) -> None:
        async def peer_of(chat: str) -> Any:
            return await self._services.peers.source(client, self._view.session, chat)

        try:
            source = await source_of(message, call, peer_of)
        except SourceUnavailable as error:
            self._view.source_missing = error.fix
        except InvalidInput as error:
            self._found.source_problem = error.fix
        else:
            if any(getattr(one, "noforwards", False) for one in source.messages):
                self._found.source_problem = (
                    "the message comes from a chat that does not let its messages be forwarded or copied"
                )
        self._seen.put_message(self._view.session, message, hidden=self._view.source_missing is not None)

    async def _keep(self, chats: Iterable[str]) -> None:
        """Remember the chats, so that the cycle need not ask again."""
        for name in chats:
            chat = self._chat(name)
            slow_mode = 0.0 if chat is None or is_exempt(chat) else self._found.slow_modes.get(name)
            if chat is not None and slow_mode is not None:
                await self._services.peers.keep(self._view.session, name, as_known(chat, slow_mode))

    @property
    def _seen(self) -> Seen:
        return self._services.peers.seen

    def _chat(self, name: str) -> Any | None:
        return self._seen.chat(self._view.session, name)

    def _first_to_ask(self, what: str, name: str) -> bool:
        """Return whether no other account has asked this."""
        if (what, name) in self._found.asked_for:
            return False
        self._found.asked_for.add((what, name))
        return True

    def _may_ask(self) -> bool:
        self._left -= 1
        return self._left >= 0


async def _about_one_chat(asking: Awaitable[T]) -> T | None:
    """Return the result; None if the refusal is about this chat alone, so that the others are asked about, too."""
    try:
        return await asking
    except RPCError as error:
        if reaction_to(error).scope is not Scope.GROUP:
            raise
        return None
