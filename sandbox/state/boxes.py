"""Messages and the numbered row they stand in: one row a channel, one an account for everything else."""

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from sandbox.state.peers import Account, Chat

MAX_EVENTS = 5_000


@dataclass(slots=True, eq=False)
class Message:
    """One message as it stands in a chat. `date` in Unix seconds, `seq` counts over the whole world.

    `ids` holds, for chats without a row of their own, the number it has in each account's row.
    """

    chat: "Chat"
    sender: "Account"
    date: float
    id: int = 0
    seq: int = 0
    text: str = ""
    kind: str = "text"
    random_id: int = 0
    entities: list[Any] | None = None
    media: Any = None
    silent: bool = False
    no_webpage: bool = False
    reply_to: Any = None
    topic: int = 0
    forwarded: Any = None
    grouped_id: int | None = None
    edited: float = 0.0
    action: Any = None
    from_schedule: bool = False
    pinned: bool = False
    ids: dict[int, int] | None = None

    def id_for(self, viewer: "Account") -> int:
        """The number a viewer knows it by."""
        return self.id if self.ids is None else self.ids.get(viewer.id, self.id)


class Event(NamedTuple):
    """One change of a row: kind is "new", "edit" or "delete" (then `ids` went)."""

    pts: int
    kind: str
    message: Message | None
    ids: tuple[int, ...] = ()


class Box:
    """Messages by id, with `pts`: the number of changes so far, by which clients see whether they missed one."""

    __slots__ = ("events", "messages", "next_id", "pts")

    def __init__(self) -> None:
        self.pts = 1
        self.next_id = 1
        self.messages: dict[int, Message] = {}
        self.events: deque[Event] = deque(maxlen=MAX_EVENTS)

    def add(self, message: Message) -> int:
        """Append; the id it got."""
        number = self.next_id
        self.next_id += 1
        self.messages[number] = message
        self.pts += 1
        self.events.append(Event(self.pts, "new", message))
        return number

    def edited(self, message: Message) -> None:
        """Note that a message changed."""
        self.pts += 1
        self.events.append(Event(self.pts, "edit", message))

    def remove(self, ids: list[int]) -> list[int]:
        """Take messages out; the ids that were there."""
        gone = [number for number in ids if self.messages.pop(number, None) is not None]
        if gone:
            self.pts += len(gone)
            self.events.append(Event(self.pts, "delete", None, tuple(gone)))
        return gone

    def since(self, pts: int) -> list[Event] | None:
        """Changes after this pts, oldest first; None when they are not kept any more."""
        newer: list[Event] = []
        for event in reversed(self.events):
            if event.pts <= pts:
                return newer[::-1]
            newer.append(event)
        return newer[::-1] if len(self.events) < MAX_EVENTS else None

    @property
    def last(self) -> int:
        """The number of the newest message that still stands, 0 if none does."""
        return next(reversed(self.messages), 0)
