"""What one classified error of an account leads to, in a cycle.

The policy does what concerns the account or the group (a hold, a replacement, a line in the log). It returns what is to
become of the deliveries: retry, end or pass on this one, or leave the account.
"""

import logging
import random
from dataclasses import dataclass

from msgspec.structs import replace

from bot.chats.membership import NOT_A_MEMBER
from bot.chats.seen import Absent
from bot.chats.targets import parse_target
from bot.cycle.account import CycleAccount
from bot.cycle.holds import leave_group_alone, rest_account
from bot.cycle.planner import Exclusion, clock_time
from bot.cycle.run import StopReason
from bot.reactions.classify import SIGN_OF_A_LIMITED_ACCOUNT, Action, Reaction, Scope, limited_account
from bot.reactions.table import BY_CODE
from core.models import Delivery, DeliveryState, Level, SessionState
from sessions.roster.assignment import BAN_WAVE

log = logging.getLogger(__name__)

MOST_TRIES = 6
"""A delivery is tried at least this often before it is given up for this cycle."""
_FIRST_BACK_OFF = 0.5
_LONGEST_BACK_OFF = 15.0
_FLOODS = frozenset({"FLOOD_WAIT", "FLOOD_PREMIUM_WAIT"})
_SLOW_MODE = "SLOWMODE_WAIT"
_BANNED_IN_SEVERAL = 3


@dataclass(frozen=True)
class Retry:
    """Choose again after some seconds. Pacing keeps back what the error put off."""

    seconds: float = 0.0


@dataclass(frozen=True)
class EndDelivery:
    """This delivery is over."""

    state: DeliveryState
    reason: str
    code: str
    tell: bool = True
    """Whether the user's log tells of it."""


@dataclass(frozen=True)
class PassOn:
    """Another account may make this delivery."""

    reason: str
    code: str


@dataclass(frozen=True)
class LeaveAccount:
    """The account posts nothing more in this cycle."""

    state: DeliveryState | None = None
    """How what is left ends. None: other accounts take it over."""
    reason: str = ""


Consequence = Retry | EndDelivery | PassOn | LeaveAccount


class Policy:
    """Turns the reactions to one account's errors into consequences. It counts failures in a row."""

    def __init__(self, account: CycleAccount) -> None:
        self._account = account
        self._services = account.services
        self._run = account.run
        self._failures = 0
        self._trouble_since = 0.0
        self._banned_in: set[str] = set()
        """Groups in a row that said this account is banned there."""

    def succeeded(self) -> None:
        """Note that a post arrived."""
        self._failures = 0
        self._banned_in.clear()

    async def respond(self, reaction: Reaction, delivery: Delivery | None) -> Consequence:
        """Do what follows from the reaction. `delivery` is None when the error is about the connection.

        Raises:
            StateError: something could not be read or written.
        """
        if reaction.is_unexpected:
            log.error(
                "Unexpected error of %s", self._account.name, exc_info=reaction.error, extra={"user": self._run.user}
            )
        if delivery is not None and self._is_limited_everywhere(reaction, delivery):
            reaction = limited_account()
        if reaction.action in {Action.RETRY, Action.REFETCH, Action.ALREADY_THERE}:
            return await self._try_again(reaction, delivery)
        about_delivery = None if delivery is None else await self._about_delivery(reaction, delivery)
        return about_delivery or await self._about_account(reaction)

    async def _about_delivery(self, reaction: Reaction, delivery: Delivery) -> Consequence | None:
        """Respond to an error that is about this post or its group; None: it is about the account."""
        match reaction.action:
            case Action.HOLD if reaction.scope is Scope.GROUP:
                return await self._leave_group(reaction, delivery)
            case Action.SKIP:
                return EndDelivery(DeliveryState.SKIPPED, reaction.explanation, reaction.code)
            case Action.ANOTHER_ACCOUNT:
                return self._source_is_hidden(reaction)
            case Action.GIVE_UP:
                # No group gets the post, and the cycle says so once.
                self._run.refuse_content(reaction.explanation)
                return EndDelivery(DeliveryState.FAILED, reaction.explanation, reaction.code, tell=False)
        return None

    async def _about_account(self, reaction: Reaction) -> Consequence:
        match reaction.action:
            case Action.RETIRE:
                return await self._retire(reaction)
            case Action.NEEDS_LOGIN:
                # A lost login is no limit, so other accounts of the user may post instead.
                await self._pause(SessionState.NEEDS_LOGIN, reaction)
                return LeaveAccount()
            case Action.FREEZE:
                await self._pause(SessionState.FROZEN, reaction)
                return LeaveAccount(DeliveryState.SKIPPED, reaction.explanation)
            case Action.QUARANTINE:
                return await self._quarantine(reaction)
            case Action.LEAVE:
                text = f"{self._account.name} leaves the bot: {reaction.explanation}"
                await self._account.tell("session_left", text, Level.ERROR)
                return LeaveAccount()
            case Action.REPAIR:
                return await self._stand_aside(reaction)
            case Action.HOLD:
                return await self._rest(reaction)
        return LeaveAccount(DeliveryState.FAILED, reaction.explanation)

    def _is_limited_everywhere(self, reaction: Reaction, delivery: Delivery) -> bool:
        if reaction.code != SIGN_OF_A_LIMITED_ACCOUNT:
            return False
        self._banned_in.add(delivery.group)
        return len(self._banned_in) >= _BANNED_IN_SEVERAL

    async def _try_again(self, reaction: Reaction, delivery: Delivery | None) -> Consequence:
        """Back off, then the same delivery with the same random_id. After too many tries, give up for this cycle."""
        self._failures += 1
        now, name = self._services.clock.monotonic(), self._account.name
        if self._failures == 1:
            self._trouble_since = now
            if delivery is None:
                text = f"{name} cannot reach Telegram and keeps trying: {reaction.explanation}"
                await self._account.tell("unreachable", text)
        if reaction.action is Action.REFETCH:
            self._services.shelf(self._run.user, name).forget(self._run.post)
        patience = self._services.settings.network_patience_seconds if delivery is None else 0.0
        if self._failures >= MOST_TRIES and now - self._trouble_since >= patience:
            self._failures = 0
            if delivery is None:
                return LeaveAccount(DeliveryState.FAILED, f"no connection for {name}: {reaction.explanation}")
            return EndDelivery(DeliveryState.FAILED, reaction.explanation, reaction.code)
        pause = min(_LONGEST_BACK_OFF, _FIRST_BACK_OFF * 2 ** (self._failures - 1))
        return Retry(pause * random.uniform(0.7, 1.3))

    async def _leave_group(self, reaction: Reaction, delivery: Delivery) -> Consequence:
        """Let this account leave the group alone. Nobody stands in for an account that a group or Telegram limits."""
        name, chat = self._account.name, parse_target(delivery.group).chat
        if reaction.code in NOT_A_MEMBER or reaction.code == _SLOW_MODE:
            await self._services.peers.forget(name, chat)
        if reaction.code in NOT_A_MEMBER:
            self._services.peers.seen.put_chat(name, chat, Absent(reaction.code, reaction.explanation))
        until = await leave_group_alone(self._account, delivery.group, reaction)
        if reaction.code == _SLOW_MODE:
            return Retry()  # pacing decides whether the cycle waits for it
        if (reaction.others_may_post or reaction.code in NOT_A_MEMBER) and self._account.has_colleagues:
            return PassOn(reaction.explanation, reaction.code)
        reason = f"{reaction.explanation} {name} tries again after {clock_time(until)}."
        return EndDelivery(DeliveryState.FAILED, reason, reaction.code)

    def _source_is_hidden(self, reaction: Reaction) -> Consequence:
        message = self._run.post.content.message or ""
        self._services.peers.seen.put_message(self._account.name, message, hidden=True)
        if self._account.has_colleagues:
            return PassOn(BY_CODE[reaction.code][1], reaction.code)
        return EndDelivery(DeliveryState.FAILED, reaction.explanation, reaction.code)

    async def _stand_aside(self, reaction: Reaction) -> Consequence:
        """Leave the groups to others: something of ours is broken, such as the key, and no group is at fault."""
        name = self._account.name
        for group in self._run.groups:
            self._run.turned_away.setdefault(group, {})[name] = Exclusion(reaction.explanation)
        text = f"{name} posts nothing in this cycle: {reaction.explanation}"
        await self._account.tell("session_left_out", text, Level.ERROR)
        return LeaveAccount()

    async def _rest(self, reaction: Reaction) -> Consequence:
        """Let the account rest; nobody posts for it meanwhile. Pacing decides whether the cycle waits for it."""
        until, name = await rest_account(self._account, reaction), self._account.name
        flood = reaction.code in _FLOODS
        text = f"{name} rests until {clock_time(until)}: {reaction.explanation}"
        await self._account.tell("flood_wait" if flood else "account_held", text, floods=int(flood))
        return Retry()

    async def _retire(self, reaction: Reaction) -> Consequence:
        """Let a spare account take the place of a banned one (`sessions.session_manager`)."""
        name = self._account.name
        outcome = await self._services.sessions.retire(self._run.user, name, reaction.explanation)
        if outcome.spare is not None:
            text = f"{name} was replaced by {outcome.spare}: {reaction.explanation}"
            await self._account.tell("session_replaced", text)
        else:
            text = f"{name} is lost and was not replaced: {reaction.explanation} {outcome.why_not}"
            await self._account.tell("session_lost", text, Level.ERROR)
        if outcome.wave:
            await self._run.record(event=self._run.event("ban_wave", f"The bot stops: {BAN_WAVE}", Level.ERROR))
            self._run.control.end(StopReason.STOPPED)
        return LeaveAccount()

    async def _pause(self, state: SessionState, reaction: Reaction) -> None:
        """Pause the account until its owner acts."""
        await self._services.sessions.set_state(self._account.name, state, reaction.explanation)
        text = f"{self._account.name} is paused: {reaction.explanation}"
        await self._account.tell(f"session_{state.value}", text, Level.ERROR)

    async def _quarantine(self, reaction: Reaction) -> Consequence:
        """Stop everything on an API pair that Telegram refuses, and tell its users which accounts need a new login."""
        session = self._services.store.snapshot.sessions.get(self._account.name)
        api_id = session.api_id if session is not None else None
        lost = await self._services.sessions.quarantine_pair(api_id, reaction.explanation) if api_id is not None else {}
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
                await self._services.journal.add_event(replace(event, user=user))
        return LeaveAccount()
