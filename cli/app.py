"""Every command of `python run.py`: a file for each, or a folder for a group of commands.

A command's module is imported only when the arguments name the command. The daemon's and Telegram's libraries take a
second, which `--help`, `logs` or `token` should not cost. `--help` shows the summaries that are written here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module

import typer

from cli.private_memory import keep_memory_private


@dataclass(frozen=True)
class Command:
    """Where a command or a group of commands is, and its line in `--help`."""

    module: str
    attribute: str
    summary: str


COMMANDS = {
    "serve": Command("cli.serve", "serve", "Run the daemon against whatever Telegram the settings name."),
    "demo": Command("cli.demo.command", "demo", "Start a data centre, a daemon and three bots, and show what lands."),
    "sandbox": Command("cli.sandbox", "sandbox", "Run a Telegram data centre on this machine, for tests and demos."),
    "logs": Command("cli.logs", "logs", "Show the daemon's log."),
    "status": Command("cli.status", "status", "Show what the daemon does now."),
    "backup": Command("cli.data", "backup", "Write one consistent archive of the state, also while the daemon runs."),
    "restore": Command("cli.data", "restore", "Bring the state back from an archive or the last good copies."),
    "session": Command("cli.session.commands", "commands", "Accounts: log in, import, list, release, repair."),
    "token": Command("cli.token", "commands", "Tokens for the API."),
}


def app_for(arguments: Sequence[str]) -> typer.Typer:
    """Return the program for these arguments. Only the command that they name is more than its line in `--help`."""
    app = typer.Typer(
        name="postfleet",
        help="Keeps many people's Telegram accounts posting on time.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        add_completion=False,
    )
    app.callback()(_postfleet)
    named = next((argument for argument in arguments if not argument.startswith("-")), None)
    for name, command in COMMANDS.items():
        if name != named:
            app.command(name, help=command.summary)(_not_named)
            continue
        found = getattr(import_module(command.module), command.attribute)
        if isinstance(found, typer.Typer):
            app.add_typer(found, name=name)
        else:
            app.command(name)(found)
    return app


def _postfleet() -> None:
    """Keeps many people's Telegram accounts posting on time."""
    keep_memory_private()


def _not_named() -> None:
    """Stand in `--help` for a command that the arguments do not name."""
