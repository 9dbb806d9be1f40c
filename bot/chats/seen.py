"""What Telegram said lately, account by account: chats, topics, messages to forward.

Whoever asks writes the result down here, and whoever plans reads it here. So a preview and the cycle after it know the
same. It is bounded, and kept in memory alone.
"""

from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Generic, TypeVar

from core.clock import Clock

GOOD_FOR = timedelta(hours=1)
"""How long the results are believed. After that only sending tells."""
_MOST = 10_000
"""Telethon's object of a chat takes about 3 KiB."""
T = TypeVar("T")


@dataclass(frozen=True)
class Absent:
    """The account does not see the chat."""

    code: str
    """Telegram's refusal."""
    reason: str
    """For the bot's owner."""
    chat: Any | None = None
    """What it tells those outside, as Telethon's object."""


class Seen:
    """The results of the last hour."""

    def __init__(self, clock: Clock) -> None:
        self._chats: _Recent[Any] = _Recent(clock)
        self._topics: _Recent[bool | None] = _Recent(clock)
        self._hidden_messages: _Recent[bool] = _Recent(clock)
        self._slow_modes: _Recent[bool] = _Recent(clock)

    def put_chat(self, session: str, chat: str, found: Any) -> None:
        """Note how Telegram describes the chat to this account: Telethon's Channel or Chat, or `Absent`."""
        self._chats.put((session, chat), found)

    def chat(self, session: str, chat: str) -> Any | None:
        """Return Telethon's object of the chat as this account got it; None if it is unknown or absent."""
        found = self._chats.get((session, chat))
        return None if isinstance(found, Absent) else found

    def absence(self, session: str, chat: str) -> Absent | None:
        """Return why this account does not see the chat; None if it does, or if that is unknown."""
        found = self._chats.get((session, chat))
        return found if isinstance(found, Absent) else None

    def forget_chat(self, session: str, chat: str) -> None:
        """Drop what was noted of the chat: it turned out to be wrong."""
        self._chats.forget((session, chat))

    def put_slow_mode(self, session: str, chat: str) -> None:
        """Telegram was asked afresh what the chat's slow mode is for this account."""
        self._slow_modes.put((session, chat), True)

    def has_slow_mode(self, session: str, chat: str) -> bool:
        """Return whether it was asked in the last hour."""
        return self._slow_modes.has((session, chat))

    def put_topic(self, chat: str, topic: int, *, closed: bool | None) -> None:
        """Note whether a topic of the forum is closed; None if there is no such topic."""
        self._topics.put((chat, topic), closed)

    def topic(self, chat: str, topic: int) -> str | None:
        """Return `open`, `closed` or `missing`; None if it is unknown."""
        if not self._topics.has((chat, topic)):
            return None
        closed = self._topics.get((chat, topic))
        return "missing" if closed is None else "closed" if closed else "open"

    def put_message(self, session: str, message: str, *, hidden: bool) -> None:
        """Note whether Telegram refused the account the message to forward."""
        self._hidden_messages.put((session, message), hidden)

    def is_hidden(self, session: str, message: str) -> bool:
        """Return whether the account is known not to see that message."""
        return bool(self._hidden_messages.get((session, message)))


class _Recent(Generic[T]):
    """Results by what they are about: the newest `_MOST` of the last hour."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._kept: OrderedDict[tuple[Any, ...], tuple[T, datetime]] = OrderedDict()

    def put(self, about: tuple[Any, ...], answer: T) -> None:
        self._kept[about] = (answer, self._clock.now())
        self._kept.move_to_end(about)
        if len(self._kept) > _MOST:
            self._kept.popitem(last=False)

    def has(self, about: tuple[Any, ...]) -> bool:
        _, at = self._kept.get(about, (None, None))
        return at is not None and abs(self._clock.now() - at) < GOOD_FOR

    def get(self, about: tuple[Any, ...]) -> T | None:
        return self._kept[about][0] if self.has(about) else None

    def forget(self, about: tuple[Any, ...]) -> None:
        self._kept.pop(about, None)
