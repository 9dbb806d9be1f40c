"""`backup` and `restore`: an archive of the whole state while the daemon runs, and the way back from damage."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from cli.state_folder import StateDir, settings_for, settings_of_state
from cli.terminal import FAILED, clear_errors, confirm, say
from data.backup import KEY_FILE, make_backup
from data.restore import examine, mend, restore_archive


def backup(
    file: Annotated[Path, typer.Argument(help="The archive to make, for example postfleet-2026-03-02.tar.gz.")],
    with_key: Annotated[
        bool, typer.Option(help="Put the key of the session files in too: the archive alone then opens the accounts.")
    ] = False,
    media: Annotated[bool, typer.Option(help="Put uploaded files in too.")] = True,
    state_dir: StateDir = None,
) -> None:
    """Write one consistent archive of the state; the daemon may run meanwhile."""
    with clear_errors():
        folder = settings_of_state(state_dir).state_dir
        manifest = make_backup(folder, file, datetime.now(UTC), with_key=with_key, with_media=media)
    say(f"{file}: {len(manifest.files)} files, users.json at revision {manifest.revision}")
    if (folder / KEY_FILE).exists() and not with_key:
        say(f"Without {KEY_FILE}, which opens the session files: keep a copy of it somewhere else.")


def restore(
    archive: Annotated[
        Path | None, typer.Argument(help="An archive of `backup`; without one, damaged files get their last good copy.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do it without asking.")] = False,
    state_dir: StateDir = None,
) -> None:
    """Bring the state back. Everything is checked first; what is replaced is set aside. Stop the daemon before."""
    with clear_errors():
        if archive is not None:  # the one command beside `serve` that may begin a state: on another machine
            folder = settings_for(state_dir).state_dir
            _confirm(f"Put {archive} in the place of {folder.absolute()}?", yes=yes)
            manifest, aside = restore_archive(folder, archive, datetime.now(UTC))
            say(f"Restored users.json at revision {manifest.revision}; what was there is in {aside}")
            return
        folder = settings_of_state(state_dir).state_dir
        findings = examine(folder)
        if not findings:
            say(f"Nothing is wrong with {folder.absolute()}")
            return
        for finding in findings:
            say(f"{finding.problem}\n  → {finding.remedy or 'no good copy; restore a backup archive'}")
        if any(finding.remedy is None for finding in findings):
            raise typer.Exit(FAILED)
        _confirm("Do it?", yes=yes)
        aside = mend(folder, findings, datetime.now(UTC))
        say(f"Done; what was damaged is in {aside}")


def _confirm(question: str, *, yes: bool) -> None:
    if not yes and not confirm(question):
        say("Nothing was changed")
        raise typer.Exit(FAILED)
