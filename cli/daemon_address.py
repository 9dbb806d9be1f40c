"""Where the daemon of a state folder answers: a file in that folder while the daemon runs."""

from pathlib import Path

ADDRESS_FILE = "api.address"
"""In STATE_DIR while the daemon runs: where its API answers (`--port 0` takes any free port)."""


def address_of(state_dir: Path) -> str | None:
    """Return the address of the daemon of this folder, None if no daemon has written one."""
    try:
        return (state_dir / ADDRESS_FILE).read_text().strip() or None
    except (FileNotFoundError, UnicodeDecodeError):  # no daemon writes anything but text
        return None
