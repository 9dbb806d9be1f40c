"""`session login`: an account logged in at the terminal, by phone and code or by QR code."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from cli.session.context import CommandServices, open_command_services
from cli.state_folder import StateDir
from cli.terminal import UNUSABLE, ask, clear_errors, fail, say, say_aside, show_qr_code
from core.errors import InvalidInput, LoginRefused
from sessions.logins.logins import Login, Step, Wish

_BY = "terminal"
_LOOK_SECONDS = 0.2


def login(
    phone: Annotated[str | None, typer.Option(help="The account's number, with + and country code.")] = None,
    qr: Annotated[bool, typer.Option("--qr", help="Show a QR code to scan with a Telegram app.")] = False,
    owner: Annotated[str | None, typer.Option(help="The only user who may have it; without: a spare one.")] = None,
    name: Annotated[str | None, typer.Option(help="What the session is called.")] = None,
    label: Annotated[str, typer.Option(help="A note for people.")] = "",
    pair: Annotated[int | None, typer.Option(help="The api_id to log in with; without: any that may be used.")] = None,
    state_dir: StateDir = None,
) -> None:
    """Log an account in: Telegram sends a code, or an app scans a QR code; then the two-step password if it has one."""
    with clear_errors():
        if qr == (phone is not None):
            fail("say either --phone +… or --qr", UNUSABLE)
        wish = Wish(owner=owner, name=name, label=label, by_operator=True, api_id=pair)
        asyncio.run(_login(state_dir, phone, wish))


async def _login(state_dir: Path | None, phone: str | None, wish: Wish) -> None:
    async with open_command_services(state_dir) as services:
        state = await services.logins.begin(_BY, wish, phone)
        if state.step is Step.QR:
            state = await _scanned(services, state)
        else:
            say(f"Telegram sent a code {state.sent}.")
        while state.step in {Step.CODE, Step.PASSWORD}:
            state = await _answered(services, state)
        if state.step is not Step.DONE:
            raise LoginRefused("login_over", f"the login is over: {state.reason}")
        say(f"Logged in as {state.session}" + (f", for {state.assigned_to}" if state.assigned_to else ""))


async def _answered(services: CommandServices, state: Login) -> Login:
    """Ask the person at the terminal once. A wrong answer may be given again."""
    try:
        if state.step is Step.CODE:
            return await services.logins.code(_BY, state.id, ask("Code"))
        hint = f" (hint: {state.hint})" if state.hint else ""
        return await services.logins.password(_BY, state.id, ask(f"Two-step password{hint}", hidden=True))
    except InvalidInput as error:
        say_aside(str(error))
        return services.logins.status(_BY, state.id)


async def _scanned(services: CommandServices, state: Login) -> Login:
    shown = None
    while state.step is Step.QR:
        if state.qr_url != shown and state.qr_url is not None:
            shown = state.qr_url
            show_qr_code(shown)
            say("In a Telegram app: Settings, Devices, Link Desktop Device. Scan this.")
            say(shown)
        await asyncio.sleep(_LOOK_SECONDS)
        state = services.logins.status(_BY, state.id)
    return state
