"""`execute_session_cycle`: one account posts its batch of a cycle.

A delivery is written down before it is sent and always repeated with the same random_id by the same account, so that
neither a crash nor a lost answer doubles a post. The worker waits, connects and reconnects; `chooser` says what may go,
`posting` sends it, and `policy` says what an error leads to.
"""

from contextlib import AbstractAsyncContextManager

from bot.compose.media import premium_needed
from bot.cycle.account import CycleAccount
from bot.cycle.batch import AccountBatch
from bot.cycle.chooser import Chooser
from bot.cycle.doubts import Doubts
from bot.cycle.policy import EndDelivery, LeaveAccount, PassOn, Policy, Retry
from bot.cycle.posting import Poster
from bot.cycle.run import STOPPED, CycleRun, CycleServices
from bot.cycle.sending import Sender
from bot.cycle.verify_posts import verify_posts
from bot.reactions.classify import Action, Reaction, reaction_to
from core.clock import wait_for_event
from core.errors import NotReady
from core.models import Delivery, DeliveryState
from sessions.connections.client import PostingClient
from sessions.logins.recognition import recognised

_LOOK_AGAIN_SECONDS = 30.0
_LOOKS = 3
"""How often a connection is tried for looking whether posts arrived."""
_REST_BETWEEN_LOOKS = 2.0


async def execute_session_cycle(
    services: CycleServices, run: CycleRun, session: str, deliveries: list[Delivery]
) -> list[Delivery]:
    """Post these deliveries with this account; return those that other accounts may take over.

    Whatever cannot be posted now is closed with a reason. When the run is over early, what is in flight is looked for
    and the rest stays as it is.

    Raises:
        StateError: something could not be read or written; the rest stays as the journal has it.
    """
    worker = _Worker(CycleAccount(services, run, session), deliveries)
    await worker.post_all()
    return worker.batch.handed_over


class _Worker:
    """Waits, connects and posts until nothing is left."""

    def __init__(self, account: CycleAccount, deliveries: list[Delivery]) -> None:
        self._account = account
        self._services = account.services
        self._run = account.run
        sender = Sender(account.services, account.run, account.name)
        self._doubts = Doubts(account.run, sender)
        self.batch = AccountBatch(account, deliveries, self._doubts)
        self._chooser = Chooser(account, self.batch)
        self._policy = Policy(account)
        self._poster = Poster(account, self.batch, self._chooser, sender, self._policy)

    async def post_all(self) -> None:
        """Post until nothing is left, and look for what may have arrived before it is closed.

        When the connection breaks, the worker reconnects with growing pauses.
        """
        while self.batch and not self._run.over:
            try:
                reaction = await self._connect_and_post()
            except Exception as error:  # noqa: BLE001  the table decides about every error
                reaction = reaction_to(error)
            if reaction is not None:
                await self._follow(reaction, None)
        if self._run.over:
            await self._end_what_is_in_flight()
        await self._settle_doubts()

    async def _connect_and_post(self) -> Reaction | None:
        """Post over one connection. Return the error that ended it, if one did."""
        await self._rest_before_connecting()
        if self.batch.abandoned or self._run.over:
            return None
        async with self._services.connections.taken_by(self._run.user):
            self._run.alive()
            async with self._connected() as client:
                return await self._post_over(client)

    async def _post_over(self, client: PostingClient) -> Reaction | None:
        if not client.premium and premium_needed(self._services.media_folder(self._run.user), self._run.post):
            self.batch.give_back_unsent()  # the planner now knows that this account has no Telegram Premium
        while (delivery := await self._next()) is not None:
            reaction = await self._poster.post(client, delivery)
            if reaction is not None and reaction.connection_lost:
                self.batch.put_last(delivery)
                return reaction
            if reaction is not None:
                await self._follow(reaction, delivery)
            if self._services.connections.should_give_way(self._run.user):
                break
        if self.batch.abandoned or (self.batch and not self._run.over):
            return None  # others have their turn; the connection is kept for a while
        return await self._look_back(client)

    async def _look_back(self, client: PostingClient) -> Reaction | None:
        """Look for posts in doubt, and whether the posts made here still stand."""
        reaction = None if self._run.over else await self._doubts.look(client)
        if reaction is None:
            found = [one for one in self._doubts.found if one.session == self._account.name]
            posted, self._poster.posted, self._doubts.found = self._poster.posted + found, [], []
            await verify_posts(self._services, self._run, client, posted)
        return reaction

    async def _follow(self, reaction: Reaction, delivery: Delivery | None) -> None:
        """Do with the deliveries what the policy says."""
        match await self._policy.respond(reaction, delivery):
            case Retry(seconds):
                await wait_for_event(self._services.clock, self._run.control.over, seconds)
            case EndDelivery(state, reason, code, tell) if delivery is not None:
                await self.batch.end(delivery, state, reason, code, tell=tell)
            case PassOn(reason, code) if delivery is not None:
                await self.batch.pass_on(delivery, reason, code)
            case LeaveAccount(None):
                self.batch.hand_over()
            case LeaveAccount(DeliveryState() as state, reason):
                await self.batch.end_all(state, reason)

    def _connected(self) -> AbstractAsyncContextManager[PostingClient]:
        api_id = self._account.session.api_id
        if api_id is None:
            raise NotReady(f"{self._account.name} has no API pair; release it and start the bot again")
        return recognised(self._services.clients, self._services.sessions, self._account.name, api_id)

    async def _rest_before_connecting(self) -> None:
        """Hold no connection before something may go."""
        while self.batch and not self._run.over:
            chosen = await self._chooser.choose()
            if isinstance(chosen, Delivery):
                return
            await wait_for_event(self._services.clock, self._run.control.over, self._until_next_look(chosen))

    async def _next(self) -> Delivery | None:
        """Return the delivery whose time has come, waiting for it.

        None: nothing is left, the cycle is over early, or a user who holds fewer connections waits for one.
        """
        connections, user = self._services.connections, self._run.user
        while self.batch and not self._run.over:
            chosen = await self._chooser.choose()
            if isinstance(chosen, Delivery):
                return chosen
            await connections.rest(self._services.clock, self._run.control.over, self._until_next_look(chosen), user)
            if connections.should_give_way(user):
                break
        return None

    def _until_next_look(self, wait: float) -> float:
        """Return the seconds to the next look at a long rest.

        The user may have made the rest shorter, and the watchdog tells a cycle that rests from one that hangs.
        """
        self._run.alive()
        return min(wait, _LOOK_AGAIN_SECONDS, self._services.settings.stuck_cycle_seconds / 2)

    async def _end_what_is_in_flight(self) -> None:
        """End the deliveries that were being sent, or refused and waiting for another try, when the cycle is over."""
        if self._run.is_cut_off:
            return
        refused = self._run.content_refused
        for delivery in [one for one in self.batch.left if one.state is DeliveryState.SENDING]:
            state = DeliveryState.SKIPPED if refused is None else DeliveryState.FAILED
            await self.batch.end(delivery, state, refused or STOPPED, tell=refused is None)

    async def _settle_doubts(self) -> None:
        """Look for what may have arrived before it is closed, over a connection of its own."""
        for again in range(_LOOKS):
            if not self._doubts:
                return
            await self._services.clock.sleep(again * _REST_BETWEEN_LOOKS)
            try:
                async with self._services.connections.taken_by(self._run.user):
                    self._run.alive()
                    async with self._connected() as client:
                        reaction = await self._doubts.look(client)
            except Exception as error:  # noqa: BLE001  the table decides about every error
                reaction = reaction_to(error)
            if reaction is not None and reaction.action is not Action.RETRY:
                if reaction.action is not Action.REPAIR:
                    await self._follow(reaction, None)
                break
        await self._doubts.close()
