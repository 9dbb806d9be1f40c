"""`logs`: the daemon's log, readable; `-f` follows it through rotation and truncation, like `tail -F`."""

import json
import os
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from textwrap import indent
from typing import Annotated, Any, BinaryIO

import typer

from cli.state_folder import StateDir, settings_for
from cli.terminal import clear_errors, fail, say
from core.errors import StateDamaged
from core.visible import visible
from data.disk.presence import require_state

_POLL_SECONDS = 0.2


def logs(
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with new lines until Ctrl-C.")] = False,
    user: Annotated[str | None, typer.Option(help="Only lines about this user.")] = None,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="Start with so many of the last lines.")] = 50,
    as_json: Annotated[bool, typer.Option("--json", help="The lines as they stand in the file.")] = False,
    state_dir: StateDir = None,
) -> None:
    """Show the daemon's log."""
    with clear_errors():
        folder = settings_for(state_dir).state_dir
        path = folder / "logs" / "postfleet.log"
        file = _Followed(path)
        if not file.is_there:
            require_state(folder)
            if not follow:
                fail(f"there is no log at {path.absolute()}; has the daemon run on this state folder?")
        try:
            for line in _lines(file, lines, follow, user):
                say(visible(line) if as_json else _readable(line))
        except KeyboardInterrupt:
            raise typer.Exit(0) from None


def _lines(file: "_Followed", last: int, follow: bool, user: str | None) -> Iterator[str]:
    """Yield the last lines about the user, then every new one if it follows."""
    standing = file.whole_lines() if follow else file.rest()
    yield from deque((line for line in standing if _concerns(line, user)), maxlen=last)
    while follow:
        fresh = False
        for line in file.whole_lines():
            fresh = True
            if _concerns(line, user):
                yield line
        if not fresh:
            file.look_again()
            time.sleep(_POLL_SECONDS)


class _Followed:
    """The file that has the log's name now. Rotation renames it, or copies it and truncates it in place."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO | None = None
        self._open()

    @property
    def is_there(self) -> bool:
        """Whether there is such a file."""
        return self._file is not None

    def rest(self) -> Iterator[str]:
        """Yield everything up to the end, with half a line there."""
        for line in self._file or ():
            yield _text(line)

    def whole_lines(self) -> Iterator[str]:
        """Yield the complete lines. Half a line stays for the next time."""
        while self._file is not None:
            start = self._file.tell()
            line = self._file.readline()
            if not line.endswith(b"\n"):
                self._file.seek(start)
                return
            yield _text(line)

    def look_again(self) -> None:
        """Close a file that was renamed or removed, after its last lines were read. Begin a truncated one anew."""
        if self._file is None:
            self._open()
            return
        here = os.fstat(self._file.fileno())
        if here.st_size < self._file.tell():
            self._file.seek(0)
        try:
            renamed = self._path.stat().st_ino != here.st_ino
        except FileNotFoundError:
            return
        if renamed:
            self._file.close()
            self._open()

    def _open(self) -> None:
        try:
            self._file = self._path.open("rb")
        except FileNotFoundError:
            self._file = None
        except OSError as error:
            raise StateDamaged(
                f"{self._path} cannot be read ({error.strerror}); run this as the user it belongs to"
            ) from error


def _text(line: bytes) -> str:
    return line.decode(errors="backslashreplace").rstrip("\n")


def _facts(line: str) -> dict[str, Any] | None:
    try:
        facts = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return facts if isinstance(facts, dict) else None


def _concerns(line: str, user: str | None) -> bool:
    return user is None or (_facts(line) or {}).get("user") == user


def _readable(line: str) -> str:
    facts = _facts(line)
    if facts is None:
        return visible(line)
    who = f"[{facts['user']}] " if facts.get("user") else ""
    text = visible(f"{facts.get('at', '')} {facts.get('level', '')!s:<7} {who}{facts.get('message', '')}")
    # Indented, so that no line of it looks like one of the log.
    return f"{text}\n{indent(str(facts['exc_info']), '  ')}" if facts.get("exc_info") else text
