"""`session pairs`: which API pairs accounts may run on."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer
from pydantic import SecretStr

from cli.session.context import CommandServices, open_command_services
from cli.state_folder import StateDir
from cli.terminal import Sheet, ask, clear_errors, say
from core.errors import InvalidInput, NotFound, PairNotChecked
from sessions.keys.api_pairs import PairState, sessions_on_pairs
from sessions.logins.pair_care import add_pair, check_pair

pairs = typer.Typer(help="API pairs: add, check, enable, disable, quarantine, remove.", no_args_is_help=True)
_Id = Annotated[int, typer.Argument(help="The api_id.")]


@pairs.command(name="list")
def list_(state_dir: StateDir = None) -> None:
    """Show every pair, its state and how many accounts run on it."""

    async def run() -> Sheet:
        async with open_command_services(state_dir) as services:
            snapshot = services.store.snapshot
            used = sessions_on_pairs(snapshot.users, snapshot.sessions)
            table = Sheet("api_id", "state", "accounts", "from", "why")
            for pair in services.sessions.pairs.every():
                source = "settings" if pair.in_settings else "added"
                table.add(pair.api_id, pair.state.value, used[pair.api_id], source, pair.reason)
            return table

    with clear_errors():
        asyncio.run(run()).show()


@pairs.command()
def add(
    api_id: _Id,
    unchecked: Annotated[
        bool, typer.Option("--unchecked", help="Without asking Telegram whether it is right.")
    ] = False,
    state_dir: StateDir = None,
) -> None:
    """Add a pair from my.telegram.org; asks for its hash, which is kept sealed, and Telegram whether they are right."""

    async def run() -> None:
        async with open_command_services(state_dir) as services:
            services.sessions.pairs.every()  # finds a damaged list before anything is asked
            api_hash = SecretStr(ask("api_hash", hidden=True))
            try:
                await add_pair(services.clients, services.sessions, api_id, api_hash, unchecked=unchecked)
            except PairNotChecked as error:
                raise PairNotChecked(f"{error}; it was not added, --unchecked adds it all the same") from None

    with clear_errors():
        asyncio.run(run())
        say(f"{api_id} may be used" + (", unchecked" if unchecked else ""))


@pairs.command()
def check(
    api_id: Annotated[int | None, typer.Argument(help="The api_id; without: every pair there is.")] = None,
    state_dir: StateDir = None,
) -> None:
    """Ask Telegram whether it takes a pair. No account is concerned, and no code is sent."""

    async def run() -> dict[int, str]:
        async with open_command_services(state_dir) as services:
            known = [pair.api_id for pair in services.sessions.pairs.every()]
            if api_id is not None and api_id not in known:
                raise NotFound(f"there is no API pair {api_id}")
            return {one: await _found(services, one) for one in ([api_id] if api_id is not None else known)}

    with clear_errors():
        found = asyncio.run(run())
        for one, what in found.items():
            say(f"{one}: {what}")
        if set(found.values()) - {_TAKEN}:
            raise typer.Exit(1)


_TAKEN = "Telegram takes it"


async def _found(services: CommandServices, api_id: int) -> str:
    try:
        await check_pair(services.clients, api_id)
    except (InvalidInput, PairNotChecked) as error:
        return error.fix if isinstance(error, InvalidInput) else str(error)
    return _TAKEN


@pairs.command()
def remove(api_id: _Id, state_dir: StateDir = None) -> None:
    """Forget an added pair that no account works on; `session pair` gives those on it another one first."""

    async def run() -> list[str]:
        async with open_command_services(state_dir) as services:
            return await services.sessions.remove_pair(api_id)

    with clear_errors():
        left = asyncio.run(run())
        say(f"{api_id} is removed" + (f"; without a pair now: {', '.join(left)}" if left else ""))


@pairs.command()
def enable(api_id: _Id, state_dir: StateDir = None) -> None:
    """Use a pair again. `session pair` lets the accounts that it lost run on it again."""
    _set(state_dir, api_id, PairState.ENABLED, None)


@pairs.command()
def disable(
    api_id: _Id, reason: Annotated[str | None, typer.Option(help="Why.")] = None, state_dir: StateDir = None
) -> None:
    """Put no further account on a pair; those on it go on."""
    _set(state_dir, api_id, PairState.DISABLED, reason)


@pairs.command()
def quarantine(
    api_id: _Id, reason: Annotated[str, typer.Option(help="Why.")] = "by the operator", state_dir: StateDir = None
) -> None:
    """Stop every account on a pair; tells which ones need a new login."""

    async def run() -> dict[str, str | None]:
        async with open_command_services(state_dir) as services:
            return await services.sessions.quarantine_pair(api_id, reason)

    with clear_errors():
        for name, user in asyncio.run(run()).items():
            say(f"{name} needs a new login" + (f" (it posts for {user})" if user else ""))


def _set(state_dir: Path | None, api_id: int, state: PairState, reason: str | None) -> None:
    async def run() -> None:
        async with open_command_services(state_dir) as services:
            services.sessions.pairs.set_state(api_id, state, reason, services.clock.now())

    with clear_errors():
        asyncio.run(run())
        say(f"{api_id} is {state.value}")
