"""`execute_session_cycle`: one account posts its share of a cycle.

A delivery is written down before it is sent and always repeated with the same random_id by the same account, so that
neither a crash nor a lost answer doubles a post. Every error goes through `reactions` to exactly one reaction.
"""

import logging
import random
from collections import deque
from datetime import timedelta

from msgspec.structs import replace
from telethon.errors import RPCError

from bot.compose import text_of
from bot.plan import NOT_A_MEMBER, clock_time
from bot.reactions import Action, Reaction, Scope, code_of, reaction_to
from bot.run import BotParts, CycleRun, End
from bot.send import find_posted, sent_message_id, text_request
from core.clock import wait_for_event
from core.errors import InvalidInput
from core.models import Delivery, DeliveryState, Hold, Level, SessionState, User
from data.data_manager import Transaction
from sessions.client import PostingClient

MOST_TRIES = 6
"""So often a delivery is tried over a broken network before it is given up for this cycle."""
_FIRST_BACK_OFF = 0.5
_LONGEST_BACK_OFF = 15.0
_FLOODS = frozenset({"FLOOD_WAIT", "FLOOD_PREMIUM_WAIT"})
_UNEXPECTED = frozenset({"UNEXPECTED_ERROR", "UNKNOWN_TELEGRAM_ERROR"})

log = logging.getLogger(__name__)


class _LeaveSession(Exception):
    """This account posts nothing more in this cycle."""


async def execute_session_cycle(
    parts: BotParts, run: CycleRun, session: str, deliveries: list[Delivery]
) -> list[Delivery]:
    """Post these deliveries with this account; answers those that other accounts may take over.

    Whatever cannot be posted now is closed with a reason. When the run is over early the rest stays as it is.
    """
    share = _Share(parts, run, session, deliveries)
    await share.post_all()
    return share.handed_over


class _Share:
    """One account's part of one cycle."""

    def __init__(self, parts: BotParts, run: CycleRun, session: str, deliveries: list[Delivery]) -> None:
        self._parts = parts
        self._run = run
        self._session = session
        self._queue = deque(deliveries)
        self._unanswered = {d.id for d in deliveries if d.state is DeliveryState.SENDING}
        """Deliveries of which some attempt may have arrived."""
        self._ready_at: dict[int, float] = {}
        self._next_post_at = 0.0
        self._failures = 0
        self.handed_over: list[Delivery] = []

    async def post_all(self) -> None:
        """Connect and post until nothing is left, reconnecting with growing pauses when the connection breaks."""
        try:
            while self._queue and not self._run.over:
                try:
                    await self._connect_and_post()
                except Exception as error:
                    if isinstance(error, _LeaveSession):
                        raise
                    await self._react(error, None)
        except _LeaveSession:
            return

    async def _connect_and_post(self) -> None:
        api_id = self._parts.store.snapshot.sessions[self._session].api_id
        if api_id is None:
            raise InvalidInput(self._session, "it has no API pair; release it and start the bot again")
        async with self._parts.clients.connected(self._session, api_id) as client:
            await self._parts.sessions.used(self._session, client.self_id)
            while (delivery := await self._next()) is not None:
                await self._try(client, delivery)

    async def _next(self) -> Delivery | None:
        """The delivery whose time has come, waiting for it; None when nothing is left or the cycle is over early."""
        while self._queue and not self._run.over:
            clock = self._parts.clock
            first = min(self._queue, key=lambda delivery: self._ready_at.get(delivery.id, 0.0))
            wait = max(self._next_post_at, self._ready_at.get(first.id, 0.0)) - clock.monotonic()
            if wait <= 0:
                return first
            await wait_for_event(clock, self._run.control.asked, wait)
        return None

    async def _try(self, client: PostingClient, delivery: Delivery) -> None:
        if delivery.group not in self._user().groups:
            await self._end(delivery, DeliveryState.SKIPPED, "you took it off your list")
            return
        try:
            await self._post(client, delivery)
        except OSError:
            # The connection is gone or silent, and the post may have arrived: connect anew and repeat it.
            self._unanswered.add(delivery.id)
            raise
        except Exception as error:  # noqa: BLE001  the table decides about every error
            await self._react(error, delivery, client)

    async def _post(self, client: PostingClient, delivery: Delivery) -> None:
        peer, topic = await self._parts.peers.resolve(client, self._session, delivery.group)
        if delivery.state is not DeliveryState.SENDING:
            sending = replace(delivery, state=DeliveryState.SENDING)
            await self._run.record(sending)
            self._queue[self._queue.index(delivery)] = delivery = sending
        text = text_of(self._run.cycle.post_content)
        request = text_request(peer, topic, text, delivery.random_id)
        try:
            answer = await client.call(request, self._parts.settings.send_timeout_seconds)
        finally:
            self._next_post_at = self._parts.clock.monotonic() + self._user().delay_between_posts
        await self._delivered(delivery, sent_message_id(answer, delivery.random_id))

    async def _delivered(self, delivery: Delivery, message_id: int | None) -> None:
        self._failures = 0
        ended = replace(
            delivery, state=DeliveryState.DELIVERED, message_id=message_id, finished_at=self._parts.clock.now()
        )
        text = f"Posted to {delivery.group} with {self._session}"
        event = self._run.event("post_delivered", text, Level.INFO, self._session, delivery.group)
        await self._run.record(ended, event=event, messages=1)
        self._drop(delivery)
        if self._session in self._user().group_holds.get(delivery.group, {}):
            await self._hold_group(delivery.group, None)

    # What an error leads to

    async def _react(self, error: Exception, delivery: Delivery | None, client: PostingClient | None = None) -> None:
        """Do what the table says; `delivery` is None when the account could not connect or its connection broke.

        Raises:
            _LeaveSession: this account is done for the cycle.
        """
        reaction = reaction_to(error, refusals_in_a_row=self._refusals(error, delivery))
        if reaction.code in _UNEXPECTED:
            log.error("Unexpected error of %s", self._session, exc_info=error, extra={"user": self._run.user})
        match reaction.action:
            case Action.ALREADY_THERE if delivery is not None and client is not None:
                await self._delivered(delivery, await self._find(client, delivery))
            case Action.RETRY | Action.REFETCH | Action.ALREADY_THERE:
                await self._try_again(reaction, delivery)
            case Action.HOLD if reaction.scope is Scope.GROUP and delivery is not None:
                await self._group_refuses(reaction, delivery)
            case Action.GIVE_UP:
                await self._refuse_content(reaction, delivery)
            case Action.RETIRE:
                await self._retire(reaction)
            case Action.NEEDS_LOGIN | Action.FREEZE:
                await self._pause_account(reaction)
            case _:
                await self._rest(reaction)

    async def _try_again(self, reaction: Reaction, delivery: Delivery | None) -> None:
        """Back off, then the same delivery with the same random_id; after too many tries give it up for this cycle."""
        self._failures += 1
        if delivery is not None:
            self._unanswered.add(delivery.id)
        if self._failures >= MOST_TRIES:
            self._failures = 0
            if delivery is None:
                await self._end_all(DeliveryState.FAILED, f"no connection for {self._session}: {reaction.explanation}")
                raise _LeaveSession
            await self._end(delivery, DeliveryState.FAILED, reaction.explanation, reaction.code)
            return
        pause = min(_LONGEST_BACK_OFF, _FIRST_BACK_OFF * 2 ** (self._failures - 1)) * random.uniform(0.7, 1.3)
        await wait_for_event(self._parts.clock, self._run.control.asked, pause)

    async def _group_refuses(self, reaction: Reaction, delivery: Delivery) -> None:
        seconds = reaction.hold_seconds or 0.0
        slow_mode = reaction.code == "SLOWMODE_WAIT"
        if slow_mode and seconds <= self._parts.settings.wait_patience_seconds:
            self._ready_at[delivery.id] = self._parts.clock.monotonic() + seconds
            return
        if reaction.code in NOT_A_MEMBER:
            await self._parts.peers.forget(self._session, delivery.group)
        until = self._parts.clock.now() + timedelta(seconds=seconds)
        refusals = 1 + self._refusals_of(delivery.group)
        await self._hold_group(
            delivery.group, Hold(until=until, code=reaction.code, reason=reaction.explanation, count=refusals)
        )
        state = DeliveryState.SKIPPED if slow_mode else DeliveryState.FAILED
        reason = f"{reaction.explanation} {self._session} tries again after {clock_time(until)}."
        await self._end(delivery, state, reason, reaction.code)

    async def _rest(self, reaction: Reaction) -> None:
        """The account waits: here if it is short, else its posts wait for a later cycle. Nobody posts them for it."""
        seconds = reaction.hold_seconds or 0.0
        until = self._parts.clock.now() + timedelta(seconds=seconds)
        await self._parts.sessions.hold(self._session, until, reaction.code, reaction.explanation)
        flood = reaction.code in _FLOODS
        text = f"{self._session} rests until {clock_time(until)}: {reaction.explanation}"
        event = self._run.event("flood_wait" if flood else "account_held", text, Level.WARNING, self._session)
        await self._run.record(event=event, floods=int(flood))
        if seconds <= self._parts.settings.wait_patience_seconds:
            self._next_post_at = max(self._next_post_at, self._parts.clock.monotonic() + seconds)
            return
        await self._end_all(DeliveryState.SKIPPED, f"{self._session} rests until {clock_time(until)}")
        raise _LeaveSession

    async def _retire(self, reaction: Reaction) -> None:
        outcome = await self._parts.sessions.retire(self._run.user, self._session, reaction.explanation)
        if outcome.spare is not None:
            text = f"{self._session} was replaced by {outcome.spare}: {reaction.explanation}"
            event = self._run.event("session_replaced", text, Level.WARNING, self._session)
        else:
            text = f"{self._session} is lost and was not replaced: {reaction.explanation} {outcome.why_not}"
            event = self._run.event("session_lost", text, Level.ERROR, self._session)
        await self._run.record(event=event)
        await self._hand_over()
        if outcome.wave:
            text = "The bot stops: several accounts were banned within a short time. Find out why before you start it"
            await self._run.record(event=self._run.event("ban_wave", text, Level.ERROR))
            self._run.control.end(End.STOPPED)
        raise _LeaveSession

    async def _refuse_content(self, reaction: Reaction, delivery: Delivery | None) -> None:
        """The post itself is wrong: no group gets it, and the cycle says so once."""
        self._run.content_refused = reaction.explanation
        if delivery is not None:
            await self._end(delivery, DeliveryState.FAILED, reaction.explanation, reaction.code, tell=False)
        raise _LeaveSession

    async def _pause_account(self, reaction: Reaction) -> None:
        """Its owner has to act. A lost login is no limit, so other accounts of the user may post instead."""
        login = reaction.action is Action.NEEDS_LOGIN
        state = SessionState.NEEDS_LOGIN if login else SessionState.FROZEN
        await self._parts.sessions.set_state(self._session, state, reaction.explanation)
        text = f"{self._session} is paused: {reaction.explanation}"
        await self._run.record(event=self._run.event(f"session_{state.value}", text, Level.ERROR, self._session))
        if login:
            await self._hand_over()
        else:
            await self._end_all(DeliveryState.SKIPPED, reaction.explanation)
        raise _LeaveSession

    async def _hand_over(self) -> None:
        """What was never sent can go to another account; what may have arrived cannot: it could arrive twice."""
        for delivery in list(self._queue):
            if delivery.id in self._unanswered:
                await self._end(delivery, DeliveryState.UNKNOWN, f"{self._session} was lost while it was sent")
        self.handed_over = [replace(delivery, state=DeliveryState.PLANNED) for delivery in self._queue]

    # Small things

    async def _end(
        self, delivery: Delivery, state: DeliveryState, reason: str, error: str | None = None, *, tell: bool = True
    ) -> None:
        if delivery.id in self._unanswered:
            state = DeliveryState.UNKNOWN
        await self._run.close(delivery, state, reason, error=error, tell=tell)
        self._drop(delivery)

    async def _end_all(self, state: DeliveryState, reason: str) -> None:
        for delivery in list(self._queue):
            await self._end(delivery, state, reason)

    def _drop(self, delivery: Delivery) -> None:
        self._queue = deque(other for other in self._queue if other.id != delivery.id)
        self._unanswered.discard(delivery.id)

    async def _find(self, client: PostingClient, delivery: Delivery) -> int | None:
        """The message id of a post that Telegram says it has already; its absence changes nothing."""
        text = text_of(self._run.cycle.post_content)
        try:
            peer, _ = await self._parts.peers.resolve(client, self._session, delivery.group)
            return await find_posted(client, peer, client.self_id, text, self._parts.settings.send_timeout_seconds)
        except (OSError, RPCError):
            return None

    def _user(self) -> User:
        return self._parts.store.snapshot.users[self._run.user]

    def _refusals(self, error: Exception, delivery: Delivery | None) -> int:
        """How often in a row the scope of this error refused before."""
        if delivery is not None and reaction_to(error).scope is Scope.GROUP:
            return self._refusals_of(delivery.group)
        hold = self._parts.store.snapshot.sessions[self._session].hold
        return hold.count if hold is not None and hold.code == code_of(error) else 0

    def _refusals_of(self, group: str) -> int:
        hold = self._user().group_holds.get(group, {}).get(self._session)
        return hold.count if hold is not None else 0

    async def _hold_group(self, group: str, hold: Hold | None) -> None:
        """This account leaves that group alone until then; None forgets its refusals."""

        def change(tx: Transaction) -> None:
            user = tx.user(self._run.user)
            holds = {other: by for other, by in user.group_holds.items() if other in user.groups}
            mine = {name: held for name, held in holds.pop(group, {}).items() if name != self._session}
            if hold is not None:
                mine[self._session] = hold
            if mine:
                holds[group] = mine
            tx.put_user(self._run.user, replace(user, group_holds=holds))

        await self._parts.store.transact(change)
