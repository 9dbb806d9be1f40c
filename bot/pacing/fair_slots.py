"""A limit for everybody together that one busy user cannot use up: a free slot goes to the user who holds fewest."""

import asyncio
import contextlib
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Iterator

from core.clock import Clock, wait_for_event

_LOOK_AGAIN_SECONDS = 5.0


class FairSlots:
    """A limited number of slots. Of those who wait, the user who holds fewest is next; among equals, who came first."""

    def __init__(self, most: Callable[[], int]) -> None:
        self._most = most
        """A function, because the setting can change; see `refill`."""
        self._taken = 0
        self._held: Counter[str] = Counter()
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}
        self._lines: dict[int, dict[str, None]] = {}
        """Slots held → the waiting users who hold that many, in the order they came. Thousands may wait at once."""
        self._crowded = asyncio.Event()
        """Somebody waits."""

    @contextlib.asynccontextmanager
    async def taken_by(self, user: str) -> AsyncIterator[None]:
        """Wait for a slot, and hold it inside the block."""
        await self._take(user)
        try:
            yield
        finally:
            self._give_back(user)

    def held_by(self, user: str) -> int:
        """Return how many slots the user holds."""
        return self._held[user]

    def is_waiting(self, user: str) -> bool:
        """Return whether the user waits for a slot."""
        return user in self._waiting

    def should_give_way(self, user: str) -> bool:
        """Return whether somebody waits who holds fewer slots than this user."""
        return bool(self._lines) and min(self._lines) < self._held[user]

    async def rest(self, clock: Clock, asked: asyncio.Event, seconds: float, user: str) -> None:
        """Wait that long while holding a slot. Return early when `asked` is set or this user should give way."""
        if self._crowded.is_set():
            if not self.should_give_way(user):  # those who wait hold no fewer, but that may change
                await wait_for_event(clock, asked, min(seconds, _LOOK_AGAIN_SECONDS))
            return
        ends = [asyncio.ensure_future(end) for end in (asked.wait(), self._crowded.wait(), clock.sleep(seconds))]
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for end in ends:
                end.cancel()

    def refill(self) -> None:
        """Give free slots to those who wait. Call it after the limit was raised."""
        while self._taken < self._most() and self._lines:
            following = next(iter(self._lines[min(self._lines)]))
            with self._moving(following):
                turn = self._waiting[following].popleft()
                if not turn.done():
                    self._taken += 1
                    self._held[following] += 1
                    turn.set_result(None)

    async def _take(self, user: str) -> None:
        if self._taken < self._most() and not self._lines:
            self._taken += 1
            self._held[user] += 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if user in self._waiting:
            self._waiting[user].append(turn)
        else:
            with self._moving(user):
                self._waiting[user] = deque([turn])
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._give_back(user)  # it was handed over in the same moment
            elif turn in self._waiting.get(user, ()):
                with self._moving(user):
                    self._waiting[user].remove(turn)
            raise

    def _give_back(self, user: str) -> None:
        with self._moving(user):
            self._taken -= 1
            self._held[user] -= 1
            if not self._held[user]:
                del self._held[user]
        self.refill()

    @contextlib.contextmanager
    def _moving(self, user: str) -> Iterator[None]:
        """Let a user's slots or waits change inside the block, then put them at the end of the line that fits now."""
        if user in self._waiting:
            line = self._lines[self._held[user]]
            del line[user]
            if not line:
                del self._lines[self._held[user]]
        yield
        if self._waiting.get(user):
            self._lines.setdefault(self._held[user], {})[user] = None
        else:
            self._waiting.pop(user, None)
        if self._lines:
            self._crowded.set()
        else:
            self._crowded.clear()
