"""A limit for everybody together that one user with much to do cannot use up: a free slot goes to who holds fewest."""

import asyncio
import contextlib
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable
from itertools import count

from core.clock import Clock, wait_for_event

_LOOK_AGAIN_SECONDS = 5.0


class FairSlots:
    """So many at once; among those who wait, the user who holds fewest is next, then who has waited longest."""

    def __init__(self, most: Callable[[], int]) -> None:
        self._most = most
        """Asked each time, because settings can change meanwhile; see `refill`."""
        self._taken = 0
        self._held: Counter[str] = Counter()
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}
        self._since: dict[str, int] = {}
        self._turn = count()
        self._crowded = asyncio.Event()
        """Somebody waits."""

    @contextlib.asynccontextmanager
    async def taken_by(self, user: str) -> AsyncIterator[None]:
        """Hold a slot meanwhile, waiting for it first."""
        await self._take(user)
        try:
            yield
        finally:
            self._give_back(user)

    def held_by(self, user: str) -> int:
        """How many the user holds."""
        return self._held[user]

    def is_waiting(self, user: str) -> bool:
        """Whether the user waits for one."""
        return user in self._waiting

    def should_give_way(self, user: str) -> bool:
        """Whether somebody waits who holds fewer than this user does."""
        mine = self._held[user]
        return any(self._held[other] < mine for other in self._waiting if other != user)

    async def rest(self, clock: Clock, asked: asyncio.Event, seconds: float, user: str) -> None:
        """Rest that long while holding a slot; ends early when `asked`, or when this user should give way."""
        if self._crowded.is_set():
            if not self.should_give_way(user):  # who waits holds no fewer; that may change
                await wait_for_event(clock, asked, min(seconds, _LOOK_AGAIN_SECONDS))
            return
        ends = [asyncio.ensure_future(end) for end in (asked.wait(), self._crowded.wait(), clock.sleep(seconds))]
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for end in ends:
                end.cancel()

    def refill(self) -> None:
        """Let in who waits, as far as there is room: after the limit was raised."""
        while self._taken < self._most() and self._waiting:
            following = min(self._waiting, key=lambda waiting: (self._held[waiting], self._since[waiting]))
            turn = self._waiting[following][0]
            self._leave_queue(following, turn)
            if not turn.done():
                self._taken += 1
                self._held[following] += 1
                turn.set_result(None)

    async def _take(self, user: str) -> None:
        if self._taken < self._most() and not self._waiting:
            self._taken += 1
            self._held[user] += 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(user, deque()).append(turn)
        self._since.setdefault(user, next(self._turn))
        self._crowded.set()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._give_back(user)  # it was handed over in the same moment
            else:
                self._leave_queue(user, turn)
            raise

    def _give_back(self, user: str) -> None:
        self._taken -= 1
        self._held[user] -= 1
        if not self._held[user]:
            del self._held[user]
        self.refill()

    def _leave_queue(self, user: str, turn: asyncio.Future[None]) -> None:
        queue = self._waiting.get(user)
        if queue is None or turn not in queue:
            return
        queue.remove(turn)
        del self._since[user]
        if queue:
            self._since[user] = next(self._turn)
        else:
            del self._waiting[user]
        if not self._waiting:
            self._crowded.clear()
