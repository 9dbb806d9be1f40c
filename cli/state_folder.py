"""Which state folder a command works on: the option that names it, and the refusal if there is none."""

from pathlib import Path
from typing import Annotated

import typer

from core.settings import Settings, load_settings
from data.disk.presence import require_state

StateDir = Annotated[
    Path | None,
    typer.Option("--state-dir", help="The state folder, instead of POSTFLEET_STATE_DIR.", show_default=False),
]
"""An option of every command that works with a state."""


def settings_for(state_dir: Path | None) -> Settings:
    """Return the settings; a folder named on the command line wins. Raises SettingsError."""
    return load_settings() if state_dir is None else load_settings(state_dir=state_dir)


def settings_of_state(state_dir: Path | None) -> Settings:
    """Return the settings for a command that begins no state of its own.

    Raises:
        SettingsError: a setting is missing or wrong.
        StateMissing: the folder holds no state; nothing was made there.
    """
    settings = settings_for(state_dir)
    require_state(settings.state_dir)
    return settings
