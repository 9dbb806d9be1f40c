"""What commands print and ask. Everything that a command prints goes through this module.

Others write names, labels, reasons and log lines. Signs in them that would steer the terminal or hide something are
shown written out, and none counts as markup.
"""

import codecs
import contextlib
import io
import json
import sys
from collections.abc import Iterator
from typing import Any, NoReturn, TextIO

import msgspec
import segno
import typer
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from core.errors import InvalidInput, PostfleetError, SettingsError, StateError
from core.visible import visible, visible_lines

FAILED = 1
"""Exit code: it was tried and failed."""
UNUSABLE = 2
"""Exit code: the arguments, the settings or the state folder cannot be used."""
_WIDEST = 100_000


def set_up_terminal() -> None:
    """Let no encoding end a command.

    Signs that the terminal's encoding lacks are written out, and input that is in no encoding is wrong input.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    if isinstance(sys.stdin, io.TextIOWrapper):
        is_ascii = codecs.lookup(sys.stdin.encoding).name == "ascii"
        sys.stdin.reconfigure(encoding="utf-8" if is_ascii else None, errors="replace")


def say(text: str) -> None:
    """Print lines on standard output."""
    _write(visible_lines(text), sys.stdout)


def say_aside(text: str) -> None:
    """Print lines on standard error, where they do not count as the result."""
    _write(visible_lines(text), sys.stderr)


def say_json(value: object) -> None:
    """Print one line of JSON, in ASCII, whatever the terminal's encoding is."""
    _write(visible(json.dumps(msgspec.to_builtins(value))), sys.stdout)


def ask(question: str, *, hidden: bool = False) -> str:
    """Return what the person at the terminal types."""
    answer: str = typer.prompt(visible(question), hide_input=hidden)
    return answer


def confirm(question: str, *, aside: bool = False) -> bool:
    """Return whether the person at the terminal says yes; `aside`: asked on standard error."""
    return typer.confirm(visible(question), err=aside)


def fail(text: str, code: int = FAILED) -> NoReturn:
    """Say on one line what is wrong, and leave."""
    _write(f"postfleet: {visible(text)}", sys.stderr)
    raise typer.Exit(code)


def _write(text: str, stream: TextIO) -> None:
    # Not with typer's echo, which sends UTF-8 to a stream that is set to ASCII.
    stream.write(text + "\n")
    stream.flush()


@contextlib.contextmanager
def clear_errors() -> Iterator[None]:
    """Turn our errors into one line on standard error and their exit code."""
    try:
        yield
    except (SettingsError, StateError, InvalidInput) as error:
        fail(str(error), UNUSABLE)
    except PostfleetError as error:
        fail(str(error))
    except (KeyboardInterrupt, typer.Abort):
        fail("given up")


def show_qr_code(content: str) -> None:
    """Draw a QR code with half blocks, or with coloured spaces if the terminal's encoding has no such signs."""
    try:
        "▀▄█".encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        compact = False
    else:
        compact = True
    segno.make(content, error="l").terminal(compact=compact)


class Sheet:
    """A table. A terminal that is too narrow for it gets the rows one below the other instead of half words."""

    def __init__(self, *columns: str, title: str | None = None) -> None:
        self._columns = columns
        self._title = title
        self._rows: list[tuple[str, ...]] = []

    def add(self, *cells: object) -> None:
        """Add a row. None is an empty cell."""
        self._rows.append(tuple("" if cell is None else visible(str(cell)) for cell in cells))

    def show(self) -> None:
        """Print the table. Programs and files get whole lines, however long."""
        console = Console(highlight=False)
        table = self.table()
        needed = Measurement.get(console, console.options.update(max_width=_WIDEST), table).maximum
        if needed <= console.width or not console.is_terminal:
            console.width = max(needed, console.width)
            console.print(table)
            return
        if self._title:
            console.print(Text(self._title, style="bold"), soft_wrap=True)
        widest = max(map(len, self._columns))
        for row in self._rows:
            for column, cell in zip(self._columns, row, strict=True):
                if cell:
                    console.print(Text(f"{column:>{widest}}  {cell}"), soft_wrap=True)
            console.print()

    def table(self) -> Table:
        """Return the table for rich."""
        table = Table(*self._columns, title=self._title)
        for row in self._rows:
            table.add_row(*map(Text, row))
        return table


def plain(text: Any, style: str = "") -> Text:
    """Return text that others wrote, for rich: without markup, and without signs that steer the terminal."""
    return Text(visible(str(text)), style=style)
