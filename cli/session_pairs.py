"""`session pairs`: which API pairs accounts may run on."""

import asyncio
from typing import Annotated

import typer
from pydantic import SecretStr
from rich.console import Console
from rich.table import Table

from cli.session_parts import clear_errors, session_parts
from sessions.api_pairs import PairState, sessions_on_pairs

pairs = typer.Typer(help="API pairs: add, enable, disable, quarantine.", no_args_is_help=True)
_Id = Annotated[int, typer.Argument(help="The api_id.")]


@pairs.command(name="list")
def list_() -> None:
    """Show every pair, its state and how many accounts run on it."""

    async def run() -> Table:
        async with session_parts() as parts:
            snapshot = parts.store.snapshot
            used = sessions_on_pairs(snapshot.users, snapshot.sessions)
            table = Table("api_id", "state", "accounts", "from", "why")
            for pair in parts.sessions.pairs.every():
                source = "settings" if pair.in_settings else "added"
                table.add_row(str(pair.api_id), pair.state.value, str(used[pair.api_id]), source, pair.reason or "")
            return table

    with clear_errors():
        Console(soft_wrap=True).print(asyncio.run(run()))


@pairs.command()
def add(api_id: _Id) -> None:
    """Add a pair from my.telegram.org; asks for its hash, which is kept sealed."""

    async def run(api_hash: str) -> None:
        async with session_parts() as parts:
            parts.sessions.pairs.add(api_id, SecretStr(api_hash), parts.clock.now())

    with clear_errors():
        asyncio.run(run(typer.prompt("api_hash", hide_input=True)))
        typer.echo(f"{api_id} may be used")


@pairs.command()
def enable(api_id: _Id) -> None:
    """Use a pair again. Accounts it lost while it was quarantined still need a new login."""
    _set(api_id, PairState.ENABLED, None)


@pairs.command()
def disable(api_id: _Id, reason: Annotated[str | None, typer.Option(help="Why.")] = None) -> None:
    """Put no further account on a pair; those on it go on."""
    _set(api_id, PairState.DISABLED, reason)


@pairs.command()
def quarantine(api_id: _Id, reason: Annotated[str, typer.Option(help="Why.")] = "by the operator") -> None:
    """Stop every account on a pair; tells which ones need a new login."""

    async def run() -> dict[str, str | None]:
        async with session_parts() as parts:
            return await parts.sessions.quarantine_pair(api_id, reason)

    with clear_errors():
        for name, user in asyncio.run(run()).items():
            typer.echo(f"{name} needs a new login" + (f" (it posts for {user})" if user else ""))


def _set(api_id: int, state: PairState, reason: str | None) -> None:
    async def run() -> None:
        async with session_parts() as parts:
            parts.sessions.pairs.set_state(api_id, state, reason, parts.clock.now())

    with clear_errors():
        asyncio.run(run())
        typer.echo(f"{api_id} is {state.value}")
