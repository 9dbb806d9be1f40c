"""The tenants of the service, and the bot of each."""

from enum import StrEnum
from typing import Annotated

import msgspec

from core.models.allowances import Allowance
from core.models.base import Model, Moment
from core.models.posts import PostContent, PostType
from core.models.schedule import Schedule
from core.models.sessions import Hold

_Seconds = Annotated[float, msgspec.Meta(ge=0, le=366 * 86_400)]
"""The API has narrower bounds. Within these a moment can be reckoned with it."""


class BotStatus(StrEnum):
    """What a bot does."""

    STOPPED = "stopped"
    RUNNING = "running"
    STOPPING = "stopping"
    """It was asked to stop and finishes its current cycle."""
    ERROR = "error"


class BannedSession(Model, frozen=True, kw_only=True):
    """A session that was taken from a user for good."""

    name: str
    at: Moment
    reason: str
    replaced_by: str | None = None


class User(Model, frozen=True, kw_only=True):
    """A tenant of the service and the bot that posts for it."""

    assigned_sessions: tuple[str, ...] = ()
    accounts_given: int = 0
    """How many accounts it was given for its groups, including those it lost since. 0: none, or a version that did not
    count them gave them."""
    api_pairs: tuple[int, ...] = ()
    """The api_ids its sessions run on: sorted, each once."""
    groups: tuple[str, ...] = ()
    post_type: PostType = PostType.TEXT
    post_content: str | PostContent = ""
    delay_between_posts: _Seconds = 3.0
    """Seconds an account rests between two posts."""
    delay_between_cycles: _Seconds = 3600.0
    """Seconds from the end of a cycle to the start of the next, where the schedule names no moments."""
    schedule: Schedule = Schedule()
    allowance: Allowance = Allowance()
    cycles_done: int = 0
    """Cycles finished since the bot was started."""
    bot_status: BotStatus = BotStatus.STOPPED
    status_reason: str | None = None
    """Why the bot is in that state, unless its user asked for it."""
    next_run_at: Moment | None = None
    scheduled_for: Moment | None = None
    """The moment that run is for, where it was put off. Moments that a calendar named since count as missed."""
    drop_unfinished: bool = False
    """The user wants no further post of the last cycle. What it left in the journal is dropped."""
    cycles: int = 0
    """Cycles planned so far. It numbers them for `{n}` and for posts that take turns."""
    banned_sessions: tuple[BannedSession, ...] = ()
    group_holds: dict[str, dict[str, Hold]] = msgspec.field(default_factory=dict)
    """group → session → hold: until then that account leaves that group alone."""
    revision: int = 0
    """The commit that last touched this user; set by the store."""


class Stats(Model, frozen=True, kw_only=True):
    """Counters of one user; they can be recomputed from the journal."""

    total_posts: int = 0
    """Deliveries that came to an end, well or not."""
    total_success: int = 0
    total_failures: int = 0
    total_flood_waits: int = 0
    total_messages_sent: int = 0
    """Messages Telegram confirmed; an album counts each of its parts."""
    last_activity: Moment | None = None
