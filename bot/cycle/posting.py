"""One attempt to bring one delivery into its chat, and what Telegram's refusal of it means."""

import logging

from telethon.errors import RPCError

from bot.chats.membership import AMBIGUOUS
from bot.chats.targets import Target, parse_target
from bot.compose.post import Destination, Sent
from bot.compose.requests import pin
from bot.cycle.account import CycleAccount
from bot.cycle.batch import AccountBatch
from bot.cycle.chooser import Chooser
from bot.cycle.holds import forget_refusals
from bot.cycle.known_obstacles import seen_obstacle
from bot.cycle.planner import same_chat_reason
from bot.cycle.policy import Policy
from bot.cycle.sending import Sender
from bot.reactions.classify import Action, Reaction, foreseen, reaction_to
from core.models import Delivery, DeliveryState
from sessions.connections.client import CONNECTION_LOST, PostingClient

log = logging.getLogger(__name__)

_STALE_PEER = frozenset({"CHAT_ID_INVALID", "CHANNEL_INVALID", "PEER_ID_INVALID"})
"""Telegram's answers to a peer that is remembered wrongly: the group may be elsewhere."""


class Poster:
    """Posts the deliveries of a batch, one at a time."""

    def __init__(
        self, account: CycleAccount, batch: AccountBatch, chooser: Chooser, sender: Sender, policy: Policy
    ) -> None:
        self._account = account
        self._services = account.services
        self._run = account.run
        self._batch = batch
        self._chooser = chooser
        self._sender = sender
        self._policy = policy
        self.posted: list[Delivery] = []
        """What arrived, for looking whether it still stands some seconds later."""

    async def post(self, client: PostingClient, delivery: Delivery) -> Reaction | None:
        """Try to make the delivery. Return what kept it from its chat, or None if nothing did.

        A delivery that arrived, or came to another end, is no longer in the batch.

        Raises:
            StateError: something could not be read or written.
        """
        if delivery.group not in self._account.user.groups:
            await self._batch.end(delivery, DeliveryState.SKIPPED, "you took it off your list")
            return None
        try:
            # Many connections rest between two posts. Only those that send now take a turn of their own.
            async with self._services.sends.taken_by(self._run.user):
                reaction = None if self._run.over else await self._attempt(client, delivery)
        except Exception as error:  # noqa: BLE001  the table decides about every error
            reaction = reaction_to(error)
        if reaction is None or reaction.connection_lost:
            return reaction
        if reaction.action is Action.ALREADY_THERE:
            await self._count_once(client, delivery)
            return None
        if reaction.code in _STALE_PEER and await self._has_moved(client, delivery):
            return None
        return await self._as_seen_now(client, delivery, reaction)

    async def _attempt(self, client: PostingClient, delivery: Delivery) -> Reaction | None:
        if await self._chooser.looked_at_slow_mode(client, delivery.group):
            return None
        if delivery.state is not DeliveryState.SENDING:
            if await self._is_in_the_chat_already(client, delivery):
                return None
            if (refusal := self._foreseen_refusal(parse_target(delivery.group))) is not None:
                return refusal
        outgoing, to = await self._sender.prepare(client, delivery)
        delivery = await self._batch.begin(delivery)
        try:
            sent = await self._sender.send(client, delivery, outgoing, to)
        finally:
            self._services.history.asked(self._account.name)
        if isinstance(sent, Reaction):
            if sent.may_have_arrived:
                self._batch.leave_unanswered(delivery)
            elif sent.action is not Action.ALREADY_THERE:
                await self._batch.take_back(delivery)
            return sent
        await self._delivered(delivery, sent, outgoing.parts)
        if outgoing.post.content.pin and sent.message_ids:
            await self._pin(client, to, delivery, sent.message_ids[0])
        return None

    async def _is_in_the_chat_already(self, client: PostingClient, delivery: Delivery) -> bool:
        """Close the delivery if another spelling of its chat has the post; return whether that is so."""
        place = await self._services.peers.place(client, self._account.name, parse_target(delivery.group))
        return await self._is_claimed(place, delivery)

    async def _is_claimed(self, place: tuple[int, int | None], delivery: Delivery) -> bool:
        other = self._run.claim(*place, delivery.group)
        if other is not None:
            await self._batch.end(delivery, DeliveryState.SKIPPED, same_chat_reason(other))
        return other is not None

    def _foreseen_refusal(self, target: Target) -> Reaction | None:
        """Return how Telegram would refuse, by what it said about the chat."""
        found = seen_obstacle(self._services.peers.seen, self._account.name, target, self._run.post)
        return None if found is None else foreseen(found.code, found.reason, others_may_post=not found.personal)

    async def _delivered(self, delivery: Delivery, sent: Sent, parts: int) -> None:
        self._policy.succeeded()
        self.posted.append(await self._sender.arrived(delivery, sent, parts))
        self._batch.remove(delivery)
        await forget_refusals(self._account, delivery.group)

    async def _pin(self, client: PostingClient, to: Destination, delivery: Delivery, message_id: int) -> None:
        try:
            await pin(self._sender.call(client), to, message_id)
        except (*CONNECTION_LOST, RPCError) as error:
            text = f"Could not pin the post in {delivery.group}: {reaction_to(error).explanation}"
            await self._account.tell("not_pinned", text, group=delivery.group)

    async def _count_once(self, client: PostingClient, delivery: Delivery) -> None:
        """Record a post that Telegram has already as delivered, once, with its message id if that is found."""
        sent = None
        outgoing, to = await self._sender.prepare(client, delivery, to_send=False)
        try:
            sent = await self._sender.find(client, delivery, outgoing, to)
        except (*CONNECTION_LOST, RPCError):
            log.warning("The message id of a delivered post was not found", extra={"user": self._run.user})
        await self._delivered(delivery, sent or Sent(()), outgoing.parts)

    async def _has_moved(self, client: PostingClient, delivery: Delivery) -> bool:
        """Look the chat up before "not found" is believed. Return whether it is elsewhere now and worth another try.

        A basic group that became a supergroup is found under its new id.
        """
        peers, target = self._services.peers, parse_target(delivery.group)
        before = await peers.recall(self._account.name, target.chat)
        if before is None:
            return False  # it was looked up just now
        await peers.forget(self._account.name, target.chat)
        try:
            now = await peers.resolve(client, self._account.name, target.chat)
        except RPCError:
            return False
        if now.peer == before.peer:
            return False
        await self._is_claimed(now.place(target), delivery)
        return True

    async def _as_seen_now(self, client: PostingClient, delivery: Delivery, reaction: Reaction) -> Reaction:
        """Return what a refusal means.

        An account that left a group hears the same as one that may not write there. Telegram is therefore asked about
        the chat before such a refusal is believed.
        """
        if reaction.error is None or reaction.code not in AMBIGUOUS:
            return reaction
        target = parse_target(delivery.group)
        await self._services.peers.look_again(client, self._account.name, target.chat)
        return self._foreseen_refusal(target) or reaction
