"""When an account posted in the last 24 hours, in bounded memory."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import overload

_DAY = timedelta(days=1)
_NOTHING = timedelta()
SPAN = timedelta(minutes=5)
"""All posts of one span count as made when its last one was."""


@dataclass(slots=True)
class _Span:
    first: datetime
    last: datetime
    posts: int


class RecentPosts(Sequence[datetime]):
    """The moments of an account's posts, oldest first, in at most a few hundred spans instead of up to 86,400 moments.

    The newest moment is exact. Older ones may be up to one span too late. So a daily cap is never exceeded, and room
    under it opens at most five minutes late.
    """

    def __init__(self) -> None:
        self._spans: deque[_Span] = deque()
        self._posts = 0

    def add(self, at: datetime) -> None:
        """Note a post."""
        self._posts += 1
        newest = self._spans[-1] if self._spans else None
        if newest is not None and at - newest.first < SPAN:
            newest.last = max(newest.last, at)
            newest.posts += 1
        else:
            self._spans.append(_Span(at, at, 1))

    def not_after(self, now: datetime) -> None:
        """Move all moments back if the newest is ahead of now, because the clock was set back.

        How far it was set back is not known. So the newest post counts as made now, and the others keep their distance.
        """
        if self._spans and (ahead := self._spans[-1].last - now) > _NOTHING:
            for span in self._spans:
                span.first -= ahead
                span.last -= ahead

    def forget_before(self, now: datetime) -> None:
        """Forget posts that are 24 hours old."""
        while self._spans and self._spans[0].last <= now - _DAY:
            self._posts -= self._spans.popleft().posts

    @property
    def spans(self) -> int:
        """Return the number of spans."""
        return len(self._spans)

    def __len__(self) -> int:
        return self._posts

    @overload
    def __getitem__(self, index: int) -> datetime: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[datetime]: ...
    def __getitem__(self, index: int | slice) -> datetime | Sequence[datetime]:
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(self._posts))]
        from_newest = -index - 1 if index < 0 else self._posts - 1 - index
        if not 0 <= from_newest < self._posts:
            raise IndexError(index)
        for span in reversed(self._spans):
            if from_newest < span.posts:
                return span.last
            from_newest -= span.posts
        raise IndexError(index)
