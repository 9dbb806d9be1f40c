"""Reads settings from the environment and `.env`, and says in words what is wrong with them."""

import os
from difflib import get_close_matches

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from core.errors import SettingsError
from core.settings.fields import Settings, about


def load_settings(**overrides: object) -> Settings:
    """Read the environment and `.env`; `overrides` (by field name) win.

    Raises:
        SettingsError: one line that names every wrong setting and how to write it, or the file that cannot be read.
            It never shows a value.
    """
    try:
        return Settings(**overrides)  # type: ignore[arg-type]  # pydantic checks them
    except ValidationError as error:
        wrong = "; ".join(
            f"{name_of(str(problem['loc'][0]))}: {_what_is_wrong(problem)}"
            if problem["loc"]
            else f"POSTFLEET_{problem['msg'].removeprefix('Value error, ')}"
            for problem in error.errors(include_input=False, include_url=False)
        )
        raise SettingsError(wrong) from None
    except UnicodeDecodeError as error:
        raise SettingsError(f".env: byte {error.start} is no UTF-8; save the file in that encoding") from None
    except OSError as error:
        raise SettingsError(f"{error.filename or '.env'} cannot be read: {error.strerror}") from None


def reload_settings(running: Settings) -> tuple[list[str], list[str]]:
    """Read the environment and `.env` again and change the running settings in place, for everyone who holds them.

    Return the names of those that changed, and of those that need a restart to change.

    Raises:
        SettingsError: something is wrong in them; nothing was changed.
    """
    fresh = load_settings()
    fresh.check_secrets()
    differ = [name for name in Settings.model_fields if getattr(fresh, name) != getattr(running, name)]
    changed = [name for name in differ if about(name).reloads]
    for name in changed:
        running.__dict__[name] = getattr(fresh, name)
    return changed, [name for name in differ if name not in changed]


def unknown_settings() -> list[str]:
    """Log names in the environment that look like a setting and are none. Other programs may have set them."""
    written = [name.lower().removeprefix("postfleet_") for name in os.environ if name.upper().startswith("POSTFLEET_")]
    return [f"{name_of(name)}: {_no_such(name)}" for name in sorted(written) if name not in Settings.model_fields]


def name_of(field: str) -> str:
    """Return the name of a setting in the environment."""
    return f"POSTFLEET_{field.upper()}"


def _what_is_wrong(problem: ErrorDetails) -> str:
    if problem["type"] != "extra_forbidden":
        return problem["msg"].removeprefix("Value error, ")
    return _no_such(str(problem["loc"][0]))


def _no_such(field: str) -> str:
    meant = get_close_matches(field, Settings.model_fields, n=1, cutoff=0.8)
    return "there is no such setting" + (f"; did you mean {name_of(meant[0])}?" if meant else "")
