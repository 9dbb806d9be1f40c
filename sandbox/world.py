"""What a world is made of before it runs: accounts, chats, faults, a timeline; from YAML, JSON or built here."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml

FIRST_USER_ID = 5_000_000_001
FIRST_CHANNEL_ID = 1_500_000_001
KINDS = ("supergroup",)


class WorldError(ValueError):
    """A world file says something the sandbox cannot build; the message names the field."""


@dataclass
class AccountSpec:
    """One Telegram user. `id` and `phone` are numbered by position when left out."""

    name: str
    id: int = 0
    phone: str = ""
    first_name: str = ""
    username: str | None = None
    state: str = "active"


@dataclass
class ChatSpec:
    """One chat; `members` is a list of account names or "all"."""

    username: str | None = None
    title: str = ""
    kind: str = "supergroup"
    key: str = ""
    id: int = 0
    members: list[str] | str = "all"


@dataclass
class World:
    """Everything a sandbox starts from. Rules and timeline entries stay as written until it starts."""

    seed: int = 1
    accounts: list[AccountSpec] = field(default_factory=list)
    chats: list[ChatSpec] = field(default_factory=list)
    faults: list[dict[str, Any]] = field(default_factory=list)
    timeline: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Number what was left out and refuse what cannot be."""
        for position, account in enumerate(self.accounts):
            account.id = account.id or FIRST_USER_ID + position
            account.phone = account.phone or f"99966{position + 1:05d}"
            account.first_name = account.first_name or account.name
        names = {account.name for account in self.accounts}
        _unique("accounts: name", [account.name for account in self.accounts])
        _unique("accounts: id", [account.id for account in self.accounts])
        for position, chat in enumerate(self.chats):
            self._complete(chat, position, names)
        _unique("chats: key", [chat.key for chat in self.chats])
        _unique("chats: id", [chat.id for chat in self.chats])

    @staticmethod
    def _complete(chat: ChatSpec, position: int, names: set[str]) -> None:
        chat.key = chat.key or chat.username or f"chat{position + 1:02d}"
        chat.title = chat.title or chat.key
        chat.id = chat.id or FIRST_CHANNEL_ID + position
        if chat.kind not in KINDS:
            raise WorldError(f"chats: {chat.key}: kind {chat.kind!r} is none of {', '.join(KINDS)}")
        if chat.members == "all":
            chat.members = sorted(names)
        strangers = [name for name in chat.members if name not in names]
        if isinstance(chat.members, str) or strangers:
            raise WorldError(f"chats: {chat.key}: members must be 'all' or names of accounts, not {chat.members!r}")

    def as_dict(self) -> dict[str, Any]:
        """The world as plain values, for the control channel."""
        return asdict(self)


def _unique(what: str, values: list[Any]) -> None:
    doubled = sorted({value for value in values if values.count(value) > 1})
    if doubled:
        raise WorldError(f"{what} must be unique, {doubled[0]!r} stands twice")


def _build(kind: type[Any], where: str, value: object) -> Any:
    if not isinstance(value, Mapping):
        raise WorldError(f"{where} must be a mapping, not {type(value).__name__}")
    known = {entry.name for entry in fields(kind)}
    unknown = sorted(set(value) - known)
    if unknown:
        raise WorldError(f"{where}: unknown field {unknown[0]!r}; known are {', '.join(sorted(known))}")
    try:
        return kind(**value)
    except TypeError as error:
        raise WorldError(f"{where}: {error}") from error


def world_from(raw: object) -> World:
    """Build a world from plain values. Raises WorldError naming what is wrong."""
    if not isinstance(raw, Mapping):
        raise WorldError("a world must be a mapping with accounts and chats")
    raw = dict(raw)
    for part, kind in (("accounts", AccountSpec), ("chats", ChatSpec)):
        entries = raw.get(part, [])
        if not isinstance(entries, list):
            raise WorldError(f"{part} must be a list")
        raw[part] = [_build(kind, f"{part}[{position}]", entry) for position, entry in enumerate(entries)]
    world: World = _build(World, "world", raw)
    return world


def load_world(path: Path) -> World:
    """Read a world from a `.json` file, else as YAML. Raises WorldError or OSError."""
    text = path.read_text(encoding="utf-8")
    try:
        raw = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except (json.JSONDecodeError, yaml.YAMLError) as error:
        raise WorldError(f"{path}: {error}") from error
    return world_from(raw)


def demo_world(
    seed: int = 1, *, accounts: int = 12, groups: int = 20, ban_after_sends: int | None = None, ban_account: str = "*"
) -> World:
    """Three users' worth: `acc01…`, supergroups `plaza01…`, everyone a member everywhere.

    With `ban_after_sends` the account `ban_account` ("*": whichever gets there first) is banned after that many
    delivered messages.
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
