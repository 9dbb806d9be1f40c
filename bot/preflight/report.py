"""What a preflight found. The API shows these structs as they are."""

from datetime import datetime

import msgspec

from core.models import MediaKind, PostType


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """Base of everything in a preflight."""


class ShownEntity(Report, frozen=True, kw_only=True):
    """A stretch of formatting, as Telegram takes it."""

    kind: str
    """bold, text_url, custom_emoji …"""
    offset: int
    """In UTF-16 units, as Telegram counts."""
    length: int
    url: str | None = None


class ShownFile(Report, frozen=True, kw_only=True):
    """A file of the post."""

    file: str
    kind: MediaKind
    bytes: int | None
    """None if the file cannot be used; `problems` says why."""


class ShownPost(Report, frozen=True, kw_only=True):
    """The post whose turn it is, as the first group that gets it will see it."""

    type: PostType
    number: int
    """Which cycle of the bot it is, from 1."""
    summary: str
    """What the post is, in one line, besides its text."""
    text: str
    entities: list[ShownEntity]
    units: int
    """Length of the text as Telegram counts it."""
    most_units: int
    most_units_premium: int
    files: list[ShownFile]
    poll_question: str | None = None
    poll_answers: tuple[str, ...] = ()
    message: str | None = None
    """What is forwarded or copied."""


class AccountInGroup(Report, frozen=True, kw_only=True):
    """One account in one group."""

    session: str
    can_post: bool | None
    """None if that could not be found out."""
    reason: str | None
    """Why not, in words."""
    not_before: datetime | None = None
    """When a known wait ends: slow mode, the account's rest, the daily cap."""
    waits_for: str | None = None


class GroupCheck(Report, frozen=True, kw_only=True):
    """One group of the list."""

    group: str
    title: str | None
    session: str | None
    """The account the next cycle posts with."""
    reason: str | None
    """Why the next cycle leaves it out."""
    slow_mode_seconds: float | None
    """0 without slow mode; None if that could not be found out."""
    topic: str | None
    """`open`, `closed`, `missing` or `unknown`. None if the group is named without a topic, or has no topics: then a
    number after it is a message's, and the post goes to the group."""
    protected: bool
    """Its messages cannot be forwarded elsewhere."""
    accounts: list[AccountInGroup]


class AccountCheck(Report, frozen=True, kw_only=True):
    """One of the user's accounts."""

    session: str
    premium: bool | None
    posts: int
    """In the next cycle."""
    reason: str | None
    """Why it could not be asked, or posts nothing."""


class Preflight(Report, frozen=True, kw_only=True):
    """What the next cycle would do. Nothing was posted."""

    post: ShownPost
    rights_needed: tuple[str, ...]
    """Telegram's names of what an account has to be allowed."""
    problems: list[str]
    """What keeps the post from every group."""
    groups: list[GroupCheck]
    accounts: list[AccountCheck]
    posts: int
    """How many groups get it."""
    cycle_seconds: float
    """About how long the cycle takes."""
