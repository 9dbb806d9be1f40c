"""`execute_session_cycle`: one account posts its share of a cycle.

A delivery is written down before it is sent and always repeated with the same random_id by the same account, so that
neither a crash nor a lost answer doubles a post. Every error goes through `reactions` to exactly one reaction.
"""

import logging
from collections.abc import Callable
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from msgspec.structs import replace
from telethon.errors import RPCError

from bot.aftercare import see_what_stands
from bot.compose import random_id_of
from bot.compose_content import DoesNotFitHere, Occasion
from bot.compose_media import Call
from bot.compose_outgoing import Outgoing, prepare
from bot.compose_send import Destination, Sent, SourceUnavailable, pin
from bot.known import seen_obstacle
from bot.membership import SAID_TO_STRANGERS_TOO
from bot.pacing import Verdict, decide
from bot.plan import clock_time, same_chat_reason
from bot.reaction_table import BY_CODE
from bot.reactions import Action, ForeseenRefusal, code_of, reaction_to
from bot.run import BotParts, CycleRun
from bot.share import LeaveSession, SessionGone, Share
from bot.targets import Target, parse_target
from core.clock import wait_for_event
from core.errors import AccountRefused, InvalidInput, PostfleetError, SealBroken, SessionInUse, StateError
from core.models import Delivery, DeliveryState, Level
from sessions.client import CONNECTION_LOST, PostingClient
from sessions.recognition import recognised

_STALE_PEER = frozenset({"CHAT_ID_INVALID", "CHANNEL_INVALID", "PEER_ID_INVALID"})
"""What Telegram says to a peer that is remembered wrongly: the group may only be elsewhere."""

_IN_THE_CYCLE = (DeliveryState.PLANNED, DeliveryState.SENDING, DeliveryState.DELIVERED)
_LOOK_AGAIN_SECONDS = 30.0

log = logging.getLogger(__name__)


async def execute_session_cycle(
    parts: BotParts, run: CycleRun, session: str, deliveries: list[Delivery]
) -> list[Delivery]:
    """Post these deliveries with this account; answers those that other accounts may take over.

    Whatever cannot be posted now is closed with a reason. When the run is over early the rest stays as it is.

    Raises:
        StateError: something could not be read or written down; the rest stays as the journal has it.
    """
    share = _Posting(parts, run, session, deliveries)
    await share.post_all()
    return share.handed_over


class _Posting(Share):
    """Chooses, waits, posts."""

    async def post_all(self) -> None:
        """Connect and post until nothing is left, reconnecting with growing pauses when the connection breaks."""
        try:
            while self._queue and not self._run.over:
                try:
                    await self._rest_before_connecting()
                    async with self._parts.connections.taken_by(self._run.user):
                        self._run.alive()
                        await self._connect_and_post()
                except LeaveSession:
                    return
                except SessionInUse as error:  # an operator's command looks at the account: that is soon over
                    await self._react(error, None)
                except (AccountRefused, SessionGone) as error:
                    await self._leave_to_others(error)
                except SealBroken as error:  # no usable key or API pair: the operator's to mend, in words
                    await self._end_all(DeliveryState.FAILED, error.for_users)
                except StateError:
                    raise  # neither the account nor Telegram is to blame, and what was posted is not known to be noted
                except PostfleetError as error:
                    await self._end_all(DeliveryState.FAILED, error.for_users)
                except Exception as error:  # noqa: BLE001  the table decides about every error
                    await self._react(error, None)
        except LeaveSession:
            return

    async def _connect_and_post(self) -> None:
        api_id = self._facts().api_id
        if api_id is None:
            raise InvalidInput(self._session, "it has no API pair; release it and start the bot again")
        async with recognised(self._parts.clients, self._parts.sessions, self._session, api_id) as client:
            if not client.premium:
                self._leave_to_premium()
            while (delivery := await self._next()) is not None:
                await self._try(client, delivery)
                if self._parts.connections.should_give_way(self._run.user):
                    break
            if self._queue and not self._run.over:
                return  # others have their turn; the connection is kept for a while
            posted, self._posted = self._posted, []
            await see_what_stands(self._parts, self._run, client, posted)

    async def _rest_before_connecting(self) -> None:
        """Hold no connection before something may go."""
        while self._queue and not self._run.over:
            delivery, wait = await self._choose()
            if delivery is not None:
                return
            await wait_for_event(self._parts.clock, self._run.control.over, self._until_next_look(wait))

    async def _next(self) -> Delivery | None:
        """The delivery whose time has come, waiting for it; None when nothing is left, the cycle is over early, or
        somebody who holds fewer connections waits for one."""
        connections, user = self._parts.connections, self._run.user
        while self._queue and not self._run.over:
            delivery, wait = await self._choose()
            if delivery is not None:
                return delivery
            await connections.rest(self._parts.clock, self._run.control.over, self._until_next_look(wait), user)
            if connections.should_give_way(user):
                break
        return None

    def _until_next_look(self, wait: float) -> float:
        """Long rests are looked at now and then: the user may have made them shorter, and the watchdog sees a cycle
        that rests from one that hangs."""
        self._run.alive()
        return min(wait, _LOOK_AGAIN_SECONDS, self._parts.settings.stuck_cycle_seconds / 2)

    async def _choose(self) -> tuple[Delivery | None, float]:
        """What may go now, or the seconds until something may. What has to wait longer than the cycle does is left."""
        books, user, now = self._parts.books, self._user(), self._parts.clock.now()
        limits = books.limits(user, others_wait=self._run.count(*_IN_THE_CYCLE) > 1)
        session = self._facts()
        account = decide(now, limits, books.account(self._session, session))
        if account.verdict is Verdict.DEFER:
            reason = f"{self._session} posts again after {clock_time(account.at)}: {account.reason}"
            await self._end_all(DeliveryState.SKIPPED, reason)
            raise LeaveSession
        if account.verdict is not Verdict.GO:
            return None, account.seconds
        waits: list[float] = []
        for delivery in list(self._queue):
            slow_mode = self._parts.peers.slow_mode(self._session, parse_target(delivery.group).chat)
            standing = books.in_group(
                self._run.user, self._session, delivery.group, slow_mode, self._hold_in(delivery.group)
            )
            decision = decide(now, limits, standing)
            if decision.verdict is Verdict.GO or self._only_looks(delivery):
                return delivery, 0.0
            if decision.verdict is Verdict.DEFER:
                reason = f"{decision.reason} {self._session} may post there after {clock_time(decision.at)}"
                await self._end(delivery, DeliveryState.SKIPPED, reason, decision.code.upper())
            else:
                waits.append(decision.seconds)
        return None, min(waits, default=0.0)

    async def _try(self, client: PostingClient, delivery: Delivery) -> None:
        if delivery.group not in self._user().groups:
            await self._end(delivery, DeliveryState.SKIPPED, "you took it off your list")
            return
        try:
            await (self._look_up(client, delivery) if self._only_looks(delivery) else self._post(client, delivery))
        except CONNECTION_LOST:
            self._put_last(delivery)
            raise
        except StateError:
            raise
        except SourceUnavailable as error:
            await self._cannot_see_the_source(delivery, error)
        except DoesNotFitHere as error:
            await self._end(delivery, DeliveryState.SKIPPED, str(error), error.code.upper())
        except InvalidInput as error:
            await self._refuse_content(str(error), error.code.upper(), delivery)
        except Exception as error:  # noqa: BLE001  the table decides about every error
            if reaction_to(error).action is Action.ALREADY_THERE:
                await self._count_once(client, delivery)
            elif code_of(error) not in _STALE_PEER or not await self._has_moved(client, delivery):
                await self._react(await self._as_seen_afresh(client, delivery, error), delivery)

    async def _cannot_see_the_source(self, delivery: Delivery, error: SourceUnavailable) -> None:
        """Another account may see the message to forward."""
        code = error.code.upper()
        self._parts.peers.seen.put_message(self._session, self._run.post.content.message or "", hidden=True)
        if self._has_colleagues():
            await self._pass_on(delivery, BY_CODE[code][1], code)
        else:
            await self._end(delivery, DeliveryState.FAILED, str(error), code)

    async def _as_seen_afresh(self, client: PostingClient, delivery: Delivery, error: Exception) -> Exception:
        """What a refusal means. An account that left a group hears the same as one that may not write there, so the
        chat is looked up again before that is believed."""
        if isinstance(error, ForeseenRefusal) or code_of(error) not in SAID_TO_STRANGERS_TOO:
            return error
        target = parse_target(delivery.group)
        await self._parts.peers.look_again(client, self._session, target.chat)
        return self._foreseen(target) or error

    def _foreseen(self, target: Target) -> ForeseenRefusal | None:
        """By what Telegram said about the chat it would refuse."""
        found = seen_obstacle(self._parts.peers.seen, self._session, target, self._run.post)
        return None if found is None else ForeseenRefusal(found.code, personal=found.personal)

    async def _has_moved(self, client: PostingClient, delivery: Delivery) -> bool:
        """Look the chat up afresh before "not found" is believed; whether it is elsewhere now and worth another try.

        A basic group that became a supergroup is found under its new id.
        """
        target = parse_target(delivery.group)
        before = self._parts.peers.remembered(self._session, target.chat)
        if before is None:
            return False  # it was looked up just now
        await self._parts.peers.forget(self._session, target.chat)
        try:
            now = await self._parts.peers.resolve(client, self._session, target.chat)
        except RPCError:
            return False
        if now.peer == before.peer:
            return False
        other = self._run.claim(*now.place(target), delivery.group)
        if other is not None:
            await self._end(delivery, DeliveryState.SKIPPED, same_chat_reason(other))
        return True

    async def _post(self, client: PostingClient, delivery: Delivery) -> None:
        # Many connections rest between two posts; only those that send now take a turn of their own.
        async with self._parts.sends.taken_by(self._run.user):
            if not self._run.over:
                await self._post_now(client, delivery)

    async def _post_now(self, client: PostingClient, delivery: Delivery) -> None:
        if delivery.state is not DeliveryState.SENDING and not await self._may_begin(client, delivery):
            return
        outgoing, to = await self._prepare(client, delivery)
        if delivery.state is not DeliveryState.SENDING:
            sending = replace(delivery, state=DeliveryState.SENDING)
            await self._run.record(sending)
            self._queue[self._queue.index(delivery)] = delivery = sending
        try:
            sent = await self._send(client, delivery, outgoing, to)
        except Exception as error:
            if isinstance(error, CONNECTION_LOST) or reaction_to(error).action is Action.RETRY:
                self._unanswered.add(delivery.id)
            raise
        finally:
            self._parts.books.asked(self._session)
        await self._delivered(delivery, sent, outgoing.parts)
        if outgoing.post.content.pin and sent.message_ids:
            await self._pin(client, to, delivery, sent.message_ids[0])

    async def _send(self, client: PostingClient, delivery: Delivery, outgoing: Outgoing, to: Destination) -> Sent:
        """Send it; once more with its files brought anew where Telegram refuses some that were remembered."""
        try:
            return await outgoing.send(self._calls(client), to, self._keys(delivery))
        except RPCError as error:
            if not outgoing.remembered or reaction_to(error).action is not Action.GIVE_UP:
                raise
        self._parts.shelf(self._run.user, self._session).forget(self._run.post)
        anew, to = await self._prepare(client, delivery)
        return await anew.send(self._calls(client), to, self._keys(delivery))

    async def _may_begin(self, client: PostingClient, delivery: Delivery) -> bool:
        """Whether it is worth asking Telegram: no other spelling of the chat has the post, and nothing forbids it.

        Raises:
            ForeseenRefusal: by what Telegram said about the chat it would refuse.
        """
        target = parse_target(delivery.group)
        place = await self._parts.peers.place(client, self._session, target)
        other = self._run.claim(*place, delivery.group)
        if other is not None:
            await self._end(delivery, DeliveryState.SKIPPED, same_chat_reason(other))
            return False
        refusal = self._foreseen(target)
        if refusal is not None:
            raise refusal
        return True

    async def _prepare(self, client: PostingClient, delivery: Delivery) -> tuple[Outgoing, Destination]:
        """The post for this group, its files at Telegram; nothing is posted yet."""
        target = parse_target(delivery.group)
        known = await self._parts.peers.resolve(client, self._session, target.chat)

        async def peer_of(chat: str) -> object:
            return await self._parts.peers.source(client, self._session, chat)

        outgoing = await prepare(
            self._run.post,
            Occasion(group=known.title or delivery.group, moment=self._moment(), number=self._run.number),
            client=client,
            call=self._calls(client),
            shelf=self._parts.shelf(self._run.user, self._session),
            peer_of=peer_of,
            premium=client.premium,
        )
        return outgoing, Destination(known.peer, known.place(target)[1])

    def _moment(self) -> datetime:
        """When the cycle began, as its user's calendar and clock show it."""
        return self._run.cycle.started_at.astimezone(ZoneInfo(self._user().schedule.timezone))

    async def _delivered(self, delivery: Delivery, sent: Sent, parts: int) -> None:
        self._failures = 0
        self._banned_in.clear()
        now = self._parts.clock.now()
        message_id = sent.message_ids[0] if sent.message_ids else None
        ended = replace(delivery, state=DeliveryState.DELIVERED, message_id=message_id, finished_at=now)
        text = f"Posted to {delivery.group} with {delivery.session}"
        event = self._run.event("post_delivered", text, Level.INFO, delivery.session, delivery.group)
        await self._run.record(ended, event=event, messages=parts)
        self._parts.books.posted(self._run.user, delivery.session, delivery.group, now)
        if delivery.session == self._session:
            self._posted.append(ended)
        self._drop(delivery)
        if self._hold_in(delivery.group) is not None:
            await self._hold_group(delivery.group, None)

    async def _look_up(self, client: PostingClient, delivery: Delivery) -> None:
        """Another account was lost while it sent this: whether it arrived stands in the chat."""
        outgoing, to = await self._prepare(client, delivery)
        known = self._parts.store.snapshot.sessions.get(delivery.session)
        sender = known.telegram_id if known is not None else None
        sent = await self._find(client, outgoing, to, delivery, sender) if sender is not None else None
        if sent is not None:
            await self._delivered(delivery, sent, outgoing.parts)
        else:
            await self._end(delivery, DeliveryState.UNKNOWN, f"{delivery.session} was lost while it was sent")

    async def _find(
        self, client: PostingClient, outgoing: Outgoing, to: Destination, delivery: Delivery, sender: int
    ) -> Sent | None:
        return await outgoing.find(self._calls(client), to, sender_id=sender, since=delivery.planned_at)

    async def _pin(self, client: PostingClient, to: Destination, delivery: Delivery, message_id: int) -> None:
        try:
            await pin(self._calls(client), to, message_id)
        except (*CONNECTION_LOST, RPCError) as error:
            text = f"Could not pin the post in {delivery.group}: {reaction_to(error).explanation}"
            event = self._run.event("not_pinned", text, Level.WARNING, self._session, delivery.group)
            await self._run.record(event=event)

    async def _count_once(self, client: PostingClient, delivery: Delivery) -> None:
        """Telegram says it has this post already: delivered, once, and its message id stands in the chat."""
        sent = None
        outgoing, to = await self._prepare(client, delivery)
        try:
            sent = await self._find(client, outgoing, to, delivery, client.self_id)
        except (*CONNECTION_LOST, RPCError):
            log.warning("The message id of a delivered post was not found", extra={"user": self._run.user})
        await self._delivered(delivery, sent or Sent(()), outgoing.parts)

    def _only_looks(self, delivery: Delivery) -> bool:
        return delivery.session != self._session

    def _calls(self, client: PostingClient) -> Call:
        """Every request of this share is bounded in time, by its own bound where it has one."""

        async def call(request: object, within: float | None = None) -> Any:
            return await client.call(request, within or self._parts.settings.send_timeout_seconds)

        return call

    def _keys(self, delivery: Delivery) -> Callable[[int], int]:
        return lambda part: random_id_of(delivery, part)
