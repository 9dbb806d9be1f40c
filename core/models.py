"""What the rooms talk about. Immutable values: a change is `msgspec.structs.replace` inside a transaction.

The words are those of the design: account, session, API pair, user, bot, group, cycle, delivery, outcome, hold.
Every moment is aware and in UTC. A field that an older file lacks takes its default here.
"""

from datetime import date, datetime
from enum import StrEnum
from typing import Annotated

import msgspec

from core.pasted import peel_fields

Moment = Annotated[datetime, msgspec.Meta(tz=True)]
"""With an offset; the API's document calls it a date-time."""


class Model(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, gc=False):
    """Base of every stored value. They form no cycles, so the collector need not walk them (`gc=False`)."""


class BotStatus(StrEnum):
    """What a bot does."""

    STOPPED = "stopped"
    RUNNING = "running"
    STOPPING = "stopping"
    """Asked to stop; the current cycle is being finished."""
    ERROR = "error"


class PostType(StrEnum):
    """What kind of post it is."""

    TEXT = "text"
    PHOTO = "photo"
    VIDEO = "video"
    DOCUMENT = "document"
    VOICE = "voice"
    ALBUM = "album"
    """2 to 10 files that show as one post."""
    POLL = "poll"
    FORWARD = "forward"
    """A message that exists already, with its author's name."""
    COPY = "copy"
    """A message that exists already, without its author's name."""


class TextFormat(StrEnum):
    """How `PostContent.text` is written."""

    PLAIN = "plain"
    HTML = "html"
    MARKDOWN = "markdown"


class MediaKind(StrEnum):
    """As what a file is shown."""

    PHOTO = "photo"
    VIDEO = "video"
    AUDIO = "audio"
    VOICE = "voice"
    DOCUMENT = "document"


class Media(Model, frozen=True, kw_only=True):
    """A file of a post."""

    file: str
    """Its name in the user's media folder."""
    kind: MediaKind | None = None
    """None: what the type of the post says; in an album, what the file's name says."""
    spoiler: bool = False
    duration: int | None = None
    """Seconds, for video, audio and voice."""
    width: int | None = None
    """Pixels, for video."""
    height: int | None = None


class Poll(Model, frozen=True, kw_only=True):
    """A question and 2 to 10 answers."""

    question: str
    answers: tuple[str, ...]
    anonymous: bool = True
    multiple: bool = False
    """Several answers may be chosen."""
    correct: int | None = None
    """The right answer, counted from 0: it makes the poll a quiz."""
    explanation: str = ""
    """Shown after a wrong answer to a quiz."""
    open_seconds: int | None = None
    """5 to 600: the poll closes by itself."""


class PostContent(Model, frozen=True, kw_only=True):
    """What is posted, spelled out. A plain string in its place means `PostContent(text=string)`."""

    text: str = ""
    """The text, or the caption of media. `{group} {date} {time} {n}` are filled in, `{{n}}` shows `{n}`."""
    format: TextFormat = TextFormat.PLAIN
    media: tuple[Media, ...] = ()
    poll: Poll | None = None
    message: str | None = None
    """What to forward or copy: a link to a message, or "saved" for the newest in the account's Saved Messages."""
    link_preview: bool = True
    silent: bool = False
    """Members get it without a sound."""
    pin: bool = False
    """Pinned after it was posted, where the account may."""
    type: PostType | None = None
    """In a list of posts: this one's type, where it differs from the user's `post_type`."""
    posts: tuple["str | PostContent", ...] = ()
    """Several posts that take turns, one a cycle. Then everything else here stays empty."""


class Hold(Model, frozen=True, kw_only=True):
    """Not before `until`, and why, in words for its user. `count` grows with each refusal in a row."""

    until: datetime
    code: str
    reason: str
    count: int = 1
    since: datetime | None = None
    """When it was asked for; None: not known."""

    def as_of(self, now: datetime) -> "Hold":
        """The same by a clock that may have been set back since: as long as it was asked for, beginning now."""
        if self.since is None or self.since <= now:
            return self
        return msgspec.structs.replace(self, until=now + (self.until - self.since), since=now)


class Missed(StrEnum):
    """What happens to runs whose time passed while they could not begin."""

    RUN_ONCE = "run_once"
    """One run makes up for all of them."""
    SKIP = "skip"


class Schedule(Model, frozen=True, kw_only=True):
    """When cycles start. Without `cron`, `times` and `once` it is the delay between cycles that decides.

    Hours and dates are those of `timezone`. An hour that daylight saving leaves out counts as the moment it ends, one
    that comes twice counts once; a cron expression of every hour follows real time instead.
    """

    timezone: str = "UTC"
    """IANA name, such as "Europe/Berlin". Allowances are counted by its days and months too."""
    cron: tuple[str, ...] = ()
    """Expressions of five fields: minute hour day month weekday (0 and 7: Sunday)."""
    times: tuple[str, ...] = ()
    """Every day at these hours: "09:00"."""
    once: tuple[datetime, ...] = ()
    """Single runs; a moment without an offset is one of `timezone`."""
    quiet_hours: tuple[str, ...] = ()
    """No cycle starts then: "22:00-07:00", the end not included. Single runs wait for the end."""
    starts_on: date | None = None
    ends_on: date | None = None
    """The last day on which a cycle may start."""
    max_cycles: int | None = None
    """After so many cycles since its start the bot stops."""
    missed: Missed = Missed.RUN_ONCE

    def __post_init__(self) -> None:
        peel_fields(self, "timezone", "cron", "times", "quiet_hours")


class Allowance(Model, frozen=True, kw_only=True):
    """How many posts a user may make; None: what the settings say."""

    per_day: int | None = None
    per_month: int | None = None


class BannedSession(Model, frozen=True, kw_only=True):
    """A session that was taken from a user for good."""

    name: str
    at: datetime
    reason: str
    replaced_by: str | None = None


class User(Model, frozen=True, kw_only=True):
    """A tenant of the service and the bot that posts for it."""

    assigned_sessions: tuple[str, ...] = ()
    accounts_given: int = 0
    """How many accounts it was given for its groups, those that were lost or taken away since included. 0: none, or by
    a version that did not count."""
    api_pairs: tuple[int, ...] = ()
    """The api_ids its sessions run on: sorted, each once."""
    groups: tuple[str, ...] = ()
    post_type: PostType = PostType.TEXT
    post_content: str | PostContent = ""
    delay_between_posts: float = 3.0
    """Seconds an account rests between two posts."""
    delay_between_cycles: float = 3600.0
    """Seconds from the end of a cycle to the start of the next, where the schedule names no moments."""
    schedule: Schedule = Schedule()
    allowance: Allowance = Allowance()
    cycles_done: int = 0
    """Cycles finished since the bot was started."""
    bot_status: BotStatus = BotStatus.STOPPED
    status_reason: str | None = None
    """Why the bot is in that state, where it was not its user's wish."""
    next_run_at: datetime | None = None
    slot: datetime | None = None
    """Where that run was put off: the moment it is for. What a calendar named since is missed, not met by it."""
    let_go: bool = False
    """The user wanted no further post of the last cycle: what it left in the journal is not gone on with."""
    cycles: int = 0
    """Cycles planned so far: numbers them for `{n}` and for posts that take turns."""
    banned_sessions: tuple[BannedSession, ...] = ()
    group_holds: dict[str, dict[str, Hold]] = {}
    """group → session → hold: that account leaves that group alone until then."""
    revision: int = 0
    """The commit that last touched this user; set by the store."""


class SessionState(StrEnum):
    """What an account is fit for."""

    READY = "ready"
    NEEDS_LOGIN = "needs_login"
    FROZEN = "frozen"
    BANNED = "banned"
    DUPLICATE = "duplicate"
    """Telegram says that its account has another session here: this one never posts."""


class Session(Model, frozen=True, kw_only=True):
    """The login of one account. Its key lives in its file, never here."""

    api_id: int | None = None
    """The API pair it runs on; kept until it is given another one."""
    taken_on: int | None = None
    """The API pair of its last connection, or login, that Telegram took."""
    telegram_id: int | None = None
    """Who Telegram says it is; None while Telegram was not asked. No two sessions have the same."""
    dc_id: int | None = None
    owner: str | None = None
    """The only user who may have it; None: spare for everyone."""
    label: str = ""
    phone: str | None = None
    """Digits only. Shown whole to its owner alone."""
    premium: bool | None = None
    """Whether the account has Telegram Premium, as it was last seen; None: never seen."""
    key_id: str | None = None
    """Names the auth key without telling it: two files of one login have the same."""
    state: SessionState = SessionState.READY
    state_reason: str | None = None
    hold: Hold | None = None
    """The whole account rests until then."""
    added_at: datetime | None = None
    last_used_at: datetime | None = None


class Stats(Model, frozen=True, kw_only=True):
    """Counters of one user; they can be recomputed from the journal."""

    total_posts: int = 0
    """Deliveries that came to an end, well or not."""
    total_success: int = 0
    total_failures: int = 0
    total_flood_waits: int = 0
    total_messages_sent: int = 0
    """Messages Telegram confirmed; an album counts each of its parts."""
    last_activity: datetime | None = None


class DeliveryState(StrEnum):
    """How far one post to one group in one cycle has come."""

    PLANNED = "planned"
    SENDING = "sending"
    DELIVERED = "delivered"
    FAILED = "failed"
    SKIPPED = "skipped"
    UNKNOWN = "unknown"
    """It may or may not have arrived, and nobody could find out."""


UNFINISHED = frozenset({DeliveryState.PLANNED, DeliveryState.SENDING})


class Delivery(Model, frozen=True, kw_only=True):
    """One post to one group in one cycle. `random_id` is Telegram's deduplication key and never changes."""

    id: int = 0
    """Row in the journal; 0 before it is there."""
    user: str
    cycle: int
    group: str
    session: str
    random_id: int
    part: int = 0
    state: DeliveryState = DeliveryState.PLANNED
    error: str | None = None
    """The error's code, as Telegram names it."""
    reason: str | None = None
    """In words, for its user."""
    message_id: int | None = None
    planned_at: datetime
    finished_at: datetime | None = None


class Cycle(Model, frozen=True, kw_only=True):
    """One pass over a user's groups. `id` is the moment it was planned, in milliseconds since 1970: unique a user."""

    id: int
    user: str
    post_type: PostType
    post_content: str | PostContent
    """As it was when the cycle was planned, so that a resumed cycle posts the same thing."""
    started_at: datetime
    finished_at: datetime | None = None


class Budget(Model, frozen=True, kw_only=True):
    """What a user may spend on one day of their own time zone, and in its month, before grants."""

    day: date
    per_day: int
    per_month: int


class AllowanceUse(Model, frozen=True, kw_only=True):
    """What a user used of their allowance. Posts of unknown end count as spent."""

    day: date
    """Today in the user's time zone; the month is this day's."""
    per_day: int
    per_month: int
    granted: int
    """More posts for this month, by the operator."""
    spent_today: int
    spent_this_month: int
    reserved_today: int
    """Planned and not yet sent."""
    reserved_this_month: int
    uncounted: int
    """Posts of this month whose end nobody knows, or that nothing was reserved for; they are among the spent ones."""

    @property
    def left(self) -> int:
        """Posts that may still be planned now."""
        today = self.per_day + self.granted - self.spent_today - self.reserved_today
        month = self.per_month + self.granted - self.spent_this_month - self.reserved_this_month
        return max(0, min(today, month))

    @property
    def used_up_text(self) -> str:
        """Why nothing more is planned, in words for the user."""
        if self.per_month + self.granted - self.spent_this_month - self.reserved_this_month <= self.left:
            return f"your {self.per_month + self.granted} posts of this month are used up; a new month brings new ones"
        return f"your {self.per_day + self.granted} posts of today are used up; tomorrow brings new ones"


class AllowanceDay(Model, frozen=True, kw_only=True):
    """What a user spent on one day."""

    day: date
    spent: int
    uncounted: int


class Grant(Model, frozen=True, kw_only=True):
    """More posts for a user in one month, given by an operator."""

    user: str
    month: str
    """Such as 2026-03."""
    posts: int
    at: Moment
    by: str
    note: str = ""


class Level(StrEnum):
    """How much an event asks for attention."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class Event(Model, frozen=True, kw_only=True):
    """A line of a user's log. The same line stands in the daemon's log file."""

    id: int = 0
    at: datetime
    user: str
    action: str
    """Stable, for machines: `post_delivered`, `flood_wait`, `session_replaced` …"""
    text: str
    """A sentence, for people."""
    level: Level = Level.INFO
    session: str | None = None
    group: str | None = None
