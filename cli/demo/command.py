"""`demo`: a whole Postfleet on this machine, no Telegram needed.

The demo is a client like any other: it starts the data centre and the daemon as processes of their own, talks to the
daemon over its API, and looks at the data centre's chats to see what really landed.
"""

import signal
import tempfile
import threading
from pathlib import Path
from typing import Annotated

import typer

from cli.terminal import clear_errors


def demo(
    seconds: Annotated[float | None, typer.Option("--for", min=1, help="Stop by itself after so many seconds.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print nothing but one JSON line with the result.")] = False,
    state_dir: Annotated[Path | None, typer.Option(help="Keep the state here; without it a temporary folder.")] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port of the API; 0 takes any free one.")] = 0,
    dc_port: Annotated[int, typer.Option(min=0, max=65535, help="Port of the data centre; 0 takes any.")] = 0,
) -> None:
    """Start a data centre, a daemon and three bots, and show what lands where until Ctrl-C."""
    from cli.demo.processes import Stage
    from cli.demo.view import view_for

    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    with clear_errors(), tempfile.TemporaryDirectory(prefix="postfleet-demo-") as temporary:
        with Stage(state_dir or Path(temporary), port, dc_port) as stage, view_for(as_json) as view:
            stage.run(ended, seconds, view)
        result = stage.result()
    view.conclude(result)
    raise typer.Exit(0 if result.ok else 1)
