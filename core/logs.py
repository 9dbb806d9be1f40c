"""Logs: one JSON line per event in `logs/postfleet.log` (rotated by renaming: `tail -F` follows), plain on a terminal.

Others may rotate the file too: after a rename or removal the next line begins a new file, and a file truncated in place
continues from its beginning.

Write a sentence and put the facts beside it: `log.info("Delivered to @news", extra={"action": "post_delivered"})`.
Secrets never reach a line: texts given to `never_log` and everything shaped like a JWT are blanked in every record,
arguments, extras and tracebacks included.
"""

import logging
import math
import os
import queue
import re
import sys
import time
from contextlib import suppress
from functools import cached_property
from io import TextIOWrapper
from logging.handlers import QueueHandler, QueueListener, RotatingFileHandler
from pathlib import Path
from textwrap import indent

from pythonjsonlogger.json import JsonFormatter
from rich.console import Console
from rich.logging import RichHandler

from core.ownership import give_to_owner
from core.visible import visible, visible_lines

_JWT = re.compile(r"eyJ[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*")
_BLANK = "[secret]"
_LINES_WAITING = 2_000
_LAST_LINES_SECONDS = 1.0
_SAY_SECONDS = 60.0
_secrets: set[str] = set()
log = logging.getLogger(__name__)


def never_log(secret: str) -> None:
    """Blank this text in every log line from now on."""
    if len(secret) >= 8:
        _secrets.add(secret)


def blank_secrets(text: str) -> str:
    """Return the text with its secrets blanked."""
    for secret in _secrets:
        text = text.replace(secret, _BLANK)
    return _JWT.sub(_BLANK, text)


class _JsonLine(JsonFormatter):
    def format(self, record: logging.LogRecord) -> str:
        return blank_secrets(super().format(record))


class _PlainLine(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return blank_secrets(super().format(record))


class _Shown(logging.Formatter):
    """For a terminal: foreign text neither steers it nor looks like a line of its own."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the sentence on one line, with a traceback indented below it."""
        text = visible(record.getMessage())
        if not record.exc_info:
            return text
        return f"{text}\n{indent(visible_lines(self.formatException(record.exc_info)), '  ')}"


class _ToFile(RotatingFileHandler):
    """Reports now and then that lines are lost.

    The library's handler would write a traceback for each of them to standard error, secrets included, and wait for
    whoever reads there.
    """

    _said_at = -math.inf

    @cached_property
    def _place(self) -> Path:
        # One path for all lines; see `_beside` in data/disk/files.py.
        return Path(self.baseFilename)

    def emit(self, record: logging.LogRecord) -> None:
        """Write the line, into a new file if somebody has rotated the old one away."""
        with suppress(OSError):  # reported once the line cannot be written
            if self.stream is not None and not self._is_in_place(self.stream):
                self.stream.close()
                self.stream = None
        super().emit(record)

    def _is_in_place(self, stream: TextIOWrapper) -> bool:
        try:
            return self._place.stat().st_ino == os.fstat(stream.fileno()).st_ino
        except FileNotFoundError:
            return False

    def _open(self) -> TextIOWrapper:
        """Open the file. A line that a full disk or a crash cut off is ended first."""
        stream = super()._open()
        give_to_owner(self._place)
        if stream.seekable() and stream.tell():
            with self._place.open("rb") as file:
                file.seek(-1, os.SEEK_END)
                if file.read() != b"\n":
                    stream.write("\n")
        return stream

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  logging's name
        """Report that a line could not be written."""
        error, now = sys.exc_info()[1], time.monotonic()
        if not isinstance(error, OSError):
            super().handleError(record)
            return
        if self.stream is not None:  # it still holds part of the line; the next one opens it anew
            with suppress(OSError):
                self.stream.close()
            self.stream = None
        if now >= self._said_at + _SAY_SECONDS:
            self._said_at = now
            log.error("Lines of the log file are lost: %s", error)


class _Beside(QueueHandler):
    """Writes in a thread of its own: a terminal that is stopped (Ctrl-S, a pipe nobody reads) must not stop us.

    Lines that do not fit the queue meanwhile are dropped; the file has them.
    """

    def __init__(self, terminal: logging.Handler) -> None:
        self._lines: queue.Queue[logging.LogRecord] = queue.Queue(_LINES_WAITING)
        super().__init__(self._lines)
        self.setFormatter(_Shown())
        QueueListener(self._lines, terminal).start()

    def enqueue(self, record: logging.LogRecord) -> None:
        """Queue the line, or drop it."""
        with suppress(queue.Full):
            self._lines.put_nowait(record)

    def flush(self) -> None:
        """Wait a moment for all lines to be written."""
        end = time.monotonic() + _LAST_LINES_SECONDS
        while self._lines.unfinished_tasks and time.monotonic() < end:
            time.sleep(0.005)

    def close(self) -> None:
        """Write what is queued, then close."""
        self.flush()
        super().close()


def set_up_logs(
    logs_dir: Path | None,
    *,
    level: str = "INFO",
    max_bytes: int = 10_000_000,
    backups: int = 5,
    terminal: bool = True,
) -> None:
    """Send the root logger to `logs_dir/postfleet.log` and to standard error.

    Raises:
        OSError: the folder or file cannot be written.
    """
    root = logging.getLogger()
    for handler in list(root.handlers):
        root.removeHandler(handler)
        handler.close()
    root.setLevel(level.upper())
    if logs_dir is not None:
        logs_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        give_to_owner(logs_dir)
        to_file = _ToFile(logs_dir / "postfleet.log", maxBytes=max_bytes, backupCount=backups, encoding="utf-8")
        to_file.setFormatter(
            _JsonLine(
                ["levelname", "name", "message"],
                rename_fields={"levelname": "level", "name": "logger"},
                timestamp="at",
            )
        )
        root.addHandler(to_file)
    if terminal:
        root.addHandler(_Beside(_terminal_handler()))
    # Telethon logs every reconnect and uvicorn every request; our own lines say what matters, and about whom.
    for noisy in ("telethon", "apscheduler", "httpx", "httpcore", "uvicorn"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    logging.getLogger("telethon.network").setLevel(logging.ERROR)
    logging.getLogger("telethon.network.mtprotosender").addFilter(_no_news)
    logging.getLogger("telethon.network.connection.connection").addFilter(_no_write_to_the_gone)


def _no_news(record: logging.LogRecord) -> bool:
    """Drop the error that Telethon logs for every connection that ends, since its own reconnecting is off."""
    return not str(record.msg).startswith("Automatic reconnection failed")


def _no_write_to_the_gone(record: logging.LogRecord) -> bool:
    """Drop the error of a write to a connection that the other side has just closed.

    With asyncio it is an OSError, which Telethon keeps quiet about; with uvloop it is a RuntimeError, which it takes
    for a fault. It disconnects either way.
    """
    error = record.exc_info[1] if record.exc_info else None
    return not (isinstance(error, RuntimeError) and "the handler is closed" in str(error))


def _terminal_handler() -> logging.Handler:
    if sys.stderr.isatty():
        handler: logging.Handler = RichHandler(
            console=Console(stderr=True), show_path=False, rich_tracebacks=False, log_time_format="%H:%M:%S"
        )
        handler.setFormatter(_PlainLine("%(message)s"))
        return handler
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_PlainLine("%(asctime)s %(levelname)-7s %(message)s"))
    return handler
