"""When each account posted and where, for `pacing`. It is read from the journal, so a restart forgets nothing.

A moment ahead of now was noted before the clock was set back, and counts as now from then on. So a gap lasts at least
as long as it should, and at most that long once more.
"""

import math
from collections import defaultdict
from collections.abc import Hashable
from datetime import datetime, timedelta
from typing import TypeVar

from bot.pacing.decide import SLOW_MODE_SHARE, Limits, PacingState
from bot.pacing.recent_posts import RecentPosts
from core.clock import Clock
from core.models import DeliveryState, Hold, Session, User
from core.settings import Settings
from data.journal.journal import Journal

_Key = TypeVar("_Key", bound=Hashable)
_DAY = timedelta(days=1)
_MOST_READ = 100_000
_KEPT_UNTIL_CLEARED = 1000


class PostHistory:
    """The last 24 hours of every account that posts."""

    def __init__(self, journal: Journal, settings: Settings, clock: Clock) -> None:
        self._journal = journal
        self._settings = settings
        self._clock = clock
        self._read: set[str] = set()
        self._posts: defaultdict[str, RecentPosts] = defaultdict(RecentPosts)
        self._asked: dict[str, datetime] = {}
        self._group_last: dict[tuple[str, str], datetime] = {}
        self._own_last: dict[tuple[str, str], datetime] = {}
        self._clear_out_at = _KEPT_UNTIL_CLEARED

    async def open(self, user_id: str) -> None:
        """Read the user's last day from the journal, once."""
        if user_id in self._read:
            return
        now = self._clock.now()
        made = [
            (delivery.finished_at, delivery.session, delivery.group)
            for delivery in await self._journal.deliveries(user_id, since=now - _DAY, limit=_MOST_READ)
            if delivery.state is DeliveryState.DELIVERED and delivery.finished_at is not None
        ]
        newest = max((at for at, _, _ in made), default=now)
        as_of_now = [(at - (newest - now) if at > now else at, session, group) for at, session, group in made]
        for at, session, group in sorted(as_of_now):
            self.posted(user_id, session, group, at)
        self._read.add(user_id)

    def posted(self, user_id: str, session: str, group: str, at: datetime) -> None:
        """Note a post that arrived."""
        self._posts[session].add(at)
        self._group_last[user_id, group] = at
        self._own_last[session, group] = at
        if self.kept > self._clear_out_at:
            self._clear_out()
            self._clear_out_at = _KEPT_UNTIL_CLEARED + 2 * self.kept

    @property
    def kept(self) -> int:
        """Return how many moments of groups are kept."""
        return len(self._group_last) + len(self._own_last)

    def asked(self, session: str) -> None:
        """Note that the account sends a request to post. Its gap begins now, with any outcome."""
        self._asked[session] = self._clock.now()

    def limits(self, user: User, *, others_wait: bool = False) -> Limits:
        """Return what this user and the operator ask for. `others_wait`: the cycle has other groups too."""
        return Limits(
            account_gap=user.delay_between_posts,
            group_gap=self._settings.group_gap_seconds,
            daily_cap=self._settings.daily_posts_per_account,
            patience=self._settings.wait_patience_seconds,
            slow_mode_patience=user.delay_between_cycles * SLOW_MODE_SHARE if others_wait else math.inf,
        )

    def account(self, name: str, session: Session) -> PacingState:
        """Return what is known of the account, over all groups."""
        posts, now = self._posts[name], self._clock.now()
        posts.not_after(now)
        posts.forget_before(now)
        return PacingState(
            account_posts=posts, account_asked=_not_after(now, self._asked, name), account_hold=session.hold
        )

    def in_group(self, user_id: str, name: str, group: str, slow_mode: float, hold: Hold | None) -> PacingState:
        """Return what is known of the account in that group, with its hold there."""
        now = self._clock.now()
        return PacingState(
            group_last=_not_after(now, self._group_last, (user_id, group)),
            own_last_in_group=_not_after(now, self._own_last, (name, group)),
            slow_mode_seconds=slow_mode,
            group_hold=hold,
        )

    def _clear_out(self) -> None:
        """Forget groups and accounts whose last post is so old that it causes no wait."""
        now = self._clock.now()
        oldest = now - max(_DAY, timedelta(seconds=self._settings.group_gap_seconds))
        for kept in (self._group_last, self._own_last):
            for key in [key for key, at in kept.items() if at < oldest]:
                del kept[key]
        for session, posts in list(self._posts.items()):
            posts.forget_before(now)
            if not posts:
                del self._posts[session]


def _not_after(now: datetime, moments: dict[_Key, datetime], key: _Key) -> datetime | None:
    """Return the moment, or now if it is ahead of now."""
    at = moments.get(key)
    if at is not None and at > now:
        at = moments[key] = now
    return at
