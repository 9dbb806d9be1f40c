"""Markdown in, a draft out.

    **bold**  __italic__  ~~struck~~  ||hidden||  `code`  ```language⏎block```  [words](https://…)  ![👍](tg://emoji?id=5368)

They nest, except inside code. A backslash shows the sign after it: \\*\\*. What is opened has to be closed.
Addresses that stand in the text keep their underscores.
"""

import re
from typing import NoReturn

from bot.compose_text import Draft, Style, checked_link
from core.errors import InvalidInput

_DELIMITERS = {"**": Style.BOLD, "__": Style.ITALIC, "~~": Style.STRIKE, "||": Style.SPOILER}
_TOKEN = re.compile(
    r"\\(?P<shown>[!-/:-@\[-`{-~])"
    r"|```(?:(?P<language>[A-Za-z0-9+#_.-]*)\n)?(?P<block>.*?)```"
    r"|`(?P<code>[^`]+)`"
    r"|(?P<image>!?)\[(?P<words>(?:\\.|[^\[\]\\])*)\]\((?P<url>(?:[^()\s]|\([^()\s]*\))*)\)"
    r"|(?P<bare>https?://[^\s<>*~|`\[\]()]+)"
    r"|(?P<delimiter>\*\*|__|~~|\|\||```|`)",
    re.DOTALL,
)
_EMOJI = re.compile(r"tg://emoji\?id=([1-9][0-9]{0,18})")


def draft_from_markdown(text: str, field: str) -> Draft:
    """Read a text with Markdown.

    Raises:
        InvalidInput: naming what was opened and not closed, its line, and how to write it.
    """
    draft = Draft()
    _read(text, draft, field)
    return draft


def _read(text: str, draft: Draft, field: str) -> None:
    still_open: list[tuple[str, int, int]] = []  # delimiter, where in the draft, where in the text
    at = 0
    while found := _TOKEN.search(text, at):
        draft.add(text[at : found.start()])
        at = found.end()
        if delimiter := found.group("delimiter"):
            _delimiter(delimiter, found.start(), text, draft, still_open, field)
        elif bare := found.group("bare"):
            address = bare.rstrip("_") if bare.endswith("__") else bare
            draft.add(address)
            at = found.start() + len(address)
        else:
            _whole(found, draft, field)
    draft.add(text[at:])
    if still_open:
        _refuse_open(still_open[-1][0], text, still_open[-1][2], field)


def _delimiter(
    delimiter: str, position: int, text: str, draft: Draft, still_open: list[tuple[str, int, int]], field: str
) -> None:
    if delimiter not in _DELIMITERS:  # a ` without its partner
        _refuse_open(delimiter, text, position, field)
    if still_open and still_open[-1][0] == delimiter:
        draft.mark(still_open.pop()[1], _DELIMITERS[delimiter])
    elif any(delimiter == other for other, _, _ in still_open):
        last = still_open[-1][0]
        raise InvalidInput(field, f"line {_line(text, position)}: {delimiter} comes before {last} is closed")
    else:
        still_open.append((delimiter, len(draft.text), position))


def _whole(found: re.Match[str], draft: Draft, field: str) -> None:
    """What one token holds from its beginning to its end."""
    start = len(draft.text)
    if (shown := found.group("shown")) is not None:
        draft.add(shown)
    elif (block := found.group("block")) is not None:
        draft.add(block.removesuffix("\n"))
        draft.mark(start, Style.PRE, found.group("language") or "")
    elif (code := found.group("code")) is not None:
        draft.add(code)
        draft.mark(start, Style.CODE)
    else:
        _read(found.group("words"), draft, field)
        if found.group("image"):
            draft.mark(start, Style.EMOJI, _emoji(found.group("url"), field))
        else:
            draft.mark(start, Style.LINK, checked_link(found.group("url"), field))


def _emoji(url: str, field: str) -> str:
    number = _EMOJI.fullmatch(url)
    if number is None:
        raise InvalidInput(field, "![…](…) is for custom emoji, written ![👍](tg://emoji?id=5368…); remove the !")
    return number.group(1)


def _refuse_open(delimiter: str, text: str, position: int, field: str) -> NoReturn:
    shown = "".join(f"\\{sign}" for sign in delimiter)
    raise InvalidInput(
        field, f"line {_line(text, position)}: {delimiter} is never closed; close it, or write {shown} to show it"
    )


def _line(text: str, position: int) -> int:
    return text.count("\n", 0, position) + 1
