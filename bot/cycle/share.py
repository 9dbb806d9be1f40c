"""One account's part of one cycle: its queue, and what each error leads to.

Every error goes through `reactions` to exactly one reaction. `bot.cycle.worker` chooses and posts.
"""

import logging
import random
from collections import deque
from datetime import timedelta

from msgspec.structs import replace

from bot.chats.membership import NOT_A_MEMBER
from bot.chats.seen import Absent
from bot.chats.targets import parse_target
from bot.compose.media import premium_needed
from bot.compose.rights import concerns
from bot.cycle.doubts import Doubts
from bot.cycle.planner import Exclusion, clock_time
from bot.cycle.run import CycleRun, CycleServices, StopReason
from bot.cycle.sending import Sender
from bot.reactions.classify import (
    SIGN_OF_A_LIMITED_ACCOUNT,
    Action,
    ForeseenRefusal,
    Reaction,
    Scope,
    code_of,
    limited_account,
    reaction_to,
)
from core.clock import wait_for_event
from core.models import Delivery, DeliveryState, Hold, Level, Session, SessionState, User
from data.users.data_manager import Transaction
from sessions.assignment import BAN_WAVE

log = logging.getLogger(__name__)

MOST_TRIES = 6
"""So often a delivery is tried at least before it is given up for this cycle."""
_FIRST_BACK_OFF = 0.5
_LONGEST_BACK_OFF = 15.0
_FLOODS = frozenset({"FLOOD_WAIT", "FLOOD_PREMIUM_WAIT"})
_SLOW_MODE = "SLOWMODE_WAIT"
_BANNED_IN_SEVERAL = 3
_UNEXPECTED = frozenset({"UNEXPECTED_ERROR", "UNKNOWN_TELEGRAM_ERROR"})


class LeaveSession(Exception):
    """This account posts nothing more in this cycle."""


class SessionGone(Exception):
    """The account was deleted while the cycle ran."""


class Share:
    """The deliveries one account still has to make, and how it copes with trouble."""

    def __init__(self, parts: CycleServices, run: CycleRun, session: str, deliveries: list[Delivery]) -> None:
        self._parts = parts
        self._run = run
        self._session = session
        self._sender = Sender(parts, run, session)
        self._doubts = Doubts(run, self._sender)
        self._queue: deque[Delivery] = deque()
        for one in deliveries:
            turned_away = run.turned_away.get(one.group, {}).get(session)
            if one.session != session:  # only its own account may send it again
                self._doubts.add(one, f"{one.session} was cut off while it sent it")
            elif turned_away is not None:
                self._doubts.add(one, turned_away.reason)
            else:
                self._queue.append(one)
        self._unanswered = {one.id for one in self._queue if one.state is DeliveryState.SENDING}
        """Deliveries of which some attempt may have arrived."""
        self._failures = 0
        self._trouble_since = 0.0
        self._posted: list[Delivery] = []
        """What arrived, for looking after it."""
        self._banned_in: set[str] = set()
        """Groups in a row that said this account is banned there."""
        self.handed_over: list[Delivery] = []

    # What an error leads to

    async def _react(self, error: Exception, delivery: Delivery | None) -> None:
        """Do what the table says; `delivery` is None when the account could not connect or its connection broke.

        Raises:
            LeaveSession: this account is done for the cycle.
        """
        reaction = self._reaction(error, delivery)
        if reaction.code in _UNEXPECTED:
            log.error("Unexpected error of %s", self._session, exc_info=error, extra={"user": self._run.user})
        match reaction.action:
            case Action.RETRY | Action.REFETCH | Action.ALREADY_THERE:
                await self._try_again(reaction, delivery)
            case Action.HOLD if reaction.scope is Scope.GROUP and delivery is not None:
                await self._group_refuses(reaction, delivery, may_pass_on=_concerns_this_account_alone(error))
            case Action.GIVE_UP:
                await self._refuse_content(reaction.explanation, reaction.code, delivery)
            case Action.RETIRE:
                await self._retire(reaction)
            case Action.NEEDS_LOGIN | Action.FREEZE:
                await self._pause_account(reaction)
            case Action.QUARANTINE:
                await self._quarantine(reaction)
            case _:
                await self._rest(reaction)

    async def _try_again(self, reaction: Reaction, delivery: Delivery | None) -> None:
        """Back off, then the same delivery with the same random_id; after too many tries give it up for this cycle."""
        self._failures += 1
        now = self._parts.clock.monotonic()
        if self._failures == 1:
            self._trouble_since = now
            if delivery is None:
                text = f"{self._session} cannot reach Telegram and keeps trying: {reaction.explanation}"
                await self._run.record(event=self._run.event("unreachable", text, Level.WARNING, self._session))
        if reaction.action is Action.REFETCH:
            self._parts.shelf(self._run.user, self._session).forget(self._run.post)
        patience = self._parts.settings.network_patience_seconds if delivery is None else 0.0
        if self._failures >= MOST_TRIES and now - self._trouble_since >= patience:
            self._failures = 0
            if delivery is None:
                await self._end_all(DeliveryState.FAILED, f"no connection for {self._session}: {reaction.explanation}")
                raise LeaveSession
            await self._end(delivery, DeliveryState.FAILED, reaction.explanation, reaction.code)
            return
        pause = min(_LONGEST_BACK_OFF, _FIRST_BACK_OFF * 2 ** (self._failures - 1)) * random.uniform(0.7, 1.3)
        await wait_for_event(self._parts.clock, self._run.control.over, pause)

    async def _group_refuses(self, reaction: Reaction, delivery: Delivery, *, may_pass_on: bool) -> None:
        seconds, chat = reaction.hold_seconds or 0.0, parse_target(delivery.group).chat
        if reaction.code in NOT_A_MEMBER or reaction.code == _SLOW_MODE:
            await self._parts.peers.forget(self._session, chat)
        if reaction.code in NOT_A_MEMBER:
            self._parts.peers.seen.put_chat(self._session, chat, Absent(reaction.code, reaction.explanation))
        now = self._parts.clock.now()
        until, refusals = now + timedelta(seconds=seconds), 1 + self._refusals_of(delivery.group)
        await self._hold_group(
            delivery.group,
            Hold(until=until, code=reaction.code, reason=reaction.explanation, count=refusals, since=now),
        )
        if reaction.code == _SLOW_MODE:
            return  # the hold decides whether it is waited for or left to a later cycle
        if may_pass_on and self._has_colleagues():
            await self._pass_on(delivery, reaction.explanation, reaction.code)
            return
        reason = f"{reaction.explanation} {self._session} tries again after {clock_time(until)}."
        await self._end(delivery, DeliveryState.FAILED, reason, reaction.code)

    async def _pass_on(self, delivery: Delivery, reason: str, code: str) -> None:
        """This account is not in the group, or not fit for the post: that says nothing about the user's others. Where
        it may have arrived after all they only find out."""
        self._run.turned_away.setdefault(delivery.group, {})[self._session] = Exclusion(reason)
        if delivery.id not in self._unanswered:
            delivery = replace(delivery, state=DeliveryState.PLANNED)
            await self._run.record(delivery)
        self.handed_over.append(replace(delivery, error=code))
        self._drop(delivery)

    async def _rest(self, reaction: Reaction) -> None:
        """The account waits: whether here or until a later cycle, pacing decides. Nobody posts for it meanwhile."""
        seconds = reaction.hold_seconds or 0.0
        until = self._parts.clock.now() + timedelta(seconds=seconds)
        await self._parts.sessions.hold(self._session, until, reaction.code, reaction.explanation)
        flood = reaction.code in _FLOODS
        text = f"{self._session} rests until {clock_time(until)}: {reaction.explanation}"
        event = self._run.event("flood_wait" if flood else "account_held", text, Level.WARNING, self._session)
        await self._run.record(event=event, floods=int(flood))

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
            await self._run.record(event=self._run.event("ban_wave", f"The bot stops: {BAN_WAVE}", Level.ERROR))
            self._run.control.end(StopReason.STOPPED)
        raise LeaveSession

    async def _refuse_content(self, explanation: str, code: str, delivery: Delivery | None) -> None:
        """The post itself is wrong: no group gets it, and the cycle says so once."""
        self._run.refuse_content(explanation)
        if delivery is not None:
            await self._end(delivery, DeliveryState.FAILED, explanation, code, tell=False)
        raise LeaveSession

    async def _leave_to_others(self, why: Exception) -> None:
        """The account is this bot's no more; others may post what it never sent.

        Raises:
            LeaveSession: always.
        """
        text = f"{self._session} leaves the bot: {str(why) or 'it was deleted'}"
        await self._run.record(event=self._run.event("session_left", text, Level.ERROR, self._session))
        await self._hand_over()
        raise LeaveSession

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
        raise LeaveSession

    async def _quarantine(self, reaction: Reaction) -> None:
        """Telegram refuses the API pair: nothing runs on it any more, and whoever has accounts on it is told which."""
        session = self._parts.store.snapshot.sessions.get(self._session)
        api_id = session.api_id if session is not None else None
        lost = await self._parts.sessions.quarantine_pair(api_id, reaction.explanation) if api_id is not None else {}
        log.error(
            "API pair %s is quarantined: %s Accounts that need a new login: %s",
            api_id,
            reaction.explanation,
            ", ".join(lost) or "none more",
            extra={"action": "api_pair_quarantined"},
        )
        for name, user in lost.items():
            if user is not None:
                text = f"{name} needs a new login: Telegram refuses its API pair. {reaction.explanation}"
                event = self._run.event("session_needs_login", text, Level.ERROR, name)
                await self._parts.journal.add_event(replace(event, user=user))
        await self._hand_over()
        raise LeaveSession

    def _leave_to_premium(self) -> None:
        """This account turned out to have no Telegram Premium: what needs it, and was not sent, goes back to the
        planner, which now knows."""
        if premium_needed(self._parts.media_folder(self._run.user), self._run.post) is None:
            return
        for delivery in [one for one in self._queue if one.state is DeliveryState.PLANNED]:
            self.handed_over.append(delivery)
            self._drop(delivery)

    async def _hand_over(self) -> None:
        """What was never sent can go to another account. What may have arrived cannot: it could arrive twice; others
        only find out whether it did."""
        for delivery in self._queue:
            state = DeliveryState.SENDING if delivery.id in self._unanswered else DeliveryState.PLANNED
            self.handed_over.append(replace(delivery, state=state))
        self.handed_over += self._doubts.pass_on()
        self._queue.clear()

    # Small things

    async def _end(
        self, delivery: Delivery, state: DeliveryState, reason: str, error: str | None = None, *, tell: bool = True
    ) -> None:
        if delivery.id in self._unanswered:
            self._doubts.add(delivery, reason, error, tell=tell)
        else:
            await self._run.close(delivery, state, reason, error=error, tell=tell)
        self._drop(delivery)

    async def _end_all(self, state: DeliveryState, reason: str) -> None:
        for delivery in list(self._queue):
            await self._end(delivery, state, reason)

    def _put_last(self, delivery: Delivery) -> None:
        """Others first: a chat whose posts never get an answer must not use up the tries of all the others."""
        self._queue = deque(sorted(self._queue, key=lambda other: other.id == delivery.id))

    def _drop(self, delivery: Delivery) -> None:
        self._queue = deque(other for other in self._queue if other.id != delivery.id)
        self._unanswered.discard(delivery.id)

    def _reaction(self, error: Exception, delivery: Delivery | None) -> Reaction:
        if delivery is not None and code_of(error) == SIGN_OF_A_LIMITED_ACCOUNT:
            self._banned_in.add(delivery.group)
            if len(self._banned_in) >= _BANNED_IN_SEVERAL:
                return limited_account(self._hold_count())
        return reaction_to(error, refusals_in_a_row=self._refusals(error, delivery))

    def _hold_count(self) -> int:
        hold = self._hold()
        return hold.count if hold is not None else 0

    def _facts(self) -> Session:
        """The account as it is now. Raises SessionGone."""
        session = self._parts.store.snapshot.sessions.get(self._session)
        if session is None:
            raise SessionGone
        return session

    def _hold(self) -> Hold | None:
        session = self._parts.store.snapshot.sessions.get(self._session)
        return session.hold if session is not None else None

    def _has_colleagues(self) -> bool:
        return len(self._user().assigned_sessions) > 1

    def _user(self) -> User:
        return self._parts.store.snapshot.users[self._run.user]

    def _hold_in(self, group: str) -> Hold | None:
        """Why this account leaves that group alone, if it is about posts of this kind."""
        hold = self._user().group_holds.get(group, {}).get(self._session)
        return hold if hold is not None and concerns(hold.code, self._run.post) else None

    def _refusals(self, error: Exception, delivery: Delivery | None) -> int:
        """How often in a row the scope of this error refused before."""
        if delivery is not None and reaction_to(error).scope is Scope.GROUP:
            return self._refusals_of(delivery.group)
        hold = self._hold()
        return hold.count if hold is not None and hold.code == code_of(error) else 0

    def _refusals_of(self, group: str) -> int:
        hold = self._hold_in(group)
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


def _concerns_this_account_alone(error: Exception) -> bool:
    """Whether another account of the user may post there all the same: this one is not in the group, or lacks what
    others may have. Whom a group or Telegram limits is never stood in for."""
    if isinstance(error, ForeseenRefusal):
        return not error.personal
    return code_of(error) in NOT_A_MEMBER
