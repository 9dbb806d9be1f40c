"""The description a sandbox starts from: accounts, chats, faults and a timeline."""

import json
import re
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import yaml
from pydantic import ConfigDict, TypeAdapter, ValidationError

FIRST_USER_ID = 5_000_000_001
FIRST_CHANNEL_ID = 1_500_000_001
FIRST_GROUP_ID = 700_000_001
CHANNEL_KINDS = frozenset({"supergroup", "forum", "channel"})
KINDS = ("supergroup", "forum", "channel", "group")
RIGHTS = frozenset(
    {
        "view_messages",
        "send_messages",
        "send_media",
        "send_stickers",
        "send_gifs",
        "send_polls",
        "embed_links",
        "send_photos",
        "send_videos",
        "send_roundvideos",
        "send_audios",
        "send_voices",
        "send_docs",
        "send_plain",
        "invite_users",
        "pin_messages",
        "change_info",
        "manage_topics",
    }
)
STATES = ("active", "banned", "deactivated", "frozen")
LIMITS = ("open", "realistic")
REPEATS = ("first", "error")
DC_IDS = (2, 4)


# Text may be written as a number without quotes: a phone number, for example.
_CONFIG = ConfigDict(extra="forbid", coerce_numbers_to_str=True)


class WorldError(ValueError):
    """The sandbox cannot build this world. The message names the field."""


@dataclass
class AccountSpec:
    """One Telegram user. If left out, `id` and `phone` are numbered by position. `password` turns on two-step login."""

    __pydantic_config__ = _CONFIG

    name: str
    id: int = 0
    phone: str = ""
    first_name: str = ""
    username: str | None = None
    password: str | None = None
    premium: bool = False
    dc: int = DC_IDS[0]
    state: str = "active"


@dataclass
class ChatSpec:
    """One chat. `members` is a list of account names, or "all"; admins and the creator are always added to it.

    `default_banned` takes rights from all members, `banned` from the accounts it names. `slow_mode` is in seconds.
    With `deletes_after`, a moderating bot deletes members' posts after that many seconds, but only those that match
    the regular expression `deletes_matching`.
    """

    __pydantic_config__ = _CONFIG

    username: str | None = None
    title: str = ""
    kind: str = "supergroup"
    key: str = ""
    id: int = 0
    about: str = ""
    members: list[str] | str = "all"
    admins: list[str] = field(default_factory=list)
    creator: str | None = None
    banned: dict[str, list[str]] = field(default_factory=dict)
    default_banned: list[str] = field(default_factory=list)
    kicked: list[str] = field(default_factory=list)
    slow_mode: int = 0
    protected: bool = False
    invite: str | None = None
    join_request: bool = False
    topics: list[str] = field(default_factory=list)
    closed_topics: list[str] = field(default_factory=list)
    deletes_after: float | None = None
    deletes_matching: str = ""


@dataclass
class World:
    """Everything a sandbox starts from. Fault rules and timeline entries are checked when the sandbox is created.

    `repeats` says how a repeated random_id is handled: "first" returns the first message again, "error" raises
    RANDOM_ID_DUPLICATE. After `forget_after` seconds a random_id counts as new. `api_pairs` maps API ids to hashes;
    if empty, any pair is accepted.
    """

    __pydantic_config__ = _CONFIG

    seed: int = 1
    limits: str = "open"
    dcs: int = 1
    login_code: str = "12345"
    api_pairs: dict[int, str] = field(default_factory=dict)
    repeats: str = "first"
    forget_after: float | None = None
    salt_seconds: int = 3600
    accounts: list[AccountSpec] = field(default_factory=list)
    chats: list[ChatSpec] = field(default_factory=list)
    faults: list[dict[str, Any]] = field(default_factory=list)
    timeline: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Fill in the defaults and validate. Raises WorldError."""
        _one_of("limits", self.limits, LIMITS)
        _one_of("repeats", self.repeats, REPEATS)
        _one_of("dcs", self.dcs, range(1, len(DC_IDS) + 1))
        for position, account in enumerate(self.accounts):
            account.id = account.id or FIRST_USER_ID + position
            account.phone = account.phone.lstrip("+") or f"99966{position + 1:05d}"
            account.first_name = account.first_name or account.name
            _one_of(f"accounts: {account.name}: state", account.state, STATES)
            _one_of(f"accounts: {account.name}: dc", account.dc, DC_IDS[: self.dcs])
        names = {account.name for account in self.accounts}
        for what in ("name", "id", "phone"):
            _unique(f"accounts: {what}", [getattr(account, what) for account in self.accounts])
        for position, chat in enumerate(self.chats):
            _complete(chat, position, names)
        for what in ("key", "id"):
            _unique(f"chats: {what}", [getattr(chat, what) for chat in self.chats])

    def as_dict(self) -> dict[str, Any]:
        """Return the world as plain values."""
        return asdict(self)


def _complete(chat: ChatSpec, position: int, names: set[str]) -> None:
    chat.key = chat.key or chat.username or f"chat{position + 1:02d}"
    chat.title = chat.title or chat.key
    where = f"chats: {chat.key}"
    _one_of(f"{where}: kind", chat.kind, KINDS)
    chat.id = chat.id or position + (FIRST_GROUP_ID if chat.kind == "group" else FIRST_CHANNEL_ID)
    if chat.kind == "group" and (chat.username or chat.slow_mode):
        raise WorldError(f"{where}: a basic group has no username and no slow mode")
    if chat.topics and chat.kind != "forum":
        raise WorldError(f"{where}: only a forum has topics")
    if chat.members == "all":
        chat.members = sorted(names)
    if isinstance(chat.members, str):
        raise WorldError(f"{where}: members must be 'all' or names of accounts, not {chat.members!r}")
    creator = [chat.creator] if chat.creator else []
    for part, named in (
        ("members", chat.members),
        ("admins", chat.admins),
        ("banned", chat.banned),
        ("creator", creator),
    ):
        for name in named:
            _one_of(f"{where}: {part}", name, names)
    for rights in (chat.default_banned, *chat.banned.values()):
        for right in rights:
            _one_of(f"{where}: right", right, RIGHTS)
    try:
        re.compile(chat.deletes_matching)
    except re.error as error:
        raise WorldError(f"{where}: deletes_matching: {error}") from error
    chat.members = list(dict.fromkeys([*chat.members, *chat.admins, *creator]))


def _one_of(what: str, value: Any, known: Any) -> None:
    if value not in known:
        raise WorldError(f"{what}: {value!r} is not one of: {', '.join(map(str, sorted(known)))}")


def _unique(what: str, values: list[Any]) -> None:
    seen = set()
    for value in values:
        if value in seen:
            raise WorldError(f"{what} must be unique, {value!r} is used twice")
        seen.add(value)


_WORLD = TypeAdapter(World)


def world_from(raw: object) -> World:
    """Build a world from plain values. Raises WorldError if it is not valid."""
    try:
        return _WORLD.validate_python(raw)
    except ValidationError as error:
        first = error.errors()[0]
        place = ""
        for step in first["loc"]:
            place += f"[{step}]" if isinstance(step, int) else f": {step}" if place else str(step)
        said = first["msg"].removeprefix("Value error, ")
        own = first["type"] == "value_error"  # our own messages already name the place
        raise WorldError(said if own and not place else f"{place or 'world'}: {said}") from error


def load_world(path: Path) -> World:
    """Read a world file: JSON if it ends in `.json`, YAML otherwise. Raises WorldError or OSError."""
    text = path.read_text(encoding="utf-8")
    try:
        raw = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except (json.JSONDecodeError, yaml.YAMLError) as error:
        raise WorldError(f"{path}: {error}") from error
    return world_from(raw)


def demo_world(
    seed: int = 1, *, accounts: int = 12, groups: int = 20, ban_after_sends: int | None = None, ban_account: str = "*"
) -> World:
    """Build the demo world: accounts `acc01…` and supergroups `plaza01…`; every account is in every group.

    With `ban_after_sends`, the account `ban_account` is banned after that many delivered messages; "*" bans whichever
    account gets there first.
    """
    timeline: list[dict[str, Any]] = []
    if ban_after_sends is not None:
        timeline.append({"after_sends": ban_after_sends, "account": ban_account, "do": "ban"})
    return World(
        seed=seed,
        accounts=[AccountSpec(name=f"acc{number:02d}") for number in range(1, accounts + 1)],
        chats=[ChatSpec(username=f"plaza{number:02d}", title=f"Plaza {number:02d}") for number in range(1, groups + 1)],
        timeline=timeline,
    )
