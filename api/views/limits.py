"""The bounds of configs, and what a schedule would do, as the API shows them."""

from api.views.base import View
from core.models import Moment


class TextLimit(View, frozen=True, kw_only=True):
    """How long the text or caption of a type of post may be, in UTF-16 units, as Telegram counts."""

    most: int
    """For every account."""
    most_premium: int
    """For accounts with Telegram Premium."""
    required: bool
    """Whether the post needs a text."""
    taken: bool
    """Whether the post may have a text at all."""


class LimitsView(View, frozen=True, kw_only=True):
    """The bounds of this Postfleet and of Telegram."""

    groups: int
    """The most groups of a user."""
    posts: int
    """The most posts that take turns."""
    texts: dict[str, TextLimit]
    """Type of post → the bounds of its text."""
    delay_between_posts: float
    """The longest, in seconds."""
    least_delay_between_cycles: float
    """The shortest that the operator allows, in seconds."""
    delay_between_cycles: float
    """The longest, in seconds."""
    schedule_entries: dict[str, int]
    """Field of a schedule → the most entries in it."""
    schedule_preview: int
    """The most runs that a preview of a schedule shows."""
    accounts: int
    """The most accounts that post for a user."""
    upload_bytes: int
    """The largest file to upload."""
    media_bytes: int
    """The most bytes of a user's files together."""
    body_bytes: int
    """The largest body of any other request."""


class RunsView(View, frozen=True, kw_only=True):
    """The next runs of a bot that is started now, if its cycles took no time."""

    runs: list[Moment]
    """The moments, the next one first."""
    over: str | None
    """Why no run follows the last one; null: more runs follow."""
