"""Names of sessions. They are unique over all users, so a refused name would tell that somebody has it.

Only operators learn that. The names that others ask for get a few characters of the login, which makes them unique.
"""

import re
from collections.abc import Container

from core.errors import InvalidInput
from sessions.roster.admission import Newcomer

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,63}")
_LONGEST_ASKED_FOR = 56
_OWN_CHARACTERS = 6


def check_name(name: str, field: str = "name") -> str:
    """Return the name, if a session may have it. Raises InvalidInput."""
    if not NAME.fullmatch(name):
        raise InvalidInput(
            field, "a session's name is letters, digits and _.+-, at most 64, beginning with one of the first two"
        )
    return name


def name_for_login(newcomer: Newcomer, taken: Container[str]) -> str:
    """Return the name of an account that was logged in. Raises InvalidInput."""
    key_id = newcomer.credentials.key_id
    if newcomer.name is None:
        name = f"tg{newcomer.telegram_id or key_id}"
        return _with_own(name, key_id) if name in taken else name
    name = check_name(newcomer.name)
    return name if newcomer.by_operator else _with_own(name, key_id)


def name_for_import(wanted: str, key_id: str, taken: Container[str], *, by_operator: bool) -> str:
    """Return the session's name for the name of a file or line: the plain one for an operator, if it is free."""
    base = "".join(character if NAME.fullmatch(f"a{character}") else "-" for character in wanted).lstrip("-_.+")
    base = base[:_LONGEST_ASKED_FOR] or "session"
    if not by_operator:
        base = _with_own(base, key_id)
    name, number = base, 1
    while name in taken:
        number += 1
        name = f"{base[:_LONGEST_ASKED_FOR]}-{number}"
    return name


def _with_own(name: str, key_id: str) -> str:
    return f"{name[:_LONGEST_ASKED_FOR]}-{key_id[:_OWN_CHARACTERS]}"
