"""What the sessions of one cycle share while it runs: its deliveries, its progress and when to end early."""

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
"""Why a delivery was not made any more."""


@dataclass(frozen=True)
class CycleServices:
    """The rooms below, as a cycle needs them."""

    settings: Settings
    store: DataManager
    journal: Journal
    sessions: SessionManager
    clients: Clients
    peers: Peers
    history: PostHistory
    clock: Clock
    connections: FairSlots
    """Accounts at work for everybody together, each with a connection."""
    sends: FairSlots
    """Posts being sent for everybody together."""
    shelves: dict[str, MediaShelf] = field(default_factory=dict)
    """session → the files it has brought to Telegram"""

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
        """The session's files at Telegram; the user's media folder is where they come from."""
        name = f"{user_id}/{session}"
        if name not in self.shelves:
            self.shelves[name] = MediaShelf(self.media_folder(user_id))
        return self.shelves[name]

    def media_folder(self, user_id: str) -> Path:
        """Where the user's uploaded files lie."""
        return media_folder(self.settings.state_dir, user_id)


class StopReason(StrEnum):
    """Why a cycle ends before its last post."""

    STOPPED = "stopped"
    """Its user wants no further post."""
    SHUTDOWN = "shutdown"
    """The daemon leaves; the rest is posted when the bot starts again."""


@dataclass
class CycleControl:
    """How others end a cycle: the post in flight is finished, nothing more is sent."""

    asked: asyncio.Event = field(default_factory=asyncio.Event)
    """Somebody wants the cycle to end."""
    over: asyncio.Event = field(default_factory=asyncio.Event)
    """Nothing more is sent, for this reason or because Telegram refused the post: whoever pauses goes on at once."""
    why: StopReason | None = None

    def end(self, why: StopReason) -> None:
        """Ask for the end; a shutdown outranks a stop, so that nothing is thrown away."""
        if self.why is not StopReason.SHUTDOWN:
            self.why = why
        self.asked.set()
        self.over.set()


@dataclass(frozen=True)
class CycleProgress:
    """How far the cycle that runs has come."""

    cycle: int
    total: int
    done: int
    delivered: int
    posting: frozenset[str] = frozenset()
    """The accounts whose share of it is not over."""


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
        """Which cycle of this bot it is, from 1."""
        self._deliveries = {delivery.id: delivery for delivery in deliveries}
        self.cycle = cycle
        self.control = control
        self.last_sign = services.clock.monotonic()
        """When something was last done or written down, in monotonic seconds; for the watchdog."""
        self._posting: set[str] = set()
        self._places: dict[tuple[int, int | None], str] = {}
        self.turned_away: dict[str, dict[str, Exclusion]] = {}
        """group → session → why that account left the group to another one in this cycle"""
        self.content_refused: str | None = None
        """Telegram refused the post itself: no group gets it."""
        self.not_written: StateError | None = None
        """Why something that was done could not be written down."""

    def refuse_content(self, explanation: str) -> None:
        """Telegram refused the post itself; every account of the cycle stops, those that pause included."""
        self.content_refused = explanation
        self.control.over.set()

    def break_off(self, error: StateError) -> None:
        """Something could not be read or written down; every account of the cycle stops.

        It is gone on with later: what the journal says then is true of every post.
        """
        self.not_written = error
        self.control.over.set()

    @property
    def user(self) -> str:
        """Whose cycle it is."""
        return self.cycle.user

    @cached_property
    def post(self) -> Post:
        """What it posts."""
        return Post(self.cycle.post_type, self.cycle.post_content)

    def claim(self, chat_id: int, topic: int | None, group: str) -> str | None:
        """Say that this group's post goes to that chat; answers the other spelling that said so first, if any."""
        first = self._places.setdefault((chat_id, topic), group)
        return None if first == group else first

    @property
    def groups(self) -> list[str]:
        """Those that were given to an account."""
        return [delivery.group for delivery in self._deliveries.values() if delivery.session]

    @property
    def over(self) -> bool:
        """Nothing more is sent."""
        return self.control.over.is_set()

    @property
    def is_cut_off(self) -> bool:
        """What is not closed yet stays as it is: a later run goes on with it, and finds out what arrived."""
        return self.control.why is StopReason.SHUTDOWN or self.not_written is not None

    @property
    def pending(self) -> list[Delivery]:
        """What has not come to an end yet."""
        return [delivery for delivery in self._deliveries.values() if delivery.state in UNFINISHED]

    def count(self, *states: DeliveryState) -> int:
        """How many deliveries are in one of these states."""
        return sum(delivery.state in states for delivery in self._deliveries.values())

    def progress(self) -> CycleProgress:
        """For the dashboard."""
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
        """The account works on its share meanwhile."""
        self._posting.add(session)
        try:
            yield
        finally:
            self._posting.discard(session)

    async def record(
        self, *deliveries: Delivery, event: Event | None = None, messages: int = 0, floods: int = 0
    ) -> None:
        """Write it down; durable when this returns."""
        self.alive()
        await self._services.journal.update(*deliveries, event=event, messages=messages, floods=floods)
        self._deliveries.update((delivery.id, delivery) for delivery in deliveries)

    def alive(self) -> None:
        """The cycle moves on."""
        self.last_sign = self._services.clock.monotonic()

    async def close(
        self, delivery: Delivery, state: DeliveryState, reason: str, *, error: str | None = None, tell: bool = True
    ) -> None:
        """Bring a delivery to an end that is not a success, and say why."""
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
        """A line for the user's log."""
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
