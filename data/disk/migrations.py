"""Brings a file of an older version to this one, one step for each version.

A new field with a default needs no step: an older file loads without it. A step is for a field that moved or changed
its meaning. It takes the parsed file and returns it as the next version has it.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from core.errors import StateTooNew
from data.disk.strict_json import damaged

Step = Callable[[dict[str, Any]], dict[str, Any]]

USERS_VERSION = 3


def _only_confirmed_ids(parsed: dict[str, Any]) -> dict[str, Any]:
    """Forget Telegram ids that come only from a file: of accounts without a connection or a login with a number."""
    sessions = parsed.get("sessions")
    if not isinstance(sessions, dict):
        return parsed
    return {**parsed, "sessions": {name: _as_confirmed(session) for name, session in sessions.items()}}


def _as_confirmed(session: object) -> object:
    if not isinstance(session, dict) or session.get("last_used_at") or session.get("phone"):
        return session
    return {field: value for field, value in session.items() if field != "telegram_id"}


_RENAMED = {"slot": "scheduled_for", "let_go": "drop_unfinished"}


def _renamed_run_fields(parsed: dict[str, Any]) -> dict[str, Any]:
    """Rename the fields of users that tell what the next run is for and whether an unfinished cycle is dropped."""
    users = parsed.get("users")
    if not isinstance(users, dict):
        return parsed
    return {**parsed, "users": {name: _as_renamed(user) for name, user in users.items()}}


def _as_renamed(user: object) -> object:
    if not isinstance(user, dict):
        return user
    return {_RENAMED.get(field, field): value for field, value in user.items()}


USERS_STEPS: dict[int, Step] = {1: _only_confirmed_ids, 2: _renamed_run_fields}
"""Version → the step that leads on from it."""


def migrated(parsed: dict[str, Any], path: Path, newest: int, steps: Mapping[int, Step]) -> tuple[dict[str, Any], int]:
    """Return the file as the newest version has it, and the version it was of. Without a version it is of the first.

    Raises:
        StateTooNew: it is of a version that this Postfleet does not know.
        StateDamaged: its version is no version.
    """
    found = parsed.get("version", 1)
    if isinstance(found, bool) or not isinstance(found, int) or found < 1:
        raise damaged(path, f"says version {found!r}, which is none")
    if found > newest:
        raise StateTooNew(
            f"{path} is of version {found}, this Postfleet knows versions up to {newest}: "
            "run the newer Postfleet that wrote it. The file is left as it is"
        )
    for version in range(found, newest):
        parsed = {**steps[version](parsed), "version": version + 1}
    return parsed, found
