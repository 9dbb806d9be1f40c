"""`run.py sandbox`: the data centre alone."""

import asyncio
import signal
import sys
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import typer

from cli.terminal import UNUSABLE, fail, say, say_json
from sandbox.actions import ActionError
from sandbox.rules import RuleError
from sandbox.server import Sandbox
from sandbox.state.centre import Unknown
from sandbox.world import World, WorldError, demo_world, load_world


def sandbox(
    world: Path | None = typer.Option(None, help="A world file, YAML or JSON; without it the demo world."),
    dc_port: int = typer.Option(0, help="Port clients connect to; 0 takes any free one."),
    control_port: int = typer.Option(0, help="Port of the control channel; 0 takes any free one."),
    folder: Path | None = typer.Option(None, help="Where its keys are kept; without it a temporary folder."),
    sessions_dir: Path | None = typer.Option(None, help="Write a ready session file for each account here."),
    as_json: bool = typer.Option(False, "--json", help="Say where it is in one JSON line."),
) -> None:
    """A Telegram data centre on this machine, for tests and demos; Ctrl-C ends it."""
    try:
        built = load_world(world) if world else demo_world()
        with tempfile.TemporaryDirectory(prefix="postfleet-dc-") as temporary:
            if sessions_dir is not None:
                sessions_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
            _run(_serve(built, folder or Path(temporary), dc_port, control_port, sessions_dir, as_json))
    except (WorldError, RuleError, ActionError, Unknown, OSError) as error:
        fail(str(error), UNUSABLE)


def _run(serving: Coroutine[Any, Any, None]) -> None:
    try:
        import uvloop
    except ImportError:  # there is none for this platform
        asyncio.run(serving)
    else:
        uvloop.run(serving)


async def _serve(
    world: World, folder: Path, dc_port: int, control_port: int, sessions_dir: Path | None, as_json: bool
) -> None:
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ended.set)
    centre = Sandbox(world, folder=folder, port=dc_port, control_port=control_port)
    await centre.start()
    try:
        if sessions_dir is not None:
            for account in world.accounts:
                centre.write_session(account.name, sessions_dir / account.name)
        _announce(centre, sessions_dir, as_json)
        await ended.wait()
    finally:
        await centre.stop()


def _announce(centre: Sandbox, sessions_dir: Path | None, as_json: bool) -> None:
    host, port = centre.address
    facts = {
        "dc_id": centre.dc_id,
        "host": host,
        "port": port,
        "dc": f"{centre.dc_id},{host},{port}",
        "public_key": str(centre.public_key_path),
        "control": centre.control_url,
        "folder": str(centre.folder),
        "sessions": str(sessions_dir) if sessions_dir else None,
    }
    if as_json:
        say_json(facts)
    else:
        say(
            f"Data centre {facts['dc_id']} at {host}:{port}, control channel at {facts['control']}\n"
            f"POSTFLEET_DC={facts['dc']} POSTFLEET_DC_PUBLIC_KEY={facts['public_key']}"
        )
        if sessions_dir:
            say(f"Session files in {sessions_dir}")
    # a reader waits for this line
    sys.stdout.flush()
