"""`backup` and `restore`: an archive of the whole state while the daemon runs, and the way back from damage."""

from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from cli.state_folder import StateDir, settings_for, settings_of_state
from cli.terminal import FAILED, clear_errors, confirm, say, say_aside
from core.errors import StateDamaged
from core.settings import Settings
from data.archive.backup import make_backup
from data.archive.mending import examine, mend
from data.archive.restore import restore_archive
from data.disk.inventory import KEY_FILE, PAIRS_FILE, SESSIONS
from data.disk.sealed import sealed_files
from sessions.keys.api_pairs import read_pairs
from sessions.keys.vault import Vault, key_is_set


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
    give_up: Annotated[
        bool, typer.Option(help="Begin anew what has no good copy; what that costs is said before.")
    ] = False,
    state_dir: StateDir = None,
) -> None:
    """Bring the state back. Everything is checked first; what is replaced is set aside. Stop the daemon before."""
    with clear_errors():
        if archive is not None:  # the one command beside `serve` that may begin a state: on another machine
            _restore_archive(settings_for(state_dir), archive, yes=yes)
        else:
            _mend(settings_of_state(state_dir), yes=yes, give_up=give_up)


def _restore_archive(settings: Settings, archive: Path, *, yes: bool) -> None:
    folder = settings.state_dir
    _confirm(f"Put {archive} in the place of {folder.absolute()}?", yes=yes)
    manifest, aside = restore_archive(folder, archive, datetime.now(UTC))
    say(f"Restored users.json at revision {manifest.revision}; what was there is in {aside}")
    say("Every token made until now is refused: people log in again; make others with: python run.py token issue")
    sealed = len(sealed_files(folder))
    if sealed and not _has_key(settings):
        say_aside(
            f"ATTENTION: {KEY_FILE} IS NOT IN THE ARCHIVE, and not in {folder}. Nothing opens the {sealed} accounts "
            f"that were restored, and the daemon refuses to start. Put {KEY_FILE} there from where you keep it, or set "
            "POSTFLEET_VAULT_KEY. If it is lost, every account has to be logged in again: "
            "python run.py restore --give-up"
        )
        return
    try:
        _check_key(settings)
    except StateDamaged as error:
        say_aside(f"ATTENTION: {error}")


def _mend(settings: Settings, *, yes: bool, give_up: bool) -> None:
    folder = settings.state_dir
    more = ((SESSIONS, partial(_check_key, settings)), (PAIRS_FILE, partial(read_pairs, folder / PAIRS_FILE)))
    findings = examine(folder, key_in_settings=key_is_set(settings.vault_key), more=more)
    if not findings:
        say(f"Nothing is wrong with {folder.absolute()}")
        return
    for finding in findings:
        say(f"{finding.problem}\n  → {finding.remedy or 'no good copy; restore a backup archive'}")
        if finding.remedy is None:
            say(f"    or go on without: {finding.given_up} (python run.py restore --give-up)")
    wanted = [finding for finding in findings if give_up or finding.remedy is not None]
    if wanted:
        _confirm("Do it?", yes=yes)
        aside = mend(folder, wanted, datetime.now(UTC), give_up=give_up)
        say(f"Done; what was there is in {aside}")
    if left := [finding.name for finding in findings if finding not in wanted]:
        say_aside(f"Not mended: {', '.join(left)}")
        raise typer.Exit(FAILED)


def _has_key(settings: Settings) -> bool:
    return key_is_set(settings.vault_key) or (settings.state_dir / KEY_FILE).exists()


def _check_key(settings: Settings) -> None:
    """Check that the key, if there is one, opens something that is sealed. Raises StateDamaged. Makes no key."""
    if _has_key(settings):
        Vault.open(settings.state_dir, settings.vault_key)


def _confirm(question: str, *, yes: bool) -> None:
    if not yes and not confirm(question):
        say("Nothing was changed")
        raise typer.Exit(FAILED)
