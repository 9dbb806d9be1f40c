"""The deliveries that one account has to make in a cycle, and what becomes of each."""

from collections.abc import Iterable

from msgspec.structs import replace

from bot.cycle.account import CycleAccount
from bot.cycle.doubts import Doubts
from bot.cycle.planner import Exclusion
from core.models import Delivery, DeliveryState


class AccountBatch:
    """What is left to post, in order. Every change of a delivery is in the journal first.

    A delivery that may have arrived never goes to another account, and is looked for before it is closed (`doubts`).
    """

    def __init__(self, account: CycleAccount, deliveries: Iterable[Delivery], doubts: Doubts) -> None:
        self._account = account
        self._run = account.run
        self._doubts = doubts
        self._left: dict[int, Delivery] = {}
        """Id → delivery, in the order of posting."""
        for one in deliveries:
            turned_away = self._run.turned_away.get(one.group, {}).get(account.name)
            if one.session != account.name:  # only its own account may send it again
                doubts.add(one, f"{one.session} was cut off while it sent it")
            elif turned_away is not None:
                doubts.add(one, turned_away.reason)
            else:
                self._left[one.id] = one
        self._unanswered = {one.id for one in self.left if one.state is DeliveryState.SENDING}
        """Ids of deliveries of which some attempt may have arrived."""
        self.handed_over: list[Delivery] = []
        """Deliveries that other accounts may take over."""
        self.abandoned = False
        """Whether the account posts nothing more in this cycle."""

    @property
    def left(self) -> list[Delivery]:
        """The deliveries that are still to be made."""
        return list(self._left.values())

    def __bool__(self) -> bool:
        return bool(self._left)

    async def begin(self, delivery: Delivery) -> Delivery:
        """Note that the delivery is being sent; return it in that state."""
        if delivery.state is not DeliveryState.SENDING:
            delivery = await self._put(replace(delivery, state=DeliveryState.SENDING))
        return delivery

    def leave_unanswered(self, delivery: Delivery) -> None:
        """Remember that an attempt ended without an answer: the post may have arrived."""
        self._unanswered.add(delivery.id)

    async def take_back(self, delivery: Delivery) -> None:
        """Note that Telegram refused the post, so that it was not sent, unless an earlier attempt may have arrived.

        The journal has to hold this before anything follows from the refusal. After a crash or a stop another account
        may then make the post, and nobody calls its end unknown.
        """
        if delivery.id not in self._unanswered:
            await self._put(replace(delivery, state=DeliveryState.PLANNED))

    def remove(self, delivery: Delivery) -> None:
        """Take out a delivery that came to its end."""
        self._left.pop(delivery.id, None)
        self._unanswered.discard(delivery.id)

    def put_last(self, delivery: Delivery) -> None:
        """Try the others first: a chat whose posts never get an answer must not use up the tries of the others."""
        self._left[delivery.id] = self._left.pop(delivery.id)

    async def end(
        self, delivery: Delivery, state: DeliveryState, reason: str, code: str | None = None, *, tell: bool = True
    ) -> None:
        """Close a delivery that was not made. One that may have arrived is looked for first."""
        if delivery.id in self._unanswered:
            self._doubts.add(delivery, reason, code, tell=tell)
        else:
            await self._run.close(delivery, state, reason, error=code, tell=tell)
        self.remove(delivery)

    async def end_all(self, state: DeliveryState, reason: str) -> None:
        """Close every delivery that is left; the account posts nothing more."""
        self.abandoned = True
        for delivery in self.left:
            await self.end(delivery, state, reason)

    async def pass_on(self, delivery: Delivery, reason: str, code: str) -> None:
        """Hand one delivery to another account, because this one is not in the group or not fit for the post.

        Where the post may have arrived, the other account only finds out whether it did.
        """
        self._run.turned_away.setdefault(delivery.group, {})[self._account.name] = Exclusion(reason)
        if delivery.id not in self._unanswered:
            delivery = replace(delivery, state=DeliveryState.PLANNED)
            await self._run.record(delivery)
        self.handed_over.append(replace(delivery, error=code))
        self.remove(delivery)

    def give_back_unsent(self) -> None:
        """Give what was never sent back to the planner."""
        for delivery in [one for one in self.left if one.state is DeliveryState.PLANNED]:
            self.handed_over.append(delivery)
            self.remove(delivery)

    def hand_over(self) -> None:
        """Give everything to other accounts; this one posts nothing more.

        Others post what was never sent. Of what may have arrived they only find out whether it did, since it could
        arrive twice.
        """
        self.abandoned = True
        for delivery in self.left:
            state = DeliveryState.SENDING if delivery.id in self._unanswered else DeliveryState.PLANNED
            self.handed_over.append(replace(delivery, state=state))
        self.handed_over += self._doubts.pass_on()
        self._left.clear()

    async def _put(self, delivery: Delivery) -> Delivery:
        await self._run.record(delivery)
        self._left[delivery.id] = delivery
        return delivery
