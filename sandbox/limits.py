"""Telegram's publicly known rate limits. A world turns them on with `limits: realistic`."""

import math
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass

from sandbox.errors import RpcError


@dataclass(frozen=True)
class Limit:
    """At most `calls` in `seconds`. Above that the wait is at least `wait` seconds; every early call doubles it."""

    calls: int
    seconds: float
    wait: float
    source: str


LIMITS = {
    "chat": Limit(1, 1, 3, "core.telegram.org/bots/faq: avoid more than one message per second in a chat"),
    "group": Limit(20, 60, 20, "core.telegram.org/bots/faq: not more than 20 messages per minute in a group"),
    "account": Limit(30, 1, 5, "core.telegram.org/bots/faq: about 30 messages per second overall"),
    "resolve": Limit(200, 86_400, 3_600, "users' reports (Telethon FAQ): a few hundred resolveUsername a day"),
    "code": Limit(5, 86_400, 3_600, "users' reports: a handful of login codes a day for one number"),
}
BURST = 3  # messages a second in one chat; the FAQ allows "short bursts that go over this limit"
MAX_WAIT = 86_400.0
REFUSALS = Limit(30, 3_600, 0, "users' reports: many refused or reported messages end in PEER_FLOOD")
REPORTS = 5  # an account is limited once this many people reported it; the real number is not published
COUNTED_REFUSALS = (
    "CHAT_WRITE_FORBIDDEN",
    "CHAT_ADMIN_REQUIRED",
    "CHAT_RESTRICTED",
    "USER_BANNED_IN_CHANNEL",
    "CHANNEL_PRIVATE",
    "USER_PRIVACY_RESTRICTED",
)


class Window:
    """The recent calls that count towards one limit, and the wait imposed last."""

    __slots__ = ("calls", "until", "wait")

    def __init__(self) -> None:
        self.calls: deque[float] = deque()
        self.until = 0.0
        self.wait = 0.0


class Limits:
    """The rate limits of one world. With `on=False`, nothing is counted or refused."""

    def __init__(self, monotonic: Callable[[], float], *, on: bool) -> None:
        self.on = on
        self._now = monotonic
        self._windows: defaultdict[tuple[str, str, str], Window] = defaultdict(Window)
        self._refusals: defaultdict[str, deque[float]] = defaultdict(deque)
        self._reports: defaultdict[str, set[str]] = defaultdict(set)
        self.peer_flood: set[str] = set()

    def sending(self, account: str, chat: str, *, group: bool) -> None:
        """Count a message. Raises RpcError: FLOOD_WAIT_n if it is too early, PEER_FLOOD if the account is limited."""
        if not self.on:
            return
        if account in self.peer_flood:
            raise RpcError("PEER_FLOOD")
        self._take("account", account, "")
        self._take("chat", account, chat, burst=BURST)
        if group:
            self._take("group", account, chat)

    def resolving(self, account: str) -> None:
        """Count a resolved username. Raises RpcError (FLOOD_WAIT_n) if there were too many."""
        if self.on:
            self._take("resolve", account, "")

    def sending_code(self, account: str) -> None:
        """Count a requested login code. Raises RpcError (FLOOD_WAIT_n) if there were too many."""
        if self.on:
            self._take("code", account, "")

    def refused(self, account: str, error: str) -> None:
        """Count a refused call. Too many of the COUNTED_REFUSALS limit the account."""
        if self.on and error in COUNTED_REFUSALS:
            times = self._refusals[account]
            self._forget(times, REFUSALS.seconds)
            times.append(self._now())
            if len(times) > REFUSALS.calls:
                self.peer_flood.add(account)

    def reported(self, account: str, by: str) -> None:
        """Count a report against an account. Reports by several people limit it."""
        if self.on:
            self._reports[account].add(by)
            if len(self._reports[account]) >= REPORTS:
                self.peer_flood.add(account)

    def reset(self, account: str) -> None:
        """Clear everything counted against an account."""
        self.peer_flood.discard(account)
        self._refusals.pop(account, None)
        self._reports.pop(account, None)
        for key in [key for key in self._windows if key[1] == account]:
            del self._windows[key]

    def _take(self, name: str, account: str, chat: str, burst: int = 1) -> None:
        limit, window, now = LIMITS[name], self._windows[name, account, chat], self._now()
        if now < window.until:  # did not wait: the wait grows
            window.wait = min(MAX_WAIT, window.wait * 2)
            window.until = max(window.until, now + window.wait)
            raise RpcError(f"FLOOD_WAIT_{math.ceil(window.until - now)}")
        seconds, calls = limit.seconds * burst, limit.calls * burst
        self._forget(window.calls, seconds)
        if len(window.calls) >= calls:
            window.wait = max(limit.wait, window.calls[0] + seconds - now)
            window.until = now + window.wait
            raise RpcError(f"FLOOD_WAIT_{math.ceil(window.wait)}")
        window.calls.append(now)

    def _forget(self, times: deque[float], seconds: float) -> None:
        while times and times[0] <= self._now() - seconds:
            times.popleft()
