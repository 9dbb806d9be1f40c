"""What Telegram said lately, account by account: chats, topics, messages to forward.

Whoever asks writes it down here, and whoever plans reads it here: a preview and the cycle after it know the same.
Bounded, and in memory alone.
"""

from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Generic, TypeVar

from core.clock import Clock

GOOD_FOR = timedelta(hours=1)
"""So long what Telegram said is believed; then sending tells."""
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
    """The last hour's answers."""

    def __init__(self, clock: Clock) -> None:
        self._chats: _Recent[Any] = _Recent(clock)
        self._topics: _Recent[bool | None] = _Recent(clock)
        self._hidden_messages: _Recent[bool] = _Recent(clock)
        self._slow_modes: _Recent[bool] = _Recent(clock)

    def put_chat(self, session: str, chat: str, found: Any) -> None:
        """How Telegram describes the chat to this account: Telethon's Channel or Chat, or `Absent`."""
        self._chats.put((session, chat), found)

    def chat(self, session: str, chat: str) -> Any | None:
        """Telethon's object of the chat as this account was given it; None: not known, or not seen by the account."""
        found = self._chats.get((session, chat))
        return None if isinstance(found, Absent) else found

    def absence(self, session: str, chat: str) -> Absent | None:
        """Why this account does not see the chat; None: it does, or it is not known."""
        found = self._chats.get((session, chat))
        return found if isinstance(found, Absent) else None

    def forget_chat(self, session: str, chat: str) -> None:
        """What was said of the chat turned out wrong."""
        self._chats.forget((session, chat))

    def put_slow_mode(self, session: str, chat: str) -> None:
        """Telegram was asked afresh what the chat's slow mode is for this account."""
        self._slow_modes.put((session, chat), True)

    def has_slow_mode(self, session: str, chat: str) -> bool:
        """Whether it was asked in the last hour."""
        return self._slow_modes.has((session, chat))

    def put_topic(self, chat: str, topic: int, *, closed: bool | None) -> None:
        """Whether a topic of the forum is closed; None: there is no such topic."""
        self._topics.put((chat, topic), closed)

    def topic(self, chat: str, topic: int) -> str | None:
        """`open`, `closed` or `missing`; None: not known."""
        if not self._topics.has((chat, topic)):
            return None
        closed = self._topics.get((chat, topic))
        return "missing" if closed is None else "closed" if closed else "open"

    def put_message(self, session: str, message: str, *, hidden: bool) -> None:
        """Whether the account was refused the message to forward."""
        self._hidden_messages.put((session, message), hidden)

    def is_hidden(self, session: str, message: str) -> bool:
        """Whether the account is known not to see that message."""
        return bool(self._hidden_messages.get((session, message)))


class _Recent(Generic[T]):
    """Answers by what they are about, the newest `_MOST` of the last hour."""

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
