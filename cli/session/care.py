"""`session pair` and `session delete`: move an account to another API pair, and delete one."""

import asyncio
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.ask_daemon import NoDaemon, ask_daemon
from cli.session.context import open_command_services
from cli.state_folder import StateDir, settings_of_state
from cli.terminal import clear_errors, confirm, fail, say
from core.errors import SessionInUse
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
        try:
            asyncio.run(run())
        except SessionInUse as held:
            wanted = {"api_id": api_id, "unchecked": unchecked}
            _ask_who_holds_it(held, state_dir, "PUT", f"/api/admin/sessions/{name}/pair", wanted)
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

    async def look_up() -> str | None:
        async with open_command_services(state_dir) as services:
            services.sessions.known(name)
            users = services.store.snapshot.users.items()
            return next((user_id for user_id, user in users if name in user.assigned_sessions), None)

    async def run() -> Farewell:
        async with open_command_services(state_dir) as services:
            return await delete_account(services.clients, services.sessions, name, log_out=not keep_login)

    with clear_errors():
        user = asyncio.run(look_up())
        if not yes and not confirm(f"Delete {name}? It cannot be brought back.", aside=True):
            fail("nothing was deleted")
        try:
            done = asyncio.run(run())
        except SessionInUse as held:
            path = f"/api/sessions/{name}?log_out={'false' if keep_login else 'true'}"
            response = _ask_who_holds_it(held, state_dir, "DELETE", path)
            done = Farewell(name, user, response["logged_out"], response["reason"])
        say(f"{name} is deleted" + (f"; it posted for {done.user}" if done.user else ""))
        say("It is logged out at Telegram" if done.logged_out else f"It was not logged out: {done.reason}")


def _ask_who_holds_it(
    held: SessionInUse, state_dir: Path | None, method: str, path: str, body: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Let the daemon do it, since it holds the account. Raises `held` if no daemon runs."""
    try:
        response = ask_daemon(settings_of_state(state_dir), method, path, body)
    except NoDaemon:
        raise held from None
    found: dict[str, Any] = response.json() if response.content else {}
    return found
