"""`backup` and `restore`: an archive of the whole state while the daemon runs, and the way back from damage."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from core.errors import PostfleetError
from core.settings import load_settings
from data.backup import KEY_FILE, make_backup
from data.restore import examine, mend, restore_archive


def backup(
    file: Annotated[Path, typer.Argument(help="The archive to make, for example postfleet-2026-03-02.tar.gz.")],
    with_key: Annotated[
        bool, typer.Option(help="Put the key of the session files in too: the archive alone then opens the accounts.")
    ] = False,
    media: Annotated[bool, typer.Option(help="Put uploaded files in too.")] = True,
) -> None:
    """Write one consistent archive of the state; the daemon may run meanwhile."""
    with _clear_errors():
        state_dir = load_settings().state_dir
        manifest = make_backup(state_dir, file, datetime.now(UTC), with_key=with_key, with_media=media)
    typer.echo(f"{file}: {len(manifest.files)} files, users.json at revision {manifest.revision}")
    if (state_dir / KEY_FILE).exists() and not with_key:
        typer.echo(f"Without {KEY_FILE}, which opens the session files: keep a copy of it somewhere else.")


def restore(
    archive: Annotated[
        Path | None, typer.Argument(help="An archive of `backup`; without one, damaged files get their last good copy.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do it without asking.")] = False,
) -> None:
    """Bring the state back. Everything is checked first; what is replaced is set aside. Stop the daemon before."""
    with _clear_errors():
        state_dir = load_settings().state_dir
        if archive is not None:
            _confirm(f"Put {archive} in the place of {state_dir}?", yes=yes)
            manifest, aside = restore_archive(state_dir, archive, datetime.now(UTC))
            typer.echo(f"Restored users.json at revision {manifest.revision}; what was there is in {aside}")
            return
        findings = examine(state_dir)
        if not findings:
            typer.echo(f"Nothing is wrong with {state_dir}")
            return
        for finding in findings:
            typer.echo(f"{finding.problem}\n  → {finding.remedy or 'no good copy; restore a backup archive'}")
        if any(finding.remedy is None for finding in findings):
            raise typer.Exit(1)
        _confirm("Do it?", yes=yes)
        aside = mend(state_dir, findings, datetime.now(UTC))
        typer.echo(f"Done; what was damaged is in {aside}")


def _confirm(question: str, *, yes: bool) -> None:
    if not yes and not typer.confirm(question):
        typer.echo("Nothing was changed")
        raise typer.Exit(1)


@contextmanager
def _clear_errors() -> Iterator[None]:
    try:
        yield
    except PostfleetError as error:
        typer.echo(f"postfleet: {error}", err=True)
        raise typer.Exit(2) from None
