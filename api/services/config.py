"""A change of a user's config: what may be written, and how it is applied."""

import hashlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
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

from api.backend import Backend
from api.problems import PreconditionFailed
from api.requests.etags import names
from api.services.msgspec_errors import read_as
from api.services.users import NEW_USER, get_user
from api.views.base import ConfigView
from bot.chats.targets import parse_target
from bot.compose.content import check_content, posts_of
from bot.compose.media import check_contents
from core.errors import Faults, InvalidInput, check_all
from core.models import PostContent, PostType, Schedule, User
from core.settings import Settings
from data.media.layout import media_folder
from data.users.data_manager import Transaction
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
    return read_as(PostContent, value, {})


IfMatch = Annotated[str | None, Header(description="Change it only if it still is the version of this ETag.")]
"""A route's parameter."""
GroupName = Annotated[str, BeforeValidator(_group_text), Field(max_length=200), AfterValidator(_group_name)]
Groups = Annotated[list[GroupName], Field(max_length=MAX_GROUPS), AfterValidator(_each_once)]
_CONTENT_SCHEMA = {"anyOf": [{"type": "string"}, {"$ref": "#/components/schemas/PostContent"}]}
PostBody = Annotated[str | PostContent, PlainValidator(_post_content), WithJsonSchema(_CONTENT_SCHEMA)]
"""A post, as text or as an object."""
_SCHEDULE_SCHEMA = {"allOf": [{"$ref": "#/components/schemas/Schedule"}]}
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
"""How each is written, for whoever wrote something else."""


def _schedule(value: object) -> Schedule:
    """Only its shape; what it says is checked with `check_schedule`."""
    if not isinstance(value, dict):
        raise ValueError('write an object, for example {"times": ["09:00"]}')  # noqa: TRY004  pydantic explains these
    return read_as(Schedule, value, SCHEDULE_FIELDS)


def _no_defaults(schema: dict[str, Any]) -> None:
    """A field left out is left as it is; the default in the model only says that it may be left out."""
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

    schedule: Annotated[Schedule, PlainValidator(_schedule), WithJsonSchema(_SCHEDULE_SCHEMA)] = Field(
        default_factory=Schedule
    )

    @property
    def moves_runs(self) -> bool:
        """Whether it changes when cycles start."""
        return bool(self.model_fields_set & {"schedule", "delay_between_cycles"})

    def applied_to(self, user: User, settings: Settings) -> User:
        """The user with these changes.

        Raises:
            InvalidInput: a delay below what the operator set, or as `with_changes` does.
        """
        changes = {name: getattr(self, name) for name in self.model_fields_set}
        check_all((lambda: self._check_delay(settings), lambda: with_changes(user, changes)))
        return with_changes(user, changes)

    def _check_delay(self, settings: Settings) -> None:
        least = settings.least_cycle_delay_seconds
        if "delay_between_cycles" in self.model_fields_set and self.delay_between_cycles < least:
            fix = f"write at least {least:g}, in seconds from the end of a cycle to the start of the next"
            raise InvalidInput("delay_between_cycles", fix)


def with_changes(user: User, changes: dict[str, Any]) -> User:
    """The user with these fields of the config changed. A group that leaves the list takes its holds along.

    Raises:
        InvalidInput: a post that Telegram would refuse, by the limits of its type, or a schedule without a moment.
    """
    if "groups" in changes:
        kept = set(changes["groups"])
        holds = {name: holds for name, holds in user.group_holds.items() if name in kept}
        changes = {**changes, "group_holds": holds}
    changed = msgspec.structs.replace(user, **changes)
    checks: list[Callable[[], None]] = []
    if changes.keys() & {"post_type", "post_content"}:
        checks.append(partial(check_content, changed.post_type, changed.post_content))
    if "schedule" in changes:
        checks.append(partial(check_schedule, changed.schedule))
    check_all(checks)
    return changed


async def change_config(backend: Backend, user_id: str, if_match: str | None, change: Callable[[User], User]) -> User:
    """Change the config in one transaction; the user after it. Everything that is a view of the config goes this way.

    Raises:
        PreconditionFailed: `if_match` names other versions than the one that is there.
        InvalidInput: a new post names a file that was not uploaded, or that Telegram would not take.
        NotRead: the machine has no room to look into a file just now.
        What `change` raises; nothing was changed then.
    """
    seen = get_user(backend, user_id)
    _check_version(if_match, seen)
    folder = media_folder(backend.settings.state_dir, user_id)
    await _check_new_files(folder, seen, change(seen))

    def apply(tx: Transaction) -> User:
        before = tx.users.get(user_id, NEW_USER)
        _check_version(if_match, before)
        user = change(before)
        tx.put_user(user_id, user)
        return user

    return await backend.store.transact(apply)


def _check_version(if_match: str | None, user: User) -> None:
    if if_match is not None and not names(if_match.encode("latin-1", "replace"), config_etag(user).encode()):
        raise PreconditionFailed


async def _check_new_files(folder: Path, before: User, after: User) -> None:
    """Files of posts that were not there before: they are uploaded first. Raises as `check_contents` does."""
    known = posts_of(before.post_type, before.post_content)
    several = isinstance(after.post_content, PostContent) and after.post_content.posts
    faults = Faults()
    for index, post in enumerate(posts_of(after.post_type, after.post_content)):
        if post not in known and not faults.enough:
            field = f"post_content.posts[{index}].media" if several else "post_content.media"
            with faults.noted():
                await check_contents(folder, post, field)
    faults.raise_any()


def config_etag(user: User) -> str:
    """Names this version of the config, and of everything that is a view of it."""
    return f'"{hashlib.blake2b(msgspec.json.encode(ConfigView.of(user)), digest_size=8).hexdigest()}"'


def config_headers(user: User) -> dict[str, str]:
    """What an answer about the config carries."""
    return {"ETag": config_etag(user), "Cache-Control": "private, no-cache"}
