"""Messages and the numbered row they stand in: one row a channel, one an account for everything else."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Message:
    """One message as it stands in a chat. `date` in Unix seconds, `seq` counts over the whole world."""

    id: int
    sender: Any
    date: float
    text: str = ""
    random_id: int = 0
    seq: int = 0
    pts: int = 0
    entities: list[Any] | None = None
    silent: bool = False


@dataclass(slots=True)
class Box:
    """Messages by id, with `pts`: the number of changes so far, which clients follow to see whether they missed one."""

    pts: int = 1
    next_id: int = 1
    messages: dict[int, Message] = field(default_factory=dict)

    def add(self, message: Message) -> Message:
        """Append; sets the message's id and pts."""
        message.id = self.next_id
        self.next_id += 1
        self.pts += 1
        message.pts = self.pts
        self.messages[message.id] = message
        return message

    def since(self, pts: int) -> list[Message]:
        """Messages newer than this pts, oldest first."""
        newer = []
        for message in reversed(self.messages.values()):
            if message.pts <= pts:
                break
            newer.append(message)
        return newer[::-1]

    @property
    def last(self) -> Message | None:
        """The newest message that still stands."""
        return next(reversed(self.messages.values()), None)
