"""Text and its formatting, as Telegram wants them: plain words beside entities counted in UTF-16 units.

A text that is being built is a `TextDraft`: its spans count Python characters, so trimming it and filling in
placeholders is plain arithmetic. `finish` turns it into what is sent. The markups are read in `html` and
`markdown` beside it; Telethon's parsers lose "Q&A", miscount `&#128512;`, know no spoilers and accept unclosed tags.
Limits and entity kinds: core.telegram.org/api/entities, core.telegram.org/api/config.
"""

import re
import unicodedata
from bisect import bisect_left
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit

from telethon.tl import types as tl

from bot.compose.signs import CONTROL, DROPPED, instead_of, is_invisible
from core.errors import InvalidInput

MAX_TEXT_UNITS = 4096
MAX_CAPTION_UNITS = 1024
MAX_CAPTION_UNITS_PREMIUM = 4096
MAX_ENTITIES = 100
"""Telegram leaves out formatting beyond this many pieces."""

_PLACEHOLDER = re.compile(r"\{\{(?P<kept>group|date|time|n)\}\}|\{(?P<filled>group|date|time|n)\}")
_ENCODED = frozenset({"Cf", "Zl", "Zp", "Zs"})
_LINK_SCHEMES = frozenset({"http", "https", "tg", "ton", "mailto", "tel"})


class Style(StrEnum):
    """A way words can look or act."""

    BOLD = "bold"
    ITALIC = "italic"
    UNDERLINE = "underline"
    STRIKE = "strike"
    SPOILER = "spoiler"
    CODE = "code"
    PRE = "pre"
    QUOTE = "quote"
    LONG_QUOTE = "long quote"
    LINK = "link"
    EMOJI = "emoji"


_MAKE: dict[Style, Callable[[int, int, str], Any]] = {
    Style.BOLD: lambda offset, length, _: tl.MessageEntityBold(offset, length),
    Style.ITALIC: lambda offset, length, _: tl.MessageEntityItalic(offset, length),
    Style.UNDERLINE: lambda offset, length, _: tl.MessageEntityUnderline(offset, length),
    Style.STRIKE: lambda offset, length, _: tl.MessageEntityStrike(offset, length),
    Style.SPOILER: lambda offset, length, _: tl.MessageEntitySpoiler(offset, length),
    Style.CODE: lambda offset, length, _: tl.MessageEntityCode(offset, length),
    Style.PRE: lambda offset, length, language: tl.MessageEntityPre(offset, length, language),
    Style.QUOTE: lambda offset, length, _: tl.MessageEntityBlockquote(offset, length),
    Style.LONG_QUOTE: lambda offset, length, _: tl.MessageEntityBlockquote(offset, length, collapsed=True),
    Style.LINK: lambda offset, length, url: tl.MessageEntityTextUrl(offset, length, url),
    Style.EMOJI: lambda offset, length, number: tl.MessageEntityCustomEmoji(offset, length, int(number)),
}


@dataclass(frozen=True)
class Span:
    """`text[start:end]` in one style; `argument` is a link, a language or the number of a custom emoji."""

    start: int
    end: int
    style: Style
    argument: str = ""


@dataclass
class TextDraft:
    """A text that is being built."""

    text: str = ""
    spans: list[Span] = field(default_factory=list)

    def add(self, text: str) -> None:
        """Append text."""
        self.text += text

    def mark(self, start: int, style: Style, argument: str = "") -> None:
        """Give everything from `start` to the end of the text this style."""
        if start < len(self.text):
            self.spans.append(Span(start, len(self.text), style, argument))


@dataclass(frozen=True)
class Formatted:
    """What is sent: the words, and Telethon's entities with offsets in UTF-16 units."""

    text: str
    entities: tuple[Any, ...] = ()

    @property
    def units(self) -> int:
        """Length as Telegram counts it."""
        return utf16_units(self.text)

    @property
    def has_custom_emoji(self) -> bool:
        """Whether accounts without Premium would show plain emoji in the place of some custom ones."""
        return any(isinstance(entity, tl.MessageEntityCustomEmoji) for entity in self.entities)


def utf16_units(text: str) -> int:
    """Return the length as Telegram counts it: a character outside the basic plane, as most emoji are, counts two."""
    return len(text) + sum(character > "\uffff" for character in text)


def checked_input(text: str, field_name: str) -> str:
    """Return the text as its markup is read: every line end is \\n, every other control character a space.

    `finish` drops what else Telegram drops, after the markup is read and the placeholders are filled in.

    Raises:
        InvalidInput: it holds half of a surrogate pair, which cannot be sent.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidInput(
            field_name, f"character {error.start + 1} is half an emoji; send text as UTF-8 and do not cut emoji apart"
        ) from None
    return CONTROL.sub(instead_of, text)


def checked_link(url: str, field_name: str) -> str:
    """Return the address of a link as it can be sent: spaces and signs without width are percent-encoded.

    Raises:
        InvalidInput: it has no scheme Telegram follows, holds control characters, or mentions a person by id.
    """
    url = "".join(quote(sign) if unicodedata.category(sign) in _ENCODED else sign for sign in url.strip())
    try:
        scheme = urlsplit(url).scheme.lower()
    except ValueError:
        scheme = ""
    if scheme not in _LINK_SCHEMES:
        raise InvalidInput(field_name, f"the link '{url[:60]}' needs its beginning, such as https://")
    if any(unicodedata.category(sign) == "Cc" for sign in url):
        raise InvalidInput(field_name, f"the link {url[:60]!r} has a line end or a control character in it; remove it")
    if re.match(r"tg://user\?", url, re.IGNORECASE):
        raise InvalidInput(field_name, "people can be mentioned only by @name: not every account knows them by id")
    return url


def has_placeholders(draft: TextDraft) -> bool:
    """Return whether `fill_in` would change anything."""
    links = (span.argument for span in draft.spans if span.style is Style.LINK)
    return any(_PLACEHOLDER.search(text) for text in (draft.text, *links))


def fill_in(draft: TextDraft, values: Mapping[str, str]) -> TextDraft:
    """Return the draft with `{group} {date} {time} {n}` filled in, in words and in links; `{{n}}` becomes `{n}`.

    The markup is read before the values go in, so nothing in a group's title can turn into formatting.
    """
    filled = _replaced(draft, _PLACEHOLDER, lambda found: _value(found, values))
    filled.spans = [
        replace(span, argument=_fill_link(span.argument, values)) if span.style is Style.LINK else span
        for span in filled.spans
    ]
    return filled


def _replaced(draft: TextDraft, pattern: re.Pattern[str], value: Callable[[re.Match[str]], str]) -> TextDraft:
    """Return the draft with every match replaced; its spans cover the same words as before."""
    pieces: list[str] = []
    moves: list[_Move] = []
    done = length = 0
    for found in pattern.finditer(draft.text):
        new = value(found)
        pieces += draft.text[done : found.start()], new
        length += found.start() - done
        moves.append(_Move(found.start(), found.end(), length, length + len(new)))
        length += len(new)
        done = found.end()
    if not moves:
        return TextDraft(draft.text, list(draft.spans))
    spans = [
        replace(
            span,
            start=_moved(span.start, moves, inside_to_end=False),
            end=_moved(span.end, moves, inside_to_end=True),
        )
        for span in draft.spans
    ]
    return TextDraft("".join((*pieces, draft.text[done:])), spans)


class _Move(NamedTuple):
    """A replaced piece of a text: where it stood, and where the new piece stands."""

    start: int
    end: int
    new_start: int
    new_end: int


def _value(found: re.Match[str], values: Mapping[str, str]) -> str:
    kept = found.group("kept")
    if kept is not None:
        return f"{{{kept}}}"
    return values.get(found.group("filled"), found.group())


def _fill_link(url: str, values: Mapping[str, str]) -> str:
    return _PLACEHOLDER.sub(lambda found: _value(found, {name: quote(v, safe="") for name, v in values.items()}), url)


def _moved(index: int, moves: list[_Move], *, inside_to_end: bool) -> int:
    before = bisect_left(moves, index, key=lambda move: move.start)
    if not before:
        return index
    last = moves[before - 1]
    if index < last.end:
        return last.new_end if inside_to_end else last.new_start
    return index - last.end + last.new_end


def finish(draft: TextDraft) -> Formatted:
    """Return the draft as it will stand in the chat: without what Telegram drops and trims, in Telegram's units, its
    entities ordered by where they begin."""
    draft = _replaced(draft, DROPPED, instead_of)
    text = draft.text.rstrip()
    cut = len(text) - len(text.lstrip())
    text = text[cut:]
    units = [0]
    for character in text:
        units.append(units[-1] + (2 if character > "\uffff" else 1))
    entities = []
    outer_ones_first = draft.spans[::-1]  # marks are made when they close
    outer_ones_first.sort(key=lambda span: (span.start, -span.end))
    for span in outer_ones_first:
        start, end = (min(max(index - cut, 0), len(text)) for index in (span.start, span.end))
        if start < end:
            entities.append(_MAKE[span.style](units[start], units[end] - units[start], span.argument))
    return Formatted(text, tuple(entities))


def check_limits(formatted: Formatted, field_name: str, *, limit: int, required: bool) -> Formatted:
    """Return the text itself, if Telegram takes it.

    Raises:
        InvalidInput: saying by how much it is too long, or that nothing is left to show.
    """
    if required and is_invisible(formatted.text):
        raise InvalidInput(field_name, "there is nothing to show; write some text")
    if formatted.text and is_invisible(formatted.text):
        raise InvalidInput(field_name, "holds only signs that show nothing; write some words, or leave it empty")
    if formatted.units > limit:
        raise InvalidInput(
            field_name, f"{formatted.units:,} characters (as Telegram counts: most emoji are two) of at most {limit:,}"
        )
    if len(formatted.entities) > MAX_ENTITIES:
        raise InvalidInput(
            field_name, f"{len(formatted.entities)} formatted pieces; Telegram shows at most {MAX_ENTITIES}"
        )
    return formatted
