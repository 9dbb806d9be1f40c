"""The versions of users.json, and the step from each to the next."""

from typing import Any

from data.disk.migrations import Step

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
