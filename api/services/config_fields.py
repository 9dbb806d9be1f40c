"""The fields of a config as a request writes them, and the checks of their values."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Annotated, Any

import msgspec
from fastapi import Header
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    WithJsonSchema,
)

from api.services.msgspec_errors import read_as
from bot.chats.targets import parse_target
from bot.compose.content import check_content
from core.errors import InvalidInput, check_all
from core.models import PostContent, PostType, Schedule, User
from core.settings import Settings
from scheduler.timing import check_schedule

MAX_GROUPS = 1000
MAX_POST_DELAY = 3600.0
MAX_CYCLE_DELAY = 30 * 86400.0


def _group_text(value: object) -> object:
    """Return a numeric id that came as a number as text."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _group_name(written: str) -> str:
    try:
        return parse_target(written).text
    except InvalidInput as error:
        raise ValueError(error.fix) from None


def _each_once(names: list[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))


def _post_content(value: object) -> str | PostContent:
    """Check only the shape: whether Telegram accepts it depends on the type of post, see `with_changes`."""
    if isinstance(value, str):
        return value
    if not isinstance(value, dict):
        raise ValueError('write a text, or an object such as {"text": "…"}')  # noqa: TRY004  pydantic explains these
    return read_as(PostContent, value, {})


IfMatch = Annotated[str | None, Header(description="Change it only if it still is the version of this ETag.")]
GroupName = Annotated[str, BeforeValidator(_group_text), Field(max_length=200), AfterValidator(_group_name)]
Groups = Annotated[list[GroupName], Field(max_length=MAX_GROUPS), AfterValidator(_each_once)]
_CONTENT_SCHEMA = {"anyOf": [{"type": "string"}, {"$ref": "#/components/schemas/PostContent"}]}
PostBody = Annotated[str | PostContent, PlainValidator(_post_content), WithJsonSchema(_CONTENT_SCHEMA)]
"""A post, as text or as an object."""
SCHEDULE_SCHEMA = {"allOf": [{"$ref": "#/components/schemas/Schedule"}]}
_A_DAY = "write a day, for example 2026-05-01, or null"
SCHEDULE_FIELDS = {
    "timezone": "write an IANA name, for example Europe/Berlin",
    "cron": 'write a list of expressions, for example ["0 9 * * 1-5"]',
    "times": 'write a list of hours, for example ["09:00", "18:30"]',
    "once": 'write a list of moments to the second, for example ["2026-05-01T18:00:00"]',
    "quiet_hours": 'write a list of spans, for example ["22:00-07:00"]',
    "starts_on": _A_DAY,
    "ends_on": _A_DAY,
    "max_cycles": "write a whole number from 1, or null for no end",
    "missed": "write run_once or skip",
}
"""How to write each field, for the message about one that cannot be read."""


def read_schedule(value: object) -> Schedule:
    """Check only the shape: `with_changes` checks the values."""
    if not isinstance(value, dict):
        raise ValueError('write an object, for example {"times": ["09:00"]}')  # noqa: TRY004  pydantic explains these
    return read_as(Schedule, value, SCHEDULE_FIELDS)


def _no_defaults(schema: dict[str, Any]) -> None:
    """A field that the body leaves out stays as it is: the model's default only makes it optional."""
    for field in schema.get("properties", {}).values():
        field.pop("default", None)


class ConfigPatch(BaseModel):
    """The fields to change; what is left out stays as it is."""

    model_config = ConfigDict(extra="forbid", json_schema_extra=_no_defaults)

    groups: Groups = Field(default=[], examples=[["@my_channel", "https://t.me/my_forum/12", -1001234567890]])
    post_type: PostType = PostType.TEXT
    post_content: PostBody = ""
    delay_between_posts: float = Field(default=3.0, ge=0, le=MAX_POST_DELAY, strict=True, allow_inf_nan=False)
    delay_between_cycles: float = Field(default=3600.0, ge=0, le=MAX_CYCLE_DELAY, strict=True, allow_inf_nan=False)

    schedule: Annotated[Schedule, PlainValidator(read_schedule), WithJsonSchema(SCHEDULE_SCHEMA)] = Field(
        default_factory=Schedule
    )

    def replacements(self, _: User) -> dict[str, Any]:
        """Return the fields to replace: those that the body names."""
        return {name: getattr(self, name) for name in self.model_fields_set}


def with_changes(user: User, changes: Mapping[str, Any], settings: Settings) -> User:
    """Return the user with these fields of the config replaced. The holds of a group go when it leaves the list.

    Raises:
        InvalidInput: Telegram would refuse a post, a schedule names no moment, or the delay is below the operator's.
    """
    if "groups" in changes:
        kept = set(changes["groups"])
        holds = {name: holds for name, holds in user.group_holds.items() if name in kept}
        changes = {**changes, "group_holds": holds}
    changed = msgspec.structs.replace(user, **changes)
    checks: list[Callable[[], None]] = []
    if "delay_between_cycles" in changes:
        checks.append(partial(_check_delay, changed.delay_between_cycles, settings.least_cycle_delay_seconds))
    if changes.keys() & {"post_type", "post_content"}:
        checks.append(partial(check_content, changed.post_type, changed.post_content))
    if "schedule" in changes:
        checks.append(partial(check_schedule, changed.schedule))
    check_all(checks)
    return changed


def _check_delay(delay: float, least: float) -> None:
    if delay < least:
        fix = f"write at least {least:g}, in seconds from the end of a cycle to the start of the next"
        raise InvalidInput("delay_between_cycles", fix)
