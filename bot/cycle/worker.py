"""`execute_session_cycle`: one account posts its share of a cycle.

A delivery is written down before it is sent and always repeated with the same random_id by the same account, so that
neither a crash nor a lost answer doubles a post. Every error goes through `reactions` to exactly one reaction.
"""

import logging
from contextlib import AbstractAsyncContextManager, suppress

from msgspec.structs import replace
from telethon.errors import RPCError

from bot.chats.membership import AMBIGUOUS
from bot.chats.targets import Target, parse_target
from bot.compose.content import DoesNotFitHere
from bot.compose.post import Destination, Sent
from bot.compose.requests import pin
from bot.compose.source import SourceUnavailable
from bot.cycle.known_obstacles import seen_obstacle
from bot.cycle.planner import clock_time, same_chat_reason
from bot.cycle.run import STOPPED, CycleRun, CycleServices
from bot.cycle.share import LeaveSession, SessionGone, Share
from bot.cycle.verify_posts import verify_posts
from bot.pacing.decide import Decision, Limits, PacingState, Verdict, decide
from bot.reactions.classify import Action, ForeseenRefusal, code_of, reaction_to
from bot.reactions.table import BY_CODE
from core.clock import wait_for_event
from core.errors import AccountRefused, InvalidInput, PostfleetError, SealBroken, SessionInUse, StateError
from core.models import Delivery, DeliveryState, Level
from sessions.client import CONNECTION_LOST, PostingClient
from sessions.recognition import recognised

_STALE_PEER = frozenset({"CHAT_ID_INVALID", "CHANNEL_INVALID", "PEER_ID_INVALID"})
"""What Telegram says to a peer that is remembered wrongly: the group may only be elsewhere."""

_IN_THE_CYCLE = (DeliveryState.PLANNED, DeliveryState.SENDING, DeliveryState.DELIVERED)
_LOOK_AGAIN_SECONDS = 30.0
_LOOKS = 3
"""So often a connection is tried for looking whether posts arrived."""
_REST_BETWEEN_LOOKS = 2.0

log = logging.getLogger(__name__)


async def execute_session_cycle(
    parts: CycleServices, run: CycleRun, session: str, deliveries: list[Delivery]
) -> list[Delivery]:
    """Post these deliveries with this account; answers those that other accounts may take over.

    Whatever cannot be posted now is closed with a reason. When the run is over early, what is in flight is looked for
    and the rest stays as it is.

    Raises:
        StateError: something could not be read or written down; the rest stays as the journal has it.
    """
    share = _Posting(parts, run, session, deliveries)
    await share.post_all()
    return share.handed_over


class _Posting(Share):
    """Chooses, waits, posts."""

    async def post_all(self) -> None:
        """Connect and post until nothing is left, reconnecting with growing pauses when the connection breaks. What may
        have arrived though no answer said so is looked for before it is closed."""
        await self._connect_again_and_again()
        if self._run.over:
            await self._leave_over()
        await self._settle_doubts()

    async def _connect_again_and_again(self) -> None:
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
        async with self._connected() as client:
            if not client.premium:
                self._leave_to_premium()
            while (delivery := await self._next()) is not None:
                await self._try(client, delivery)
                if self._parts.connections.should_give_way(self._run.user):
                    break
            if self._queue and not self._run.over:
                return  # others have their turn; the connection is kept for a while
            if not self._run.over:
                found = await self._doubts.look(client)
                self._posted += [one for one in found if one.session == self._session]
            posted, self._posted = self._posted, []
            await verify_posts(self._parts, self._run, client, posted)

    def _connected(self) -> AbstractAsyncContextManager[PostingClient]:
        api_id = self._facts().api_id
        if api_id is None:
            raise InvalidInput(self._session, "it has no API pair; release it and start the bot again")
        return recognised(self._parts.clients, self._parts.sessions, self._session, api_id)

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
        now, limits = self._parts.clock.now(), self._limits()
        account = decide(now, limits, self._parts.books.account(self._session, self._facts()))
        if account.verdict is Verdict.DEFER:
            reason = f"{self._session} posts again after {clock_time(account.at)}: {account.reason}"
            await self._end_all(DeliveryState.SKIPPED, reason)
            raise LeaveSession
        if account.verdict is not Verdict.GO:
            return None, account.seconds
        waits: list[float] = []
        for delivery in list(self._queue):
            decision = decide(now, limits, self._standing_in(delivery.group))
            if decision.verdict is Verdict.GO or self._may_be_over(decision, delivery.group):
                return delivery, 0.0
            if decision.verdict is Verdict.DEFER:
                reason = f"{decision.reason} {self._session} may post there after {clock_time(decision.at)}"
                await self._end(delivery, DeliveryState.SKIPPED, reason, decision.code.upper())
            else:
                waits.append(decision.seconds)
        return None, min(waits, default=0.0)

    def _limits(self) -> Limits:
        return self._parts.books.limits(self._user(), others_wait=self._run.count(*_IN_THE_CYCLE) > 1)

    def _standing_in(self, group: str) -> PacingState:
        slow_mode = self._parts.peers.slow_mode(self._session, parse_target(group).chat)
        return self._parts.books.in_group(self._run.user, self._session, group, slow_mode, self._hold_in(group))

    def _may_be_over(self, decision: Decision, group: str) -> bool:
        """Whether only a remembered slow mode keeps the post for a later cycle: admins may have turned it off."""
        if decision.verdict is not Verdict.DEFER or decision.code != "slow_mode":
            return False
        return not self._parts.peers.seen.has_slow_mode(self._session, parse_target(group).chat)

    async def _looked_at_slow_mode(self, client: PostingClient, group: str) -> bool:
        """Whether the post was chosen for a look at the group's slow mode, which decides about it when it is chosen
        again."""
        decision = decide(self._parts.clock.now(), self._limits(), self._standing_in(group))
        if not self._may_be_over(decision, group):
            return False
        await self._parts.peers.look_at_slow_mode(client, self._session, parse_target(group).chat)
        return True

    async def _try(self, client: PostingClient, delivery: Delivery) -> None:
        if delivery.group not in self._user().groups:
            await self._end(delivery, DeliveryState.SKIPPED, "you took it off your list")
            return
        try:
            await self._post(client, delivery)
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
        if isinstance(error, ForeseenRefusal) or code_of(error) not in AMBIGUOUS:
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
        before = await self._parts.peers.recall(self._session, target.chat)
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
        if await self._looked_at_slow_mode(client, delivery.group):
            return
        if delivery.state is not DeliveryState.SENDING and not await self._may_begin(client, delivery):
            return
        outgoing, to = await self._sender.prepare(client, delivery)
        if delivery.state is not DeliveryState.SENDING:
            sending = replace(delivery, state=DeliveryState.SENDING)
            await self._run.record(sending)
            self._queue[self._queue.index(delivery)] = delivery = sending
        try:
            sent = await self._sender.send(client, delivery, outgoing, to)
        except Exception as error:
            if _may_have_arrived(error):
                self._unanswered.add(delivery.id)
            elif delivery.id not in self._unanswered and reaction_to(error).action is not Action.ALREADY_THERE:
                await self._take_back(delivery)
            raise
        finally:
            self._parts.books.asked(self._session)
        await self._delivered(delivery, sent, outgoing.parts)
        if outgoing.post.content.pin and sent.message_ids:
            await self._pin(client, to, delivery, sent.message_ids[0])

    async def _take_back(self, sending: Delivery) -> None:
        """Telegram refused the post, so it was not sent. The journal has to say so before anything follows from the
        refusal: after a crash or a stop another account may post it then, and nobody calls its end unknown."""
        planned = replace(sending, state=DeliveryState.PLANNED)
        await self._run.record(planned)
        self._queue[self._queue.index(sending)] = planned

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

    async def _delivered(self, delivery: Delivery, sent: Sent, parts: int) -> None:
        self._failures = 0
        self._banned_in.clear()
        self._posted.append(await self._sender.arrived(delivery, sent, parts))
        self._drop(delivery)
        if self._hold_in(delivery.group) is not None:
            await self._hold_group(delivery.group, None)

    async def _pin(self, client: PostingClient, to: Destination, delivery: Delivery, message_id: int) -> None:
        try:
            await pin(self._sender.call(client), to, message_id)
        except (*CONNECTION_LOST, RPCError) as error:
            text = f"Could not pin the post in {delivery.group}: {reaction_to(error).explanation}"
            event = self._run.event("not_pinned", text, Level.WARNING, self._session, delivery.group)
            await self._run.record(event=event)

    async def _count_once(self, client: PostingClient, delivery: Delivery) -> None:
        """Telegram says it has this post already: delivered, once, and its message id stands in the chat."""
        sent = None
        outgoing, to = await self._sender.prepare(client, delivery, to_send=False)
        try:
            sent = await self._sender.find(client, delivery, outgoing, to)
        except (*CONNECTION_LOST, RPCError):
            log.warning("The message id of a delivered post was not found", extra={"user": self._run.user})
        await self._delivered(delivery, sent or Sent(()), outgoing.parts)

    # What may have arrived

    async def _leave_over(self) -> None:
        """The cycle is over: what is in flight is looked for; what was refused and waited for another try ends here."""
        if self._run.is_cut_off:
            return
        refused = self._run.content_refused
        for delivery in [one for one in self._queue if one.state is DeliveryState.SENDING]:
            state = DeliveryState.SKIPPED if refused is None else DeliveryState.FAILED
            await self._end(delivery, state, refused or STOPPED, tell=refused is None)

    async def _settle_doubts(self) -> None:
        """Look for what may have arrived before it is closed, over a connection of its own."""
        for again in range(_LOOKS):
            if not self._doubts:
                return
            await self._parts.clock.sleep(again * _REST_BETWEEN_LOOKS)
            try:
                async with self._parts.connections.taken_by(self._run.user):
                    self._run.alive()
                    async with self._connected() as client:
                        await self._doubts.look(client)
            except Exception as error:  # noqa: BLE001  the table decides about every error
                if not await self._may_look_again(error):
                    break
        await self._doubts.close()

    async def _may_look_again(self, error: Exception) -> bool:
        """Do what follows from an error that was met while looking. Raises StateError."""
        if isinstance(error, SessionInUse) or reaction_to(error).action is Action.RETRY:
            return True
        if isinstance(error, StateError) and not isinstance(error, SealBroken):
            raise error
        with suppress(LeaveSession):
            if isinstance(error, AccountRefused | SessionGone):
                await self._leave_to_others(error)
            elif not isinstance(error, PostfleetError):
                await self._react(error, None)
        return False


def _may_have_arrived(error: Exception) -> bool:
    """Whether this end of an attempt leaves open what became of the post."""
    return not isinstance(error, RPCError | PostfleetError) or reaction_to(error).action is Action.RETRY
