"""HTML in, a draft out: the tags Telegram's Bot API documents, plus <br>.

A tag that is unknown, malformed or never closed is refused: an HTML parser would drop it, and words with it. Only
<!-- a comment --> is dropped.
"""

import re
from html import unescape
from html.entities import html5
from html.parser import HTMLParser
from typing import NoReturn

from bot.compose.text import Style, TextDraft, checked_link
from core.errors import InvalidInput

_STYLES = {
    "b": Style.BOLD,
    "strong": Style.BOLD,
    "i": Style.ITALIC,
    "em": Style.ITALIC,
    "u": Style.UNDERLINE,
    "ins": Style.UNDERLINE,
    "s": Style.STRIKE,
    "strike": Style.STRIKE,
    "del": Style.STRIKE,
    "tg-spoiler": Style.SPOILER,
    "code": Style.CODE,
    "pre": Style.PRE,
}
_LANGUAGE = "language-"
_NAME = r"[A-Za-z][A-Za-z0-9-]*"
_ATTRIBUTE = rf"""\s+{_NAME}(?:\s*=\s*(?:"[^"]*"|'[^']*'|[^\s"'<>`]+))?"""
_MARKUP = re.compile(
    r"(?P<comment><!--(?!-?>)(?:(?!--).)*-->)"
    rf"|(?P<tag><{_NAME}(?:{_ATTRIBUTE})*\s*/?>|</{_NAME}\s*>)"
    r"|(?P<odd></|<[A-Za-z!?])",
    re.DOTALL,
)
"""What begins like markup; the odd ones are neither a comment nor a tag."""
_REFERENCE = re.compile(r"&(?:#(?P<number>[0-9]{1,7}|[xX][0-9A-Fa-f]{1,6});|(?P<name>[A-Za-z][A-Za-z0-9]{1,31};))?")


def draft_from_html(text: str, field: str) -> TextDraft:
    """Read a text with tags.

    Raises:
        InvalidInput: naming the tag, its line, and how to write it.
    """
    reader = _Reader(field)
    for found in _MARKUP.finditer(text):
        if found.lastgroup == "odd":
            rest = text[found.start() :]
            fault = "is not written as a tag" if ">" in rest else "has no end"
            line = text.count("\n", 0, found.start()) + 1
            reader.refuse(f"line {line}: the tag '{rest[:20]}' {fault}; write &lt; for a < that is meant to be seen")
    reader.feed(_REFERENCE.sub(lambda reference: _checked_reference(reference, reader), text))
    reader.close()
    reader.check_all_closed()
    return reader.draft


def _checked_reference(found: re.Match[str], reader: "_Reader") -> str:
    """Keep references that stand for a character, and write out any other &, which is meant to be seen.

    Browsers read "&copy" without its semicolon as ©, which would spoil an address such as ?a=1&copy=2, and "&notes;" as
    ¬es;.
    """
    if found.group("name") in html5:
        return found.group()
    if found.group("number") is None:
        return f"&amp;{found.group()[1:]}"
    if unescape(found.group()) in {"", "\ufffd"}:
        reader.refuse(f"{found.group()} is no character; write the character itself")
    return found.group()


class _Open:
    """A tag that waits for its end."""

    def __init__(self, tag: str, style: Style | None, argument: str, start: int, line: int) -> None:
        self.tag, self.style, self.argument, self.start, self.line = tag, style, argument, start, line


class _Reader(HTMLParser):
    def __init__(self, field: str) -> None:
        super().__init__(convert_charrefs=True)
        self.draft = TextDraft()
        self._field = field
        self._open: list[_Open] = []

    def refuse(self, fix: str) -> NoReturn:
        raise InvalidInput(self._field, fix)

    def handle_data(self, data: str) -> None:
        self.draft.add(data)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag != "br":
            self.handle_endtag(tag)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if value is None and (tag, name) != ("blockquote", "expandable"):
                self.refuse(f"line {self.getpos()[0]}: '{name}' in <{tag} …> would not be seen; write &lt; to show a <")
        if tag == "br":
            self.draft.add("\n")
            return
        style, argument = self._meaning(tag, {name: value or "" for name, value in attrs})
        self._open.append(_Open(tag, style, argument, len(self.draft.text), self.getpos()[0]))

    def _meaning(self, tag: str, given: dict[str, str]) -> tuple[Style | None, str]:
        if tag == "code" and self._open and self._open[-1].tag == "pre":
            # <pre><code class="language-python">: the language belongs to the block.
            self._open[-1].argument = given.get("class", "").removeprefix(_LANGUAGE)
            return None, ""
        if tag in _STYLES:
            return _STYLES[tag], ""
        if tag == "blockquote":
            return (Style.LONG_QUOTE if "expandable" in given else Style.QUOTE), ""
        if tag == "span" and given.get("class") == "tg-spoiler":
            return Style.SPOILER, ""
        if tag == "a":
            if any(waiting.tag == "a" for waiting in self._open):
                self.refuse(f"line {self.getpos()[0]}: a link cannot stand in a link; close the first one with </a>")
            return Style.LINK, self._link(given)
        if tag != "tg-emoji":
            self._refuse_unknown(tag)
        return Style.EMOJI, self._emoji(given)

    def _refuse_unknown(self, tag: str) -> NoReturn:
        known = "b i u s tg-spoiler a code pre blockquote tg-emoji br"
        self.refuse(f"line {self.getpos()[0]}: Telegram has no <{tag}>; it has {known}. Write &lt;{tag}&gt; to show it")

    def _link(self, given: dict[str, str]) -> str:
        if not given.get("href"):
            self.refuse(f'line {self.getpos()[0]}: a link needs its address: <a href="https://…">')
        return checked_link(given["href"], self._field)

    def _emoji(self, given: dict[str, str]) -> str:
        number = given.get("emoji-id", "")
        if not re.fullmatch(r"[1-9][0-9]{0,18}", number):
            self.refuse(
                f'line {self.getpos()[0]}: a custom emoji needs its number: <tg-emoji emoji-id="5368…">👍</tg-emoji>'
            )
        return number

    def handle_endtag(self, tag: str) -> None:
        if tag == "br":
            return
        line = self.getpos()[0]
        if not self._open:
            self.refuse(f"line {line}: </{tag}> closes nothing; remove it or write &lt;/{tag}&gt;")
        last = self._open.pop()
        if last.tag != tag:
            self.refuse(f"line {line}: </{tag}> comes before </{last.tag}>; close what was opened last first")
        if last.style in {Style.LINK, Style.EMOJI} and not self.draft.text[last.start :].strip():
            self.refuse(
                f"line {last.line}: there is nothing in <{tag}>; write the words to tap between it and </{tag}>"
            )
        if last.style is not None:
            self.draft.mark(last.start, last.style, last.argument)

    def check_all_closed(self) -> None:
        if self._open:
            last = self._open[-1]
            self.refuse(f"line {last.line}: <{last.tag}> is never closed; add </{last.tag}>")
