"""The one register of who is due, and who is at work.

users.json says when each bot runs next (`next_run_at`), and the register follows it. A user is in one state at a time:

- waiting until a moment;
- being entered: a commit that decides about the next run is under way;
- running a cycle. Only the end of that cycle decides when the user is due again.

When such a commit breaks off, its result is unknown. The register then reads the user's moment from users.json again,
for a while.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from core.models import BotStatus, User
from scheduler.due import DueHeap
from scheduler.running_cycle import RunningCycle

_IN_DOUBT_SECONDS = 600.0
"""How long a user is in doubt: a commit may take that long."""


@dataclass(frozen=True)
class Due:
    """Those whose moment has come."""

    in_time: list[str] = field(default_factory=list)
    late: dict[str, datetime] = field(default_factory=dict)
    """user → the moment that passed too long ago for a plain start"""


class Register:
    """Knows every user's state. The tick asks it who is due."""

    def __init__(self) -> None:
        self._waiting = DueHeap()
        self._entering: set[str] = set()
        self._running: dict[str, RunningCycle] = {}
        self._in_doubt: dict[str, float] = {}
        """user → until when, in monotonic seconds"""

    @property
    def running(self) -> Mapping[str, RunningCycle]:
        """user → the cycle that runs now"""
        return self._running

    @property
    def waiting(self) -> int:
        """How many users wait for their moment."""
        return len(self._waiting)

    @property
    def next_due(self) -> float | None:
        """When the first of them is due, in seconds since 1970."""
        return self._waiting.next_due()

    def wait(self, user_id: str, until: datetime | None) -> None:
        """Let the user wait until that moment and no other. None: the user waits for nothing."""
        if until is None:
            self._waiting.remove(user_id)
        else:
            self._waiting.set(user_id, until)

    def begin(self, user_id: str, cycle: RunningCycle) -> None:
        """Note that the user's cycle runs."""
        self._running[user_id] = cycle

    def end(self, user_id: str) -> None:
        """Note that the user's cycle has ended."""
        del self._running[user_id]

    def entered(self, users: Iterable[str]) -> None:
        """Note that the commit about these late users has ended, well or not."""
        self._entering.difference_update(users)

    def doubt(self, users: Iterable[str], now: float) -> None:
        """Note that nobody saw the end of a commit about these users. `now` is in monotonic seconds."""
        self._in_doubt.update(dict.fromkeys(users, now + _IN_DOUBT_SECONDS))

    def pop_due(self, now: datetime, grace_seconds: float, users: Mapping[str, User]) -> Due:
        """Take everyone out who is due by now.

        Those who are more than `grace_seconds` late are being entered from now on, until `entered` is called.
        """
        due = Due()
        for user_id, moment in self._waiting.pop_due(now):
            planned = users[user_id].next_run_at if user_id in users else None
            if user_id in self._running:
                pass  # the cycle outlived its interval, or the bot was stopped and started meanwhile
            elif planned is not None and planned > now:  # a request was cut off after it had entered another moment
                self.wait(user_id, planned)
            elif now.timestamp() - moment > grace_seconds:
                due.late[user_id] = datetime.fromtimestamp(moment, UTC)
            else:
                due.in_time.append(user_id)
        self._entering.update(due.late)
        return due

    def follow(self, users: Mapping[str, User], not_before: datetime) -> None:
        """Take over what users.json says about everybody who waits, after another process wrote it.

        A moment before `not_before` is left alone: the tick is busy with it.
        """
        for user_id, user in users.items():
            if user.bot_status is not BotStatus.RUNNING or (user.next_run_at and user.next_run_at > not_before):
                self._follow(user_id, user)

    def follow_doubtful(self, users: Mapping[str, User], now: float) -> None:
        """Take over what users.json says about those in doubt. `now` is in monotonic seconds."""
        for user_id, until in list(self._in_doubt.items()):
            if now > until:
                del self._in_doubt[user_id]
            if user_id in users and users[user_id].bot_status is BotStatus.RUNNING:
                self._follow(user_id, users[user_id])

    def _follow(self, user_id: str, user: User) -> None:
        if user_id in self._running or user_id in self._entering:
            return
        if user.bot_status is not BotStatus.RUNNING:
            self.wait(user_id, None)
        elif user.next_run_at is not None:
            self.wait(user_id, user.next_run_at)
