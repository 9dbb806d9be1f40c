"""Every command of `python run.py`, put together from one file a group."""

import typer

from cli import token
from cli.data import backup, restore
from cli.demo.command import demo
from cli.logs import logs
from cli.private_memory import keep_memory_private
from cli.sandbox import sandbox
from cli.serve import serve
from cli.session import commands as session
from cli.status import status

app = typer.Typer(
    name="postfleet",
    help="Keeps many people's Telegram accounts posting on time.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)


@app.callback()
def _postfleet() -> None:
    """Keeps many people's Telegram accounts posting on time."""
    keep_memory_private()


app.command()(serve)
app.command()(demo)
app.command()(sandbox)
app.command()(logs)
app.command()(status)
app.command()(backup)
app.command()(restore)
app.add_typer(session.commands, name="session")
app.add_typer(token.commands, name="token")
