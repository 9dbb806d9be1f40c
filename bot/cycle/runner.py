"""One cycle: plans it, writes the plan down, lets every account post, and hands over what a lost account leaves.

A cycle that a crash or a shutdown cut off continues where it was, with the same deliveries, random_ids and content.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime

from msgspec.structs import replace

from bot.compose.content import lacks_text, post_for_cycle, posts_of
from bot.compose.random_id import new_random_id
from bot.cycle.holds import limit_holds
from bot.cycle.known_obstacles import arrange, claim_what_was_begun, who_posts
from bot.cycle.planner import AccountSet, Plan, keeps, may_look, plan_cycle
from bot.cycle.run import STOPPED, CycleControl, CycleRun, CycleServices, StopReason
from bot.cycle.worker import execute_session_cycle
from bot.pacing.budget import NO_ALLOWANCE, budget_of
from bot.pacing.decide import waited_out_until
from core.errors import NoContent, NoGroups, NoSpareSession, StateError
from core.models import (
    UNFINISHED,
    BotStatus,
    Cycle,
    Delivery,
    DeliveryState,
    Event,
    Level,
    PostContent,
    PostType,
    User,
)
from data.users.data_manager import Transaction

log = logging.getLogger(__name__)
_SAID_AGAIN_SECONDS = 3600.0


class NotWanted(Exception):
    """The bot was stopped before its cycle had begun."""


class CycleRunner:
    """Runs cycles. The scheduler runs at most one at a time for each user."""

    def __init__(self, services: CycleServices) -> None:
        self._services = services
        self._left_out: dict[str, float] = {}
        """Users whose last plan had no post left in the allowance → when it was made, in monotonic seconds."""

    async def begin(self, user_id: str, control: CycleControl, *, only_running: bool = False) -> CycleRun:
        """Begin the user's next cycle, or the one that was cut off; `execute` posts it.

        With `only_running` the transaction that begins the cycle checks that the bot runs. A stop therefore comes
        wholly before the cycle or wholly after its beginning.

        Raises:
            NotWanted: the bot does not run; nothing was done.
            NoGroups, NoContent, NoSpareSession: there is nothing to run.
            StateError: the state could not be read or written; the next run continues the cycle.
        """
        found = await self._left_over(user_id, control)
        empty = found is None and await self._still_has_nothing_left(user_id)
        number = await self._count(user_id, anew=found is None and not empty, only_running=only_running)
        if empty:
            return self._empty(user_id, number, control)
        if found is not None:
            return await self._resume(*found, number, control)
        return await self._plan(user_id, number, control)

    async def execute(self, run: CycleRun) -> None:
        """Post what is left of the cycle and finish it.

        Raises:
            StateError: the state could not be read or written; the next run continues the cycle.
        """
        if not run.in_journal:
            return
        await self._services.history.open(run.user)
        await self._post_everything(run)
        await self._finish(run)

    async def _left_over(self, user_id: str, control: CycleControl) -> tuple[Cycle, list[Delivery]] | None:
        """Return the cycle to continue.

        A cycle whose rest its user does not want is closed first, except for posts in flight: they may have arrived.
        """
        found = await self._services.journal.unfinished_cycle(user_id)
        user = self._services.store.snapshot.users.get(user_id)
        if found is None or user is None or not user.drop_unfinished:
            return found
        run = CycleRun(self._services, found[0], user.cycles, found[1], control)
        for delivery in run.pending:
            if delivery.state is DeliveryState.PLANNED:
                await run.close(delivery, DeliveryState.SKIPPED, STOPPED)
        if not run.pending:
            await self._finish(run)
        return await self._services.journal.unfinished_cycle(user_id)

    async def _count(self, user_id: str, *, anew: bool, only_running: bool) -> int:
        """Check that the cycle may begin and return its number among the bot's cycles, in one commit."""

        def begin(tx: Transaction) -> tuple[int, tuple[str, ...]]:
            user = tx.users.get(user_id)
            if only_running and (user is None or user.bot_status is not BotStatus.RUNNING):
                raise NotWanted
            limit_holds(tx, user_id, self._services.clock.now())
            number = _count_cycle(tx, user_id, anew=anew)
            return number, self._services.sessions.assign_more(tx, user_id) if anew else ()

        number, given = await self._services.store.transact(begin)
        if given:
            self._services.sessions.follow(*given)
            text = f"{len(given)} more account{'s' if len(given) > 1 else ''} for your groups: {', '.join(given)}"
            await self._services.journal.add_event(
                Event(at=self._services.clock.now(), user=user_id, action="accounts_added", text=text)
            )
        return number

    async def _still_has_nothing_left(self, user_id: str) -> bool:
        """Return whether the allowance is still used up and the journal said so within the last hour.

        Without a pause between cycles the same plan would fill the journal, one row for each group every few seconds,
        until the day ends.
        """
        said_at, user = self._left_out.get(user_id), self._services.store.snapshot.users.get(user_id)
        if said_at is None or user is None or self._services.clock.monotonic() - said_at > _SAID_AGAIN_SECONDS:
            return False
        budget = budget_of(user, self._services.settings, self._services.clock.now())
        return (await self._services.journal.allowance(user_id, budget)).left == 0

    def _empty(self, user_id: str, number: int, control: CycleControl) -> CycleRun:
        """Return a cycle without deliveries, which the journal does not hold."""
        user, now = self._services.store.snapshot.users[user_id], self._services.clock.now()
        cycle = _cycle(user_id, user.post_type, PostContent(), now)
        return CycleRun(self._services, cycle, number, [], control, in_journal=False)

    async def _resume(self, cycle: Cycle, known: list[Delivery], number: int, control: CycleControl) -> CycleRun:
        left = {delivery.id for delivery in known if delivery.state in UNFINISHED}
        now = self._services.clock.now()

        def tell(deliveries: Sequence[Delivery]) -> list[Event]:
            text = f"Going on with the cycle that was cut off: {len(left)} of {len(deliveries)} posts are left"
            resumed = Event(at=now, user=cycle.user, action="cycle_resumed", text=text)
            return [resumed, *_told_of_plan([delivery for delivery in deliveries if delivery.id in left])]

        budget = budget_of(self._services.store.snapshot.users[cycle.user], self._services.settings, now)
        deliveries = await self._services.journal.resume_cycle(cycle, budget, now, tell)
        run = CycleRun(self._services, cycle, number, deliveries, control)
        await claim_what_was_begun(self._services.peers, run, deliveries)
        return run

    async def _plan(self, user_id: str, number: int, control: CycleControl) -> CycleRun:
        user = self._services.store.snapshot.users[user_id]
        now = self._services.clock.now()
        post = post_for_cycle(user.post_type, user.post_content, number)
        cycle = _cycle(user_id, post.type, post.content, now)
        plan = (await who_posts(self._services, user_id, user, post, now)).plan

        def delivery(group: str, session: str, reason: str | None) -> Delivery:
            return Delivery(
                user=user_id,
                cycle=cycle.id,
                group=group,
                session=session,
                random_id=new_random_id(),
                state=DeliveryState.PLANNED if reason is None else DeliveryState.SKIPPED,
                reason=reason,
                planned_at=now,
                finished_at=None if reason is None else now,
            )

        deliveries = [delivery(group, session, None) for group, session in plan.sessions.items()]
        deliveries += [delivery(group, "", reason) for group, reason in plan.skipped.items()]
        budget = budget_of(user, self._services.settings, now)
        deliveries = await self._services.journal.plan_cycle(cycle, deliveries, budget, _told_of_plan)
        if _is_left_out(deliveries):
            self._left_out[user_id] = self._services.clock.monotonic()
        else:
            self._left_out.pop(user_id, None)
        return CycleRun(self._services, cycle, number, deliveries, control)

    async def _post_everything(self, run: CycleRun) -> None:
        """Post in rounds until no session can post a delivery or look for one."""
        slots = asyncio.Semaphore(self._services.settings.max_sessions_per_user)
        batches = await self._by_session(run, run.pending)
        while batches and run.control.why is not StopReason.SHUTDOWN:
            handed_over: list[Delivery] = []
            async with asyncio.TaskGroup() as group:
                rounds = [
                    group.create_task(self._one_session(run, slots, session, batch), name=f"{run.user}/{session}")
                    for session, batch in batches.items()
                ]
            if run.not_written is not None:
                raise run.not_written
            for task in rounds:
                handed_over += task.result()
            batches = await self._by_session(run, handed_over)

    async def _one_session(
        self, run: CycleRun, slots: asyncio.Semaphore, session: str, batch: list[Delivery]
    ) -> list[Delivery]:
        """Post one session's deliveries. A failure never stops another session in the middle of a post."""
        async with slots:
            try:
                return await self._share(run, session, batch)
            except StateError as error:
                run.break_off(error)
                return []

    async def _share(self, run: CycleRun, session: str, batch: list[Delivery]) -> list[Delivery]:
        try:
            with run.posting_with(session):
                return await execute_session_cycle(self._services, run, session, batch)
        except StateError:
            raise
        except Exception:
            log.exception("The share of %s broke off", session, extra={"user": run.user, "session": session})
            text = f"The posts of {session} broke off by a fault of Postfleet; its log tells more"
            await run.record(event=run.event("session_cycle_failed", text, Level.ERROR, session))
            return []

    async def _by_session(self, run: CycleRun, deliveries: list[Delivery]) -> dict[str, list[Delivery]]:
        """Return session → the deliveries it works on.

        A delivery keeps its account while the user has that account. It waits for a later cycle when the account rests
        for long. Without its account a delivery that was never sent is planned anew. Of one that may have arrived,
        another account only finds out whether it did (see `worker`); its own account does where no other can. Once the
        cycle is over, finding out is all that is left to do.
        """
        if run.over:
            deliveries = [delivery for delivery in deliveries if delivery.state is DeliveryState.SENDING]
        if not deliveries:
            return {}
        now = self._services.clock.now()
        batches: dict[str, list[Delivery]] = defaultdict(list)
        others: dict[str, Delivery] = {}
        found = arrange(self._services, run.user, run.post, now, run.groups, turned_away=run.turned_away)
        patient = waited_out_until(now, self._services.settings.wait_patience_seconds)
        for delivery in deliveries:
            given = _as_given(found.accounts, delivery, patient)
            if given.sessions:
                batches[delivery.session].append(delivery)
            elif given.skipped:
                await run.close(delivery, DeliveryState.SKIPPED, given.skipped[delivery.group])
            else:
                others[delivery.group] = delivery
        for group, delivery in others.items():
            session = found.plan.sessions.get(group)
            was_sent = delivery.state is DeliveryState.SENDING
            if session is None and was_sent and may_look(found.accounts, delivery.session):
                session = delivery.session
            if session is None:
                await self._close_left_over(run, delivery, found.plan.skipped[group])
                continue
            delivery = replace(delivery, error=None)
            if delivery.state is DeliveryState.PLANNED:
                delivery = replace(delivery, session=session)
                await run.record(delivery)
            batches[session].append(delivery)
        return batches

    async def _close_left_over(self, run: CycleRun, delivery: Delivery, reason: str) -> None:
        """Close a delivery that no account can post. It failed when Telegram refused it to an account (`error`)."""
        if delivery.state is DeliveryState.SENDING:
            state = DeliveryState.UNKNOWN
        else:
            state = DeliveryState.SKIPPED if delivery.error is None else DeliveryState.FAILED
        await run.close(delivery, state, reason, error=delivery.error)

    async def _finish(self, run: CycleRun) -> None:
        """Close what was not posted. A cycle that a shutdown cut off stays open and continues after the restart."""
        if run.control.why is StopReason.SHUTDOWN and run.pending:
            text = f"The daemon stops; {len(run.pending)} posts are left for when the bot starts again"
            await run.record(event=run.event("cycle_cut_off", text))
            return
        for delivery in run.pending:
            if run.content_refused is not None:
                state, reason = DeliveryState.FAILED, run.content_refused
            elif run.over:
                state, reason = DeliveryState.SKIPPED, STOPPED
            else:
                state, reason = DeliveryState.FAILED, "a fault of Postfleet; its log tells more"
            if delivery.state is DeliveryState.SENDING:
                state = DeliveryState.UNKNOWN
            await run.close(delivery, state, reason, tell=run.content_refused is None)
        events = []
        if run.content_refused is not None:
            text = f"Telegram refused the post itself: {run.content_refused}"
            events.append(run.event("content_refused", text, Level.ERROR))
        progress = run.progress()
        text = f"Cycle finished: {progress.delivered} of {progress.total} posts delivered"
        level = Level.INFO if progress.delivered == progress.total else Level.WARNING
        events.append(run.event("cycle_finished", text, level))
        # One commit: a finished cycle without its event would look broken, and another cycle would follow it.
        await self._services.journal.finish_cycle(run.user, run.cycle.id, self._services.clock.now(), *events)


def _cycle(user_id: str, post_type: PostType, content: PostContent, now: datetime) -> Cycle:
    """Return a cycle that begins now. Its id is that moment in milliseconds since 1970."""
    number = int(now.timestamp() * 1000)
    return Cycle(id=number, user=user_id, post_type=post_type, post_content=content, started_at=now)


def _is_left_out(deliveries: Sequence[Delivery]) -> bool:
    """Return whether the allowance leaves a plan nothing to post."""
    without = any(delivery.error == NO_ALLOWANCE for delivery in deliveries)
    return without and all(delivery.state is DeliveryState.SKIPPED for delivery in deliveries)


def _told_of_plan(deliveries: Sequence[Delivery]) -> list[Event]:
    """Return why posts are left out: one event for all that exceed the allowance, one for each other post."""
    skipped = [delivery for delivery in deliveries if delivery.state is DeliveryState.SKIPPED]
    without = [delivery for delivery in skipped if delivery.error == NO_ALLOWANCE]
    events = []
    if without:
        text = f"{len(without)} of {len(deliveries)} posts are left out: {without[0].reason}"
        events.append(_warning(without[0], "allowance_used_up", text))
    for delivery in skipped:
        if delivery.error != NO_ALLOWANCE:
            text = f"Left out {delivery.group}: {delivery.reason}"
            events.append(replace(_warning(delivery, "post_skipped", text), group=delivery.group))
    return events


def _warning(about: Delivery, action: str, text: str) -> Event:
    at = about.finished_at or about.planned_at
    return Event(at=at, user=about.user, action=action, text=text, level=Level.WARNING)


def _as_given(accounts: AccountSet, delivery: Delivery, until: datetime) -> Plan:
    """Return what the account of a delivery can do with it until then. An empty plan leaves it to other accounts."""
    is_new = delivery.state is DeliveryState.PLANNED
    alone = accounts.of(delivery.session, with_exclusions=is_new)
    if not keeps(alone, delivery.session, delivery.group, until):
        return Plan()
    plan = plan_cycle(alone, [delivery.group], until)
    return plan if is_new or plan.sessions else Plan()


def _count_cycle(tx: Transaction, user_id: str, *, anew: bool) -> int:
    user = tx.user(user_id)
    if not anew:
        return user.cycles
    check_ready(user)
    if not user.assigned_sessions:
        raise NoSpareSession("no account is left: every one was banned or released; start the bot to get spare ones")
    tx.put_user(user_id, replace(user, cycles=user.cycles + 1, drop_unfinished=False))
    return user.cycles + 1


def check_ready(user: User) -> None:
    """Check that there is something to post and a group to post it to.

    Raises:
        NoGroups, NoContent: it is missing; the message says what to set.
    """
    if not user.groups:
        raise NoGroups("there is no group to post to: set groups with PATCH /api/config")
    posts = posts_of(user.post_type, user.post_content)
    if not posts or any(map(lacks_text, posts)):
        raise NoContent("there is nothing to post: set post_content with PATCH /api/config")
