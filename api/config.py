"""A change of a user's config: what may be written, and how it is applied."""

from typing import Annotated, Any

import msgspec
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    WithJsonSchema,
)

from bot.compose_content import check_content
from bot.targets import parse_target
from core.errors import InvalidInput
from core.models import PostContent, PostType, Schedule, User
from scheduler.timing import check_schedule

MAX_GROUPS = 1000
MAX_POST_DELAY = 3600.0
MAX_CYCLE_DELAY = 30 * 86400.0


def _group_text(value: object) -> object:
    """A numeric id may come as a number."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _group_name(written: str) -> str:
    try:
        return parse_target(written).text
    except InvalidInput as error:
        raise ValueError(error.fix) from None


def _each_once(names: list[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))


def _post_content(value: object) -> str | PostContent:
    """Only its shape; whether Telegram would take it depends on the type of post (see `applied_to`)."""
    if isinstance(value, str):
        return value
    if not isinstance(value, dict):
        raise ValueError('write a text, or an object such as {"text": "…"}')  # noqa: TRY004  pydantic explains these
    try:
        return msgspec.convert(value, PostContent)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from None


_GroupName = Annotated[str, BeforeValidator(_group_text), Field(max_length=200), AfterValidator(_group_name)]
_Groups = Annotated[list[_GroupName], Field(max_length=MAX_GROUPS), AfterValidator(_each_once)]
_CONTENT_SCHEMA = {"anyOf": [{"type": "string"}, {"$ref": "#/components/schemas/PostContent"}]}
_SCHEDULE_SCHEMA = {"allOf": [{"$ref": "#/components/schemas/Schedule"}]}


def _schedule(value: object) -> Schedule:
    """Only its shape; what it says is checked with `check_schedule`."""
    try:
        return msgspec.convert(value, Schedule, str_keys=True)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from None


def _no_defaults(schema: dict[str, Any]) -> None:
    """A field left out is left as it is; the default in the model only says that it may be left out."""
    for field in schema.get("properties", {}).values():
        field.pop("default", None)


class ConfigPatch(BaseModel):
    """The fields to change; what is left out stays as it is."""

    model_config = ConfigDict(extra="forbid", json_schema_extra=_no_defaults)

    groups: _Groups = Field(default=[], examples=[["@my_channel", "https://t.me/my_forum/12", -1001234567890]])
    post_type: PostType = PostType.TEXT
    post_content: Annotated[str | PostContent, PlainValidator(_post_content), WithJsonSchema(_CONTENT_SCHEMA)] = ""
    delay_between_posts: float = Field(default=3.0, ge=0, le=MAX_POST_DELAY, strict=True, allow_inf_nan=False)
    delay_between_cycles: float = Field(default=3600.0, ge=0, le=MAX_CYCLE_DELAY, strict=True, allow_inf_nan=False)

    schedule: Annotated[Schedule, PlainValidator(_schedule), WithJsonSchema(_SCHEDULE_SCHEMA)] = Field(
        default_factory=Schedule
    )

    @property
    def moves_runs(self) -> bool:
        """Whether it changes when cycles start."""
        return bool(self.model_fields_set & {"schedule", "delay_between_cycles"})

    def applied_to(self, user: User) -> User:
        """The user with these changes. A group that leaves the list takes its holds along.

        Raises:
            InvalidInput: a post that Telegram would refuse, by the limits of its type, or a schedule without a moment.
        """
        changes: dict[str, Any] = {name: getattr(self, name) for name in self.model_fields_set}
        if "groups" in changes:
            kept = set(changes["groups"])
            changes["group_holds"] = {name: holds for name, holds in user.group_holds.items() if name in kept}
        changed = msgspec.structs.replace(user, **changes)
        if changes.keys() & {"post_type", "post_content"}:
            check_content(changed.post_type, changed.post_content)
        if "schedule" in changes:
            check_schedule(changed.schedule)
        return changed
