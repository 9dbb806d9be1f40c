"""How one account sends the posts of a cycle, and finds out whether one arrived.

Nothing here decides what follows from an error: `bot.cycle.policy` does.
"""

from collections.abc import Awaitable
from typing import Any
from zoneinfo import ZoneInfo

from msgspec.structs import replace

from bot.chats.targets import parse_target
from bot.compose.media import MediaShelf
from bot.compose.outgoing import Outgoing, prepare
from bot.compose.post import Destination, RenderContext, Sent
from bot.compose.random_id import random_id_of
from bot.cycle.run import CycleRun, CycleServices
from bot.reactions.classify import Action, Reaction, reaction_to
from core.models import Delivery, DeliveryState, Level
from sessions.connections.client import Call, PostingClient

_LAST_POSTS = 50
"""How many of a user's latest deliveries to a group are told apart from the one that is looked for."""


class Sender:
    """Prepares, sends and looks for posts with one account."""

    def __init__(self, services: CycleServices, run: CycleRun, session: str) -> None:
        self._services = services
        self._run = run
        self._session = session

    @property
    def shelf(self) -> MediaShelf:
        """The files that the account has uploaded to Telegram."""
        return self._services.shelf(self._run.user, self._session)

    def call(self, client: PostingClient) -> Call:
        """Return the client's `call`, which bounds every request in time, by its own bound where it has one."""

        async def call(request: object, within: float | None = None) -> Any:
            return await client.call(request, within or self._services.settings.send_timeout_seconds)

        return call

    async def prepare(
        self, client: PostingClient, delivery: Delivery, *, to_send: bool = True
    ) -> tuple[Outgoing, Destination]:
        """Return the post for this group. Nothing is posted yet; its files are uploaded if it is `to_send`."""
        target = parse_target(delivery.group)
        known = await self._services.peers.resolve(client, self._session, target.chat)
        zone = self._services.store.snapshot.users[self._run.user].schedule.timezone
        moment = self._run.cycle.started_at.astimezone(ZoneInfo(zone))  # as the user's calendar and clock show it

        async def peer_of(chat: str) -> object:
            return await self._services.peers.source(client, self._session, chat)

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

    async def send(
        self, client: PostingClient, delivery: Delivery, outgoing: Outgoing, to: Destination
    ) -> Sent | Reaction:
        """Send the post. Return Telegram's confirmation, or the reaction to its error.

        The post is sent once more, with its files uploaded again, where Telegram refuses files that were remembered.
        """
        sent = await _reaction_or(self._send(client, delivery, outgoing, to))
        if not isinstance(sent, Reaction) or not outgoing.remembered or sent.action is not Action.GIVE_UP:
            return sent
        self.shelf.forget(self._run.post)
        return await _reaction_or(self._send_anew(client, delivery))

    async def _send(self, client: PostingClient, delivery: Delivery, outgoing: Outgoing, to: Destination) -> Sent:
        return await outgoing.send(self.call(client), to, lambda part: random_id_of(delivery, part))

    async def _send_anew(self, client: PostingClient, delivery: Delivery) -> Sent:
        return await self._send(client, delivery, *await self.prepare(client, delivery))

    async def arrived(self, delivery: Delivery, sent: Sent, parts: int) -> Delivery:
        """Record that the post stands in its chat, as so many messages; return the delivery as it was recorded."""
        now = self._services.clock.now()
        message_id = sent.message_ids[0] if sent.message_ids else None
        ended = replace(delivery, state=DeliveryState.DELIVERED, message_id=message_id, finished_at=now)
        text = f"Posted to {delivery.group} with {delivery.session}"
        event = self._run.event("post_delivered", text, Level.INFO, delivery.session, delivery.group)
        await self._run.record(ended, event=event, messages=parts)
        self._services.history.posted(self._run.user, delivery.session, delivery.group, now)
        return ended

    async def find(self, client: PostingClient, delivery: Delivery, outgoing: Outgoing, to: Destination) -> Sent | None:
        """Return where the post stands in its chat, whichever account sent it. None: not there, or sender unknown."""
        sender = client.self_id
        if delivery.session != self._session:
            known = self._services.store.snapshot.sessions.get(delivery.session)
            if known is None or known.telegram_id is None:
                return None
            sender = known.telegram_id
        latest = await self._services.journal.deliveries(delivery.user, group=delivery.group, limit=_LAST_POSTS)
        others = (one.message_id for one in latest if one.id != delivery.id)
        return await outgoing.find(
            self.call(client),
            to,
            sender_id=sender,
            since=delivery.planned_at,
            taken=frozenset(number for number in others if number is not None),
        )


async def _reaction_or(sending: Awaitable[Sent]) -> Sent | Reaction:
    try:
        return await sending
    except Exception as error:  # noqa: BLE001  the table decides about every error
        return reaction_to(error)
