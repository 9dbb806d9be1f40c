"""A running cycle: its deliveries, its progress, and when it ends early. Its accounts share this."""

import asyncio
import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from pathlib import Path

from msgspec.structs import replace

from bot.chats.peers import Peers
from bot.compose.media import MediaShelf
from bot.compose.post import Post
from bot.cycle.planner import Exclusion
from bot.pacing.fair_slots import FairSlots
from bot.pacing.post_history import PostHistory
from core.clock import Clock
from core.errors import StateError
from core.models import UNFINISHED, Cycle, Delivery, DeliveryState, Event, Level
from core.settings import Settings
from data.journal.journal import Journal
from data.media.layout import media_folder
from data.users.data_manager import DataManager
from sessions.connections.client import Clients
from sessions.session_manager import SessionManager

STOPPED = "the bot was stopped"
"""The reason of a delivery that a stop prevented."""


@dataclass(frozen=True)
class CycleServices:
    """The services of the rooms below that a cycle needs."""

    settings: Settings
    store: DataManager
    journal: Journal
    sessions: SessionManager
    clients: Clients
    peers: Peers
    history: PostHistory
    clock: Clock
    connections: FairSlots
    """The accounts of all users that are at work, each with a connection."""
    sends: FairSlots
    """The posts of all users that are being sent."""
    shelves: dict[str, MediaShelf] = field(default_factory=dict)
    """session → the files it has uploaded to Telegram"""

    @classmethod
    def over(
        cls,
        settings: Settings,
        store: DataManager,
        journal: Journal,
        sessions: SessionManager,
        clients: Clients,
        clock: Clock,
    ) -> "CycleServices":
        """Add the bot's own services to those of the rooms below."""
        return cls(
            settings=settings,
            store=store,
            journal=journal,
            sessions=sessions,
            clients=clients,
            peers=Peers(journal, settings.send_timeout_seconds, clock),
            history=PostHistory(journal, settings, clock),
            clock=clock,
            connections=FairSlots(lambda: settings.max_concurrent_sessions),
            sends=FairSlots(lambda: settings.max_concurrent_sends),
        )

    def shelf(self, user_id: str, session: str) -> MediaShelf:
        """Return the session's files at Telegram, which come from the user's media folder."""
        name = f"{user_id}/{session}"
        if name not in self.shelves:
            self.shelves[name] = MediaShelf(self.media_folder(user_id))
        return self.shelves[name]

    def media_folder(self, user_id: str) -> Path:
        """Return the folder of the user's uploaded files."""
        return media_folder(self.settings.state_dir, user_id)


class StopReason(StrEnum):
    """Why a cycle ends before its last post."""

    STOPPED = "stopped"
    """Its user wants no further post."""
    SHUTDOWN = "shutdown"
    """The daemon ends. The rest is posted when the bot starts again."""


@dataclass
class CycleControl:
    """Ends a cycle from outside: the post in flight is finished, and nothing more is sent."""

    asked: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when somebody wants the cycle to end."""
    over: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when nothing more is sent, for that reason or because Telegram refused the post. Every pause ends then."""
    why: StopReason | None = None

    def end(self, why: StopReason) -> None:
        """Ask for the end. A shutdown outranks a stop, so that no post is dropped."""
        if self.why is not StopReason.SHUTDOWN:
            self.why = why
        self.asked.set()
        self.over.set()


@dataclass(frozen=True)
class CycleProgress:
    """The progress of the running cycle."""

    cycle: int
    total: int
    done: int
    delivered: int
    posting: frozenset[str] = frozenset()
    """The accounts that still work on it."""


class CycleRun:
    """One cycle while it runs. Every change of a delivery goes through `record`, into the journal first."""

    def __init__(
        self,
        services: CycleServices,
        cycle: Cycle,
        number: int,
        deliveries: Iterable[Delivery],
        control: CycleControl,
        *,
        in_journal: bool = True,
    ) -> None:
        self._services = services
        self.in_journal = in_journal
        """False for a cycle that has nothing to post and is never written down."""
        self.number = number
        """The number of this cycle of the bot, from 1."""
        self._deliveries = {delivery.id: delivery for delivery in deliveries}
        self.cycle = cycle
        self.control = control
        self.last_sign = services.clock.monotonic()
        """When something was last done or written down, in monotonic seconds. The watchdog reads it."""
        self._posting: set[str] = set()
        self._places: dict[tuple[int, int | None], str] = {}
        self.turned_away: dict[str, dict[str, Exclusion]] = {}
        """group → session → why that account left the group to another one in this cycle"""
        self.content_refused: str | None = None
        """Why Telegram refused the post itself, so that no group gets it."""
        self.not_written: StateError | None = None
        """Why something that was done could not be written down."""

    def refuse_content(self, explanation: str) -> None:
        """End the cycle of a post that Telegram refused, for every account, those that pause included."""
        self.content_refused = explanation
        self.control.over.set()

    def break_off(self, error: StateError) -> None:
        """End the cycle for every account, because something could not be read or written down.

        A later run continues it. What the journal says is true of every post.
        """
        self.not_written = error
        self.control.over.set()

    @property
    def user(self) -> str:
        """The user whose cycle it is."""
        return self.cycle.user

    @cached_property
    def post(self) -> Post:
        """The post that the cycle makes."""
        return Post(self.cycle.post_type, self.cycle.post_content)

    def claim(self, chat_id: int, topic: int | None, group: str) -> str | None:
        """Claim that chat for this group's post. Return the other spelling that claimed it first, if any."""
        first = self._places.setdefault((chat_id, topic), group)
        return None if first == group else first

    @property
    def groups(self) -> list[str]:
        """The groups that were given to an account."""
        return [delivery.group for delivery in self._deliveries.values() if delivery.session]

    @property
    def over(self) -> bool:
        """Whether nothing more is sent."""
        return self.control.over.is_set()

    @property
    def is_cut_off(self) -> bool:
        """Whether open deliveries stay as they are: a later run continues them and finds out what arrived."""
        return self.control.why is StopReason.SHUTDOWN or self.not_written is not None

    @property
    def pending(self) -> list[Delivery]:
        """The deliveries that have not ended."""
        return [delivery for delivery in self._deliveries.values() if delivery.state in UNFINISHED]

    def count(self, *states: DeliveryState) -> int:
        """Return how many deliveries are in one of these states."""
        return sum(delivery.state in states for delivery in self._deliveries.values())

    def progress(self) -> CycleProgress:
        """Return the progress, for the dashboard."""
        total = len(self._deliveries)
        return CycleProgress(
            cycle=self.cycle.id,
            total=total,
            done=total - len(self.pending),
            delivered=self.count(DeliveryState.DELIVERED),
            posting=frozenset(self._posting),
        )

    @contextlib.contextmanager
    def posting_with(self, session: str) -> Iterator[None]:
        """Note that the account works on its deliveries meanwhile."""
        self._posting.add(session)
        try:
            yield
        finally:
            self._posting.discard(session)

    async def record(
        self, *deliveries: Delivery, event: Event | None = None, messages: int = 0, floods: int = 0
    ) -> None:
        """Write deliveries and an event to the journal. They are durable when this returns."""
        self.alive()
        await self._services.journal.update(*deliveries, event=event, messages=messages, floods=floods)
        self._deliveries.update((delivery.id, delivery) for delivery in deliveries)

    def alive(self) -> None:
        """Note that the cycle moves on."""
        self.last_sign = self._services.clock.monotonic()

    async def close(
        self, delivery: Delivery, state: DeliveryState, reason: str, *, error: str | None = None, tell: bool = True
    ) -> None:
        """Close a delivery without success, and say why."""
        ended = replace(delivery, state=state, reason=reason, error=error, finished_at=self._services.clock.now())
        event = None
        if tell:
            level = Level.ERROR if state is DeliveryState.UNKNOWN else Level.WARNING
            text = f"{_ENDS[state]} {delivery.group}: {reason}"
            event = self.event(f"post_{state.value}", text, level, delivery.session, delivery.group)
        await self.record(ended, event=event)

    def event(
        self, action: str, text: str, level: Level = Level.INFO, session: str | None = None, group: str | None = None
    ) -> Event:
        """Return a line for the user's log."""
        return Event(
            at=self._services.clock.now(),
            user=self.user,
            action=action,
            text=text,
            level=level,
            session=session or None,
            group=group,
        )


_ENDS = {
    DeliveryState.FAILED: "Not posted to",
    DeliveryState.SKIPPED: "Left out",
    DeliveryState.UNKNOWN: "Could not find out whether the post reached",
}
