"""`session pairs`: which API pairs accounts may run on."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer
from pydantic import SecretStr

from cli.session_parts import session_parts
from cli.state_folder import StateDir, settings_of_state
from cli.terminal import Sheet, ask, clear_errors, say
from sessions.api_pairs import PairState, sessions_on_pairs

pairs = typer.Typer(help="API pairs: add, enable, disable, quarantine.", no_args_is_help=True)
_Id = Annotated[int, typer.Argument(help="The api_id.")]


@pairs.command(name="list")
def list_(state_dir: StateDir = None) -> None:
    """Show every pair, its state and how many accounts run on it."""

    async def run() -> Sheet:
        async with session_parts(state_dir) as parts:
            snapshot = parts.store.snapshot
            used = sessions_on_pairs(snapshot.users, snapshot.sessions)
            table = Sheet("api_id", "state", "accounts", "from", "why")
            for pair in parts.sessions.pairs.every():
                source = "settings" if pair.in_settings else "added"
                table.add(pair.api_id, pair.state.value, used[pair.api_id], source, pair.reason)
            return table

    with clear_errors():
        asyncio.run(run()).show()


@pairs.command()
def add(api_id: _Id, state_dir: StateDir = None) -> None:
    """Add a pair from my.telegram.org; asks for its hash, which is kept sealed."""

    async def run(api_hash: str) -> None:
        async with session_parts(state_dir) as parts:
            parts.sessions.pairs.add(api_id, SecretStr(api_hash), parts.clock.now())

    with clear_errors():
        settings_of_state(state_dir)  # before anything is asked
        asyncio.run(run(ask("api_hash", hidden=True)))
        say(f"{api_id} may be used")


@pairs.command()
def enable(api_id: _Id, state_dir: StateDir = None) -> None:
    """Use a pair again. Accounts it lost while it was quarantined still need a new login."""
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
        async with session_parts(state_dir) as parts:
            return await parts.sessions.quarantine_pair(api_id, reason)

    with clear_errors():
        for name, user in asyncio.run(run()).items():
            say(f"{name} needs a new login" + (f" (it posts for {user})" if user else ""))


def _set(state_dir: Path | None, api_id: int, state: PairState, reason: str | None) -> None:
    async def run() -> None:
        async with session_parts(state_dir) as parts:
            parts.sessions.pairs.set_state(api_id, state, reason, parts.clock.now())

    with clear_errors():
        asyncio.run(run())
        say(f"{api_id} is {state.value}")
