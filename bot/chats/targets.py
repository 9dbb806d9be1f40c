"""Where a post goes: the many ways people write a group, read into one.

    @name   name   t.me/name   https://telegram.me/name/   name.t.me   tg://resolve?domain=name
    -1001234567890   t.me/c/1234567890   tg://privatepost?channel=1234567890
    t.me/+HASH   t.me/joinchat/HASH   tg://join?invite=HASH

Each can carry a forum topic: `@name/45`, `t.me/c/1234567890/45`, `-1001234567890/45`, `…?thread=45`. A link to a
message inside a topic (`t.me/name/45/678`) means that topic. Topic 1 is General, where a post without a topic goes.
In a chat that is no forum the number is a message and the link means the chat: `bot.chats.peers` knows which.

Nothing here asks Telegram. `bot.chats.peers` finds out whether a name exists and whether two names are one chat.
Link forms: core.telegram.org/api/links.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property, lru_cache
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from core.errors import InvalidInput

_HOSTS = ("t.me", "telegram.me", "telegram.dog")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{2,31}")
_HASH = re.compile(r"[A-Za-z0-9_-]{10,64}")
_PHONE = re.compile(r"\d{7,15}")
_ID = re.compile(r"-\d{1,16}")
_NUMBER = re.compile(r"\d{1,10}")
_INVISIBLE = re.compile("[\u200b-\u200f\u202a-\u202e\u2060\ufeff]")
_CHANNEL_MARK = 10**12
"""Added to a channel's own id, and made negative, by everything that shows ids of chats: 123 is -1000000000123."""
_GENERAL_TOPIC = 1
_NO_GROUP_BEHIND = frozenset(
    {
        "addemoji",
        "addlist",
        "addstickers",
        "addtheme",
        "bg",
        "boost",
        "confirmphone",
        "contact",
        "giftcode",
        "invoice",
        "iv",
        "joinchat",
        "login",
        "m",
        "msg",
        "nft",
        "proxy",
        "setlanguage",
        "share",
        "socks",
    }
)
_LEADS_ELSEWHERE = {
    "comment": "is a link to a comment; it stands in the channel's discussion group: use the link from there",
    "story": "is a link to a story, which is neither a group nor a message",
    "direct": "leads to a channel's direct messages, which are neither a group nor a message",
}
"""Parts of a link that make it mean something else than the chat or the message it names."""
_OF_MESSAGES = frozenset(
    {"channel", "domain", "embed", "mode", "option", "post", "single", "t", "task", "thread", "topic"}
)
"""Parts of a link that leave it a link to the message it names."""
_COPIED_FROM_HTML = re.compile("&(?:(?:amp|#38|#x26);)+", re.IGNORECASE)
_WAYS = "write @name, a t.me link, an invite link or an id such as -1001234567890"


class TargetKind(StrEnum):
    """How a chat is named."""

    USERNAME = "username"
    INVITE = "invite"
    ID = "id"


@dataclass(frozen=True)
class Target:
    """A chat, and a topic in it. Two spellings of one thing are equal."""

    kind: TargetKind
    value: str
    """Username in small letters, invite hash as it is, or the marked id (-100… for channels and supergroups)."""
    topic: int | None = None
    """A number of a topic, where the chat turns out to be a forum."""

    @cached_property
    def chat(self) -> str:
        """The one spelling of the chat, without a topic. Peers are looked up by it."""
        prefix = {TargetKind.USERNAME: "@", TargetKind.INVITE: "https://t.me/+", TargetKind.ID: ""}[self.kind]
        return f"{prefix}{self.value}"

    @property
    def text(self) -> str:
        """The one spelling of chat and topic. It reads as an equal target."""
        return self.chat if self.topic is None else f"{self.chat}/{self.topic}"

    @property
    def marked_id(self) -> int | None:
        """The id as Telethon's `resolve_id` takes it; None for a name or an invite link."""
        return int(self.value) if self.kind is TargetKind.ID else None

    @property
    def basic_group_id(self) -> int | None:
        """The own id of a basic group, None for everything else. It may have become a supergroup since."""
        marked = self.marked_id
        return -marked if marked is not None and -_CHANNEL_MARK < marked < 0 else None

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class MessageLink:
    """A message to forward or copy."""

    chat: Target
    message_id: int
    single: bool = False
    """This message alone, not the album it is part of."""


def parse_target(text: str, field: str = "groups") -> Target:
    """Read one way of writing a group.

    Raises:
        InvalidInput: no group can be read from the text; the error names `field`, the fault and the fix.
    """
    return _parsed(text, field)


@lru_cache(maxsize=16_384)
def _parsed(text: str, field: str) -> Target:
    """Parse a spelling once: a post asks for its target several times."""
    place = _read(text, field)
    topic = place.thread if place.thread is not None else (place.numbers[0] if place.numbers else None)
    return Target(place.kind, place.value, None if topic == _GENERAL_TOPIC else topic)


def parse_message_link(text: str, field: str) -> MessageLink:
    """Read a link to a message: `t.me/name/123`, `t.me/c/1234567890/123`, with a topic in between or not.

    Raises:
        InvalidInput: naming `field` and how to write it.
    """
    place = _read(text, field)
    if place.kind is TargetKind.INVITE or not place.numbers:
        raise InvalidInput(
            field, f"{_shown(text)} is no link to a message; copy it from the message's menu (t.me/…/123)"
        )
    if strange := place.asked - _OF_MESSAGES:
        raise InvalidInput(
            field, f"{_shown(text)} asks for '{min(strange)[:20]}', which is not known here; remove it from the link"
        )
    return MessageLink(Target(place.kind, place.value), place.numbers[-1], single="single" in place.asked)


@dataclass(frozen=True)
class _Place:
    """What a spelling says, before it is known to be a topic or a message."""

    kind: TargetKind
    value: str
    numbers: tuple[int, ...] = ()
    thread: int | None = None
    asked: frozenset[str] = frozenset()
    """What stands behind the question mark of a link, without values."""


def _read(text: str, field: str) -> _Place:
    cleaned = _COPIED_FROM_HTML.sub("&", _INVISIBLE.sub("", text).strip())
    if not cleaned:
        raise InvalidInput(field, f"a group is empty; {_WAYS}")
    if cleaned.lower().startswith("tg:"):
        return _from_tg(cleaned, field)
    link = _as_link(cleaned)
    if link is not None:
        return _from_link(link, cleaned, field)
    if "://" in cleaned:
        raise InvalidInput(field, f"{_shown(cleaned)} is no Telegram link; {_WAYS}")
    head, *rest = cleaned.rstrip("/").split("/")
    if _ID.fullmatch(head):
        return _Place(TargetKind.ID, _marked(head, cleaned, field), _numbers(rest, cleaned, field))
    if re.fullmatch(r"\d+", head):
        raise InvalidInput(field, f"{_shown(cleaned)} is a person's id; a group's id begins with -100 (or -)")
    return _Place(TargetKind.USERNAME, _name(head, cleaned, field), _numbers(rest, cleaned, field))


def _as_link(text: str) -> SplitResult | None:
    """Return the parts of a link to Telegram, with or without its scheme."""
    with_scheme = text if re.match(r"https?://", text, re.IGNORECASE) else f"https://{text}"
    try:
        link = urlsplit(with_scheme)
        host = (link.hostname or "").removeprefix("www.")
    except ValueError:  # brackets that are no address, for one
        return None
    is_ours = host in _HOSTS or any(host.endswith(f".{ours}") for ours in _HOSTS)
    return link if is_ours and "@" not in link.netloc else None


def _from_link(link: SplitResult, text: str, field: str) -> _Place:
    host = (link.hostname or "").removeprefix("www.")
    parts = [unquote(part) for part in link.path.split("/") if part]
    if host not in _HOSTS:  # name.t.me
        parts.insert(0, host.split(".")[0])
    asked = _asked(link, text, field)
    keys = frozenset(asked)
    thread = _thread(asked, text, field)
    if parts[:1] == ["s"]:  # t.me/s/name, the preview in a browser
        parts = parts[1:]
    match parts:
        case ["c", channel, *rest]:
            return _Place(TargetKind.ID, _channel(channel, text, field), _numbers(rest, text, field), thread, keys)
        case ["joinchat", code, *rest]:
            return _Place(TargetKind.INVITE, _invite(code, text, field), _numbers(rest, text, field), thread)
        case [code, *rest] if code.startswith(("+", " ")):
            return _Place(TargetKind.INVITE, _invite(code[1:], text, field), _numbers(rest, text, field), thread)
        case [name, *_] if name.lower() in _NO_GROUP_BEHIND:
            raise InvalidInput(field, f"{_shown(text)} is a Telegram link, but not to a group; {_WAYS}")
        case [_, "s", _]:
            raise InvalidInput(field, f"{_shown(text)} {_LEADS_ELSEWHERE['story']}")
        case [name, *rest]:
            return _Place(TargetKind.USERNAME, _name(name, text, field), _numbers(rest, text, field), thread, keys)
    raise InvalidInput(field, f"{_shown(text)} names no group; {_WAYS}")


def _from_tg(text: str, field: str) -> _Place:
    try:
        link = urlsplit(text)
    except ValueError:
        raise InvalidInput(field, f"{_shown(text)} is no Telegram link; {_WAYS}") from None
    asked = _asked(link, text, field)
    keys = frozenset(asked)
    thread = _thread(asked, text, field)
    numbers = _numbers(asked.get("post", [])[:1], text, field)
    match (link.netloc or link.path.strip("/")).lower():
        case "resolve" if asked.get("domain"):
            return _Place(TargetKind.USERNAME, _name(asked["domain"][0], text, field), numbers, thread, keys)
        case "privatepost" if asked.get("channel"):
            return _Place(TargetKind.ID, _channel(asked["channel"][0], text, field), numbers, thread, keys)
        case "join" if asked.get("invite"):
            return _Place(TargetKind.INVITE, _invite(asked["invite"][0], text, field), numbers, thread)
    raise InvalidInput(field, f"{_shown(text)} names no group; {_WAYS}")


def _asked(link: SplitResult, text: str, field: str) -> dict[str, list[str]]:
    """Return what stands behind the question mark: keys in small letters, each with the values that are not empty."""
    asked: dict[str, list[str]] = {}
    for key, value in parse_qsl(link.query, keep_blank_values=True):
        asked.setdefault(key.lower(), []).extend([value] if value else [])
    for key, words in _LEADS_ELSEWHERE.items():
        if key in asked:
            raise InvalidInput(field, f"{_shown(text)} {words}")
    return asked


def _thread(asked: dict[str, list[str]], text: str, field: str) -> int | None:
    for key in ("thread", "topic"):
        if values := asked.get(key):
            return _numbers(values[:1], text, field)[0]
    return None


def _name(name: str, text: str, field: str) -> str:
    name = name.removeprefix("@")
    if not _NAME.fullmatch(name):
        raise InvalidInput(field, f"{_shown(text)} is no name of a group; {_WAYS}")
    return name.lower()


def _channel(digits: str, text: str, field: str) -> str:
    if not re.fullmatch(r"[1-9]\d{0,11}", digits):
        raise InvalidInput(field, f"{_shown(text)} has no group's number after t.me/c/; copy the link again")
    return str(-(_CHANNEL_MARK + int(digits)))


def _marked(digits: str, text: str, field: str) -> str:
    number = int(digits)
    if number in (0, -_CHANNEL_MARK) or number <= -2 * _CHANNEL_MARK:
        raise InvalidInput(field, f"{_shown(text)} is no group's id; it looks like -1001234567890")
    return str(number)


def _invite(code: str, text: str, field: str) -> str:
    if _PHONE.fullmatch(code):
        raise InvalidInput(field, f"{_shown(text)} is a phone number; posts go to groups: {_WAYS}")
    if not _HASH.fullmatch(code):
        raise InvalidInput(field, f"{_shown(text)} is not a whole invite link; copy it again")
    return code


def _numbers(parts: list[str], text: str, field: str) -> tuple[int, ...]:
    """Return a topic, or a topic and a message."""
    if len(parts) > 2 or not all(_NUMBER.fullmatch(part) and 0 < int(part) < 2**31 for part in parts):
        raise InvalidInput(field, f"{_shown(text)}: after the group there can be only the number of a topic (@name/45)")
    return tuple(int(part) for part in parts)


def _shown(text: str) -> str:
    """Return what was typed, short enough for a message. Half a surrogate pair could not be answered."""
    text = text.encode(errors="replace").decode()
    return f"'{text[:60]}…'" if len(text) > 60 else f"'{text}'"
