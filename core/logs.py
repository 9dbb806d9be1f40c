"""Logs: a JSON line an event in `logs/postfleet.log` (rotated by renaming: `tail -F` follows), plain on a terminal.

Write a sentence and put the facts beside it: `log.info("Delivered to @news", extra={"action": "post_delivered"})`.
Secrets never reach a line: what was named with `never_log` and everything shaped like a JWT is blanked in
every record, arguments, extras and tracebacks included.
"""

import logging
import re
import sys
from logging.handlers import RotatingFileHandler
from pathlib import Path

from pythonjsonlogger.json import JsonFormatter
from rich.console import Console
from rich.logging import RichHandler

_JWT = re.compile(r"eyJ[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*")
_BLANK = "[secret]"
_secrets: set[str] = set()


def never_log(secret: str) -> None:
    """From now on this text is blanked wherever it would appear in a log line."""
    if len(secret) >= 8:
        _secrets.add(secret)


def blank_secrets(text: str) -> str:
    """The text without the secrets in it."""
    for secret in _secrets:
        text = text.replace(secret, _BLANK)
    return _JWT.sub(_BLANK, text)


class _JsonLine(JsonFormatter):
    def format(self, record: logging.LogRecord) -> str:
        return blank_secrets(super().format(record))


class _PlainLine(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return blank_secrets(super().format(record))


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
        to_file = RotatingFileHandler(
            logs_dir / "postfleet.log", maxBytes=max_bytes, backupCount=backups, encoding="utf-8"
        )
        to_file.setFormatter(
            _JsonLine(
                ["levelname", "name", "message"],
                rename_fields={"levelname": "level", "name": "logger"},
                timestamp="at",
            )
        )
        root.addHandler(to_file)
    if terminal:
        root.addHandler(_terminal_handler())
    # Telethon tells every reconnect and uvicorn every request; our own lines say what matters, and about whom.
    for noisy in ("telethon", "apscheduler", "httpx", "httpcore", "uvicorn"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    logging.getLogger("telethon.network").setLevel(logging.ERROR)


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
