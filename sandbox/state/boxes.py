"""Messages and message boxes: each channel has a box, each account one for its basic groups and dialogs.

https://core.telegram.org/api/updates#message-related-event-sequences
"""

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from sandbox.state.peers import Account, Chat

MAX_EVENTS = 5_000


@dataclass(slots=True, eq=False)
class Message:
    """One message. `date` is in Unix seconds; `seq` counts all messages of the world.

    In basic groups and dialogs `ids` maps each member's account id to the message's id in that account's box.
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
        """Return the id by which a viewer knows the message."""
        return self.id if self.ids is None else self.ids.get(viewer.id, self.id)


class Event(NamedTuple):
    """One change of a box. `kind` is "new", "edit" or "delete"; `ids` are the deleted messages."""

    pts: int
    kind: str
    message: Message | None
    ids: tuple[int, ...] = ()


class Box:
    """Messages by id, and `pts`: the number of changes so far, which shows clients whether they missed one."""

    __slots__ = ("events", "messages", "next_id", "pts")

    def __init__(self) -> None:
        self.pts = 1
        self.next_id = 1
        self.messages: dict[int, Message] = {}
        self.events: deque[Event] = deque(maxlen=MAX_EVENTS)

    def add(self, message: Message) -> int:
        """Append a message and return its id."""
        number = self.next_id
        self.next_id += 1
        self.messages[number] = message
        self.pts += 1
        self.events.append(Event(self.pts, "new", message))
        return number

    def edited(self, message: Message) -> None:
        """Record that a message was edited."""
        self.pts += 1
        self.events.append(Event(self.pts, "edit", message))

    def remove(self, ids: list[int]) -> list[int]:
        """Delete messages and return the ids that existed."""
        gone = [number for number in ids if self.messages.pop(number, None) is not None]
        if gone:
            self.pts += len(gone)
            self.events.append(Event(self.pts, "delete", None, tuple(gone)))
        return gone

    def since(self, pts: int) -> list[Event] | None:
        """Return the changes after this pts, oldest first, or None if they are no longer kept."""
        newer: list[Event] = []
        for event in reversed(self.events):
            if event.pts <= pts:
                return newer[::-1]
            newer.append(event)
        return newer[::-1] if len(self.events) < MAX_EVENTS else None

    @property
    def last(self) -> int:
        """Return the id of the newest message, 0 if the box is empty."""
        return next(reversed(self.messages), 0)
