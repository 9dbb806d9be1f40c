"""Markdown in, a draft out.

    **bold**  __italic__  ~~struck~~  ||hidden||  `code`  ```language⏎block```  [words](https://…)  ![👍](tg://emoji?id=5368)

They nest, except inside code. A backslash shows the sign after it: \\*\\*. What is opened has to be closed, and has to
hold something. Nothing is formatting inside a word (snake__case__name), inside an address, with or without its
https://, or inside a path (src/__init__.py). What was opened before an address can be closed where the address ends. A
row of three or more signs is a line that somebody drew.
"""

import re
from typing import NoReturn

from bot.compose.signs import is_invisible
from bot.compose.text import Style, TextDraft, checked_link
from core.errors import InvalidInput

_DELIMITERS = {"**": Style.BOLD, "__": Style.ITALIC, "~~": Style.STRIKE, "||": Style.SPOILER}
_ESCAPE = r"\\(?P<shown>[!-/:-@\[-`{-~])"
_RUN = r"(?P<run>\*{2,}|_{2,}|~{2,}|\|{2,})"
_STRAY = r"(?P<stray>\]\((?=[a-z][a-z0-9+.-]*:))"
_HOST = (
    r"(?:(?:[^\W_](?:[^\W_]|-)*\.)+(?:[^\W\d_]{2,}|xn--[a-z0-9-]+)|localhost|(?:\d{1,3}\.){3}\d{1,3})(?::\d+)?[/?#]"
    r"|\[[0-9a-f]*:[0-9a-f:.]*\](?::\d+)?[/?#]"
)
_PATH = r"/?(?:[^\W_]|\.|~/)(?:[^\W_]|[./:@-]|_(?!_))*+(?<=/)(?=__)"
_ADDRESS = (
    rf"(?P<address>(?<![a-z0-9+.-])(?:[a-z][a-z0-9+.-]*://|(?:mailto|magnet|tg|xmpp):(?=\S))"
    rf"|(?<![^\W_])(?<![.-])(?:{_HOST})"
    rf"|(?<![^\W_])(?<![./:@-])(?<!(?<!~)~)(?<!(?:[^\W_]|[.~/:@-])_){_PATH})"
)
_TOKEN = re.compile(
    rf"{_ESCAPE}"
    r"|```(?:(?P<language>[A-Za-z0-9+#_.-]*)\n)?(?P<block>.*?)```"
    r"|`(?P<code>[^`]+)`"
    rf"|{_ADDRESS}"
    r"|(?P<bracket>!?\[)"
    rf"|{_STRAY}"
    rf"|{_RUN}"
    r"|(?P<lone>```|`)",
    re.DOTALL | re.IGNORECASE,
)
_BRACKET = re.compile(r"\\.|```.*?```|`[^`]+`|(?P<opens>\[)|(?P<closes>\])", re.DOTALL)
_IN_ADDRESS = re.compile(rf"{_ESCAPE}|{_RUN}|(?P<bracket>!?\[)|{_STRAY}|[^\s<>`]", re.IGNORECASE)
_ENDS_ADDRESS = re.compile(r"""(?:[.,;:!?)\]}'"]|\*\*|__|~~|\|\|)*(?:\Z|[\s<>`]|(?![ -~])[\W])""")
"""What may stand between the signs that close a format and the end of the address before them."""
_EMOJI = re.compile(r"tg://emoji\?id=([1-9][0-9]{0,18})")


def draft_from_markdown(text: str, field: str) -> TextDraft:
    """Read a text with Markdown.

    Raises:
        InvalidInput: naming what was opened and not closed, its line, and how to write it.
    """
    draft = TextDraft()
    _Reader(text, draft, field).read(0, len(text))
    return draft


class _Reader:
    def __init__(self, text: str, draft: TextDraft, field: str) -> None:
        self._text = text
        self._draft = draft
        self._field = field
        self._at = 0
        self._open: list[tuple[str, int, int]] = []  # delimiter, where in the draft, where in the text
        self._closing = _closing_brackets(text)

    def read(self, start: int, end: int, inside: str = "") -> None:
        """Write this part of the text into the draft. `inside` says whose words they are: a "link" …"""
        self._at, around, self._open = start, self._open, []
        while found := _TOKEN.search(self._text, self._at, end):
            self._draft.add(self._text[self._at : found.start()])
            self._at = found.end()
            match found.lastgroup:
                case "shown":
                    self._draft.add(found.group("shown"))
                case "block" | "code":
                    self._code(found)
                case "bracket":
                    self._bracket(found, inside)
                case "stray":
                    self._refuse(found.start(), r"](…) ends a link that has no [ before it; write \] to show it")
                case "address":
                    self._address(found.start(), end)
                case "run":
                    self._run(found.group("run"), found.start())
                case _:  # a ` without its partner
                    self._refuse_open(found.group(), found.start())
        self._draft.add(self._text[self._at : end])
        if self._open:
            self._refuse_open(self._open[-1][0], self._open[-1][2])
        self._open = around

    def _code(self, found: re.Match[str]) -> None:
        is_block = found.lastgroup == "block"
        words = found.group("block").removesuffix("\n") if is_block else found.group("code")
        if is_invisible(words):
            self._refuse(found.start(), r"there is no code between the ` signs; write \` to show one")
        start = len(self._draft.text)
        self._draft.add(words)
        self._draft.mark(start, Style.PRE if is_block else Style.CODE, found.group("language") or "")

    # Delimiters

    def _run(self, signs: str, position: int) -> None:
        """Two signs or more of one kind in a row: they close what is open, or open, or are shown."""
        delimiter = signs[:2]
        if self._closes(delimiter, signs, position):
            self._close(delimiter, position)
            signs = signs[2:]
            position += 2
        if signs == delimiter and not self._is_open(delimiter) and not self._continues_a_word(delimiter, position):
            self._open.append((delimiter, len(self._draft.text), position))
        else:
            self._draft.add(signs)

    def _closes(self, delimiter: str, signs: str, position: int) -> bool:
        if not self._is_open(delimiter):
            return False
        after = self._text[position + len(signs) : position + len(signs) + 1]
        return delimiter != "__" or not after.isalnum()

    def _is_open(self, delimiter: str) -> bool:
        return any(delimiter == other for other, _, _ in self._open)

    def _continues_a_word(self, delimiter: str, position: int) -> bool:
        return delimiter == "__" and self._text[max(0, position - 1) : position].isalnum()

    def _close(self, delimiter: str, position: int) -> None:
        last, start, opened_at = self._open.pop()
        if last != delimiter:
            self._refuse(position, f"{delimiter} comes before {last} is closed")
        if is_invisible(self._draft.text[start:]):
            self._refuse(opened_at, f"there is nothing between {delimiter} and {delimiter}; {_to_show(delimiter)}")
        self._draft.mark(start, _DELIMITERS[delimiter])

    # Addresses and links

    def _address(self, start: int, end: int) -> None:
        """Show what belongs to an address. It ends before a link, and before what closes a format at its end."""
        self._at = start
        while found := _IN_ADDRESS.match(self._text, self._at, end):
            match found.lastgroup:
                case "run" if self._closes(found.group("run")[:2], found.group("run"), found.start()):
                    if _ENDS_ADDRESS.match(self._text, found.end(), end):
                        return
                    self._refuse_in_address(found.group("run")[:2], found.start())
                case "bracket" if self._opens_link(found.end() - 1):
                    return
                case "stray":
                    return
            self._draft.add(found.group("shown") or found.group())
            self._at = found.end()

    def _opens_link(self, bracket: int) -> bool:
        closing = self._closing.get(bracket)
        return closing is not None and self._text[closing + 1 : closing + 2] == "("

    def _bracket(self, found: re.Match[str], inside: str) -> None:
        """A link or a custom emoji, or brackets that are shown."""
        if not self._opens_link(found.end() - 1):
            self._draft.add(found.group())
            return
        closing = self._closing[found.end() - 1]
        what = "custom emoji" if found.group().startswith("!") else "link"
        if inside and (inside, what) != ("link", "custom emoji"):
            self._refuse(found.start(), f"a {what} cannot stand in the words of a {inside}")
        url, end = self._link_address(found.start(), closing + 2)
        start = len(self._draft.text)
        self.read(found.end(), closing, what)
        self._at = end
        if not self._draft.text[start:].strip():
            self._refuse(found.start(), f"this {what} has nothing in its brackets; write the words to tap")
        if what == "link":
            self._draft.mark(start, Style.LINK, checked_link(url, self._field))
        else:
            self._draft.mark(start, Style.EMOJI, self._emoji(url))

    def _link_address(self, opened_at: int, start: int) -> tuple[str, int]:
        """Return the address that begins here, and where the text goes on; its parentheses have to be paired."""
        address, depth, at = "", 0, start
        while (sign := self._text[at : at + 1]) != ")" or depth:
            if not sign or sign.isspace():
                self._refuse(
                    opened_at,
                    f"the address of this link does not end with ) after '{address[:40]}'; "
                    r"write %20 for a space, leave out a title, or write \[ to show the bracket",
                )
            if sign == "\\" and self._text[at + 1 : at + 2] in {"(", ")"}:
                at += 1
                sign = self._text[at]
            else:
                depth += (sign == "(") - (sign == ")")
            address += sign
            at += 1
        return address, at + 1

    def _emoji(self, url: str) -> str:
        number = _EMOJI.fullmatch(url)
        if number is None:
            raise InvalidInput(
                self._field,
                r"![…](…) is for custom emoji, written ![👍](tg://emoji?id=5368…); remove the ! or write \! to show it",
            )
        return number.group(1)

    # Refusals

    def _refuse_open(self, delimiter: str, position: int) -> NoReturn:
        self._refuse(position, f"{delimiter} is never closed; close it, or {_to_show(delimiter)}")

    def _refuse_in_address(self, delimiter: str, position: int) -> NoReturn:
        fix = f"put a space after it to close the format, or {_to_show(delimiter)}"
        self._refuse(position, f"{delimiter} stands inside an address; {fix}")

    def _refuse(self, position: int, fix: str) -> NoReturn:
        line = self._text.count("\n", 0, position) + 1
        raise InvalidInput(self._field, f"line {line}: {fix}")


def _closing_brackets(text: str) -> dict[int, int]:
    """Return where each [ is closed; those in code and after a backslash do not count."""
    pairs: dict[int, int] = {}
    waiting: list[int] = []
    for found in _BRACKET.finditer(text):
        if found.group("opens"):
            waiting.append(found.start())
        elif found.group("closes") and waiting:
            pairs[waiting.pop()] = found.start()
    return pairs


def _to_show(delimiter: str) -> str:
    shown = "".join(f"\\{sign}" for sign in delimiter)
    return f"write {shown} to show it"
