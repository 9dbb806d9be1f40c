"""What one account may post now, by every wait that is known beforehand."""

from bot.chats.targets import parse_target
from bot.cycle.account import CycleAccount
from bot.cycle.batch import AccountBatch
from bot.cycle.holds import group_hold
from bot.cycle.planner import clock_time
from bot.pacing.decide import Decision, Limits, PacingState, Verdict, decide
from core.models import Delivery, DeliveryState
from sessions.connections.client import PostingClient

_IN_THE_CYCLE = (DeliveryState.PLANNED, DeliveryState.SENDING, DeliveryState.DELIVERED)


class Chooser:
    """Chooses the next delivery of a batch, and closes what has to wait longer than the cycle does."""

    def __init__(self, account: CycleAccount, batch: AccountBatch) -> None:
        self._account = account
        self._services = account.services
        self._batch = batch

    async def choose(self) -> Delivery | float:
        """Return the delivery that may go now, or the seconds until one may. Raises SessionDeleted."""
        now, limits, name = self._services.clock.now(), self._limits(), self._account.name
        decision = decide(now, limits, self._services.history.account(name, self._account.session))
        if decision.verdict is Verdict.DEFER:
            reason = f"{name} posts again after {clock_time(decision.at)}: {decision.reason}"
            await self._batch.end_all(DeliveryState.SKIPPED, reason)
            return 0.0
        if decision.verdict is not Verdict.GO:
            return decision.seconds
        waits: list[float] = []
        for delivery in self._batch.left:
            decision = decide(now, limits, self._pacing_in(delivery.group))
            if decision.verdict is Verdict.GO or self._slow_mode_may_be_over(decision, delivery.group):
                return delivery
            if decision.verdict is Verdict.DEFER:
                reason = f"{decision.reason} {name} may post there after {clock_time(decision.at)}"
                await self._batch.end(delivery, DeliveryState.SKIPPED, reason, decision.code.upper())
            else:
                waits.append(decision.seconds)
        return min(waits, default=0.0)

    async def looked_at_slow_mode(self, client: PostingClient, group: str) -> bool:
        """Return whether the post was chosen only to look at the group's slow mode; then choose again."""
        decision = decide(self._services.clock.now(), self._limits(), self._pacing_in(group))
        if not self._slow_mode_may_be_over(decision, group):
            return False
        await self._services.peers.look_at_slow_mode(client, self._account.name, parse_target(group).chat)
        return True

    def _limits(self) -> Limits:
        others_wait = self._account.run.count(*_IN_THE_CYCLE) > 1
        return self._services.history.limits(self._account.user, others_wait=others_wait)

    def _pacing_in(self, group: str) -> PacingState:
        account = self._account
        slow_mode = self._services.peers.slow_mode(account.name, parse_target(group).chat)
        hold = group_hold(account, group)
        return self._services.history.in_group(account.run.user, account.name, group, slow_mode, hold)

    def _slow_mode_may_be_over(self, decision: Decision, group: str) -> bool:
        """Return whether only a remembered slow mode leaves the post for later: admins may have turned it off."""
        if decision.verdict is not Verdict.DEFER or decision.code != "slow_mode":
            return False
        return not self._services.peers.seen.has_slow_mode(self._account.name, parse_target(group).chat)
