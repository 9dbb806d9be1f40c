"""How one account brings the deliveries of a cycle into their chats, and finds out whether one arrived.

Nothing here decides what follows from an error; that is `bot.cycle.worker` with `bot.cycle.share`.
"""

from typing import Any
from zoneinfo import ZoneInfo

from msgspec.structs import replace
from telethon.errors import RPCError

from bot.chats.targets import parse_target
from bot.compose.media import MediaShelf
from bot.compose.outgoing import Outgoing, prepare
from bot.compose.post import Destination, RenderContext, Sent
from bot.compose.random_id import random_id_of
from bot.cycle.run import CycleRun, CycleServices
from bot.reactions.classify import Action, reaction_to
from core.models import Delivery, DeliveryState, Level
from sessions.client import Call, PostingClient

_LAST_POSTS = 50
"""So many of a user's latest deliveries to a group are told from the one that is looked for."""


class Sender:
    """Prepares, sends and looks for posts with one account. Raises what the table of reactions knows."""

    def __init__(self, parts: CycleServices, run: CycleRun, session: str) -> None:
        self._parts = parts
        self._run = run
        self._session = session

    @property
    def shelf(self) -> MediaShelf:
        """What the account has brought to Telegram."""
        return self._parts.shelf(self._run.user, self._session)

    def call(self, client: PostingClient) -> Call:
        """Every request is bounded in time, by its own bound where it has one."""

        async def call(request: object, within: float | None = None) -> Any:
            return await client.call(request, within or self._parts.settings.send_timeout_seconds)

        return call

    async def prepare(
        self, client: PostingClient, delivery: Delivery, *, to_send: bool = True
    ) -> tuple[Outgoing, Destination]:
        """The post for this group; nothing is posted yet. Files are at Telegram where it is `to_send`."""
        target = parse_target(delivery.group)
        known = await self._parts.peers.resolve(client, self._session, target.chat)
        zone = self._parts.store.snapshot.users[self._run.user].schedule.timezone
        moment = self._run.cycle.started_at.astimezone(ZoneInfo(zone))  # as its user's calendar and clock show it

        async def peer_of(chat: str) -> object:
            return await self._parts.peers.source(client, self._session, chat)

        outgoing = await prepare(
            self._run.post,
            RenderContext(group=known.title or delivery.group, moment=moment, number=self._run.number),
            client=client,
            call=self.call(client),
            shelf=self.shelf if to_send else None,
            peer_of=peer_of,
            premium=client.premium,
        )
        return outgoing, Destination(known.peer, known.place(target)[1])

    async def send(self, client: PostingClient, delivery: Delivery, outgoing: Outgoing, to: Destination) -> Sent:
        """Send it; once more with its files brought anew where Telegram refuses some that were remembered."""

        def key(part: int) -> int:
            return random_id_of(delivery, part)

        try:
            return await outgoing.send(self.call(client), to, key)
        except RPCError as error:
            if not outgoing.remembered or reaction_to(error).action is not Action.GIVE_UP:
                raise
        self.shelf.forget(self._run.post)
        anew, to = await self.prepare(client, delivery)
        return await anew.send(self.call(client), to, key)

    async def arrived(self, delivery: Delivery, sent: Sent, parts: int) -> Delivery:
        """Write down that it stands in its chat, as so many messages; return it as it was written."""
        now = self._parts.clock.now()
        message_id = sent.message_ids[0] if sent.message_ids else None
        ended = replace(delivery, state=DeliveryState.DELIVERED, message_id=message_id, finished_at=now)
        text = f"Posted to {delivery.group} with {delivery.session}"
        event = self._run.event("post_delivered", text, Level.INFO, delivery.session, delivery.group)
        await self._run.record(ended, event=event, messages=parts)
        self._parts.books.posted(self._run.user, delivery.session, delivery.group, now)
        return ended

    async def find(self, client: PostingClient, delivery: Delivery, outgoing: Outgoing, to: Destination) -> Sent | None:
        """Where it stands in its chat, whichever account sent it; None: it is not there, or its sender is not known."""
        sender = client.self_id
        if delivery.session != self._session:
            known = self._parts.store.snapshot.sessions.get(delivery.session)
            if known is None or known.telegram_id is None:
                return None
            sender = known.telegram_id
        latest = await self._parts.journal.deliveries(delivery.user, group=delivery.group, limit=_LAST_POSTS)
        others = (one.message_id for one in latest if one.id != delivery.id)
        return await outgoing.find(
            self.call(client),
            to,
            sender_id=sender,
            since=delivery.planned_at,
            taken=frozenset(number for number in others if number is not None),
        )
