"""`session pair` and `session delete`: another API pair for an account, and the end of one."""

import asyncio
from typing import Annotated

import typer

from cli.session.context import open_command_services
from cli.state_folder import StateDir
from cli.terminal import clear_errors, confirm, fail, say
from sessions.logins.farewell import Farewell
from sessions.logins.farewell import delete as delete_account
from sessions.logins.pair_care import give_pair

_Name = Annotated[str, typer.Argument(help="The session.")]


def pair(
    name: _Name,
    api_id: Annotated[int, typer.Argument(help="The api_id it is to run on.")],
    unchecked: Annotated[bool, typer.Option("--unchecked", help="Without asking Telegram.")] = False,
    state_dir: StateDir = None,
) -> None:
    """Let an account run on another API pair with the login it has; says when it needs a new login there."""

    async def run() -> None:
        async with open_command_services(state_dir) as services:
            await give_pair(services.clients, services.sessions, name, api_id, unchecked=unchecked)

    with clear_errors():
        asyncio.run(run())
        say(f"{name} runs on {api_id}" + (", unchecked" if unchecked else ""))


def delete(
    name: _Name,
    keep_login: Annotated[
        bool, typer.Option("--keep-login", help="Do not log it out at Telegram: its login is used elsewhere.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    state_dir: StateDir = None,
) -> None:
    """Log an account out at Telegram and forget it: its key, its label, whose it was."""

    async def run() -> Farewell:
        async with open_command_services(state_dir) as services:
            return await delete_account(services.clients, services.sessions, name, log_out=not keep_login)

    with clear_errors():
        if not yes and not confirm(f"Delete {name}? It cannot be brought back.", aside=True):
            fail("nothing was deleted")
        done = asyncio.run(run())
        say(f"{name} is deleted" + (f"; it posted for {done.user}" if done.user else ""))
        say("It is logged out at Telegram" if done.logged_out else f"It was not logged out: {done.reason}")
