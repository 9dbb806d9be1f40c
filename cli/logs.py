"""`logs`: the daemon's log, readable; `-f` follows it through rotation, like `tail -F`."""

import json
import os
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, TextIO

import typer

from core.errors import PostfleetError
from core.settings import load_settings

_POLL_SECONDS = 0.2


def logs(
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with new lines until Ctrl-C.")] = False,
    user: Annotated[str | None, typer.Option(help="Only lines about this user.")] = None,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="Start with so many of the last lines.")] = 50,
    as_json: Annotated[bool, typer.Option("--json", help="The lines as they stand in the file.")] = False,
) -> None:
    """Show the daemon's log."""
    try:
        path = load_settings().state_dir / "logs" / "postfleet.log"
    except PostfleetError as error:
        typer.echo(f"postfleet: {error}", err=True)
        raise typer.Exit(2) from None
    if not path.exists() and not follow:
        typer.echo(f"postfleet: there is no log at {path}; has the daemon run with this POSTFLEET_STATE_DIR?", err=True)
        raise typer.Exit(1)
    try:
        for line in _lines(path, lines, follow, user):
            typer.echo(line if as_json else _readable(line))
    except KeyboardInterrupt:
        raise typer.Exit(0) from None


def _lines(path: Path, last: int, follow: bool, user: str | None) -> Iterator[str]:
    """The last lines about the user, then (following) every new one."""
    file: TextIO | None = path.open(encoding="utf-8") if path.exists() else None
    if file is not None:
        yield from deque((line.rstrip("\n") for line in file if _concerns(line, user)), maxlen=last)
    while follow:
        fresh = _whole_lines(file) if file is not None else []
        yield from (line for line in fresh if _concerns(line, user))
        if not fresh:
            file = _newest(path, file)
            time.sleep(_POLL_SECONDS)


def _whole_lines(file: TextIO) -> list[str]:
    """The lines that are complete; half a line stays for the next time."""
    lines: list[str] = []
    while True:
        start = file.tell()
        line = file.readline()
        if not line.endswith("\n"):
            file.seek(start)
            return lines
        lines.append(line.rstrip("\n"))


def _newest(path: Path, file: TextIO | None) -> TextIO | None:
    """The file that has this name now: the log is rotated by renaming, so the old one may have to be let go."""
    try:
        now = path.stat().st_ino
    except FileNotFoundError:
        return file
    if file is None:
        return path.open(encoding="utf-8")
    if os.fstat(file.fileno()).st_ino == now:
        return file
    file.close()
    return path.open(encoding="utf-8")


def _concerns(line: str, user: str | None) -> bool:
    if user is None:
        return True
    try:
        return bool(json.loads(line).get("user") == user)
    except ValueError:
        return False


def _readable(line: str) -> str:
    try:
        facts = json.loads(line)
    except ValueError:
        return line
    who = f"[{facts['user']}] " if facts.get("user") else ""
    text = f"{facts.get('at', '')} {facts.get('level', ''):<7} {who}{facts.get('message', '')}"
    return f"{text}\n{facts['exc_info']}" if facts.get("exc_info") else text
