"""`status`: what the daemon of a state folder does now, and what its users have left of their allowances."""

import sys
from datetime import timedelta
from typing import Annotated, Any

import httpx
import typer
from rich.console import Console
from rich.table import Table

from api.tokens import OPERATOR, issue_token
from cli.daemon import address_of
from core.clock import SystemClock
from core.errors import PostfleetError
from core.settings import load_settings

_FEWEST_LEFT = 10


def status(
    as_json: Annotated[bool, typer.Option("--json", help="As the daemon's API says it.")] = False,
    allowances: Annotated[bool, typer.Option("--allowances", help="Every user's allowance, and only that.")] = False,
) -> None:
    """Show what the daemon does: cycles that run, who is due when, accounts that rest, housekeeping, allowances."""
    try:
        used = _ask("/api/admin/allowances") if allowances or not as_json else None
        answer = used if allowances and used is not None else _ask("/api/admin/overview")
    except PostfleetError as error:
        typer.echo(f"postfleet: {error}", err=True)
        sys.exit(2)
    except httpx.HTTPError as error:
        typer.echo(
            f"postfleet: no daemon answers for this STATE_DIR ({type(error).__name__}); start it: serve", err=True
        )
        sys.exit(1)
    if as_json:
        typer.echo(answer.text)
    else:
        if not allowances:
            _show(answer.json())
        if used is not None:
            _show_allowances(used.json()["users"], None if allowances else _FEWEST_LEFT)


def _ask(path: str) -> httpx.Response:
    settings = load_settings()
    address = address_of(settings.state_dir)
    if address is None:
        raise httpx.ConnectError("no address")
    now = SystemClock().now()
    secret = settings.jwt_secret.get_secret_value()
    token = issue_token(secret, "status", now=now, lifetime=timedelta(minutes=1), roles=(OPERATOR,))
    answer = httpx.get(f"{address}{path}", headers={"Authorization": f"Bearer {token}"}, timeout=30)
    return answer.raise_for_status()


def _show(seen: dict[str, Any]) -> None:
    console = Console(soft_wrap=True)
    due = seen["next_due_at"] or "nobody"
    console.print(f"{len(seen['running'])} cycles run, {seen['waiting']} bots wait, next due: {due}")
    console.print(f"{seen['connections']} connections, {seen['tasks']} tasks, up since {seen['started_at']}")
    if seen["running"]:
        table = Table("user", "done", "of", "delivered", title="Cycles")
        for cycle in seen["running"]:
            table.add_row(cycle["user"], *(str(cycle[name]) for name in ("done", "total", "delivered")))
        console.print(table)
    if seen["resting"]:
        table = Table("account", "until", "why", title="Accounts that rest")
        for account in seen["resting"]:
            table.add_row(account["session"], account["until"], account["reason"])
        console.print(table)
    table = Table("job", "last run", "result", "next run", title="Housekeeping")
    for job in seen["jobs"]:
        result = ("FAILED " if job["last_failed"] else "") + (job["last_result"] or "")
        table.add_row(job["name"], job["last_run_at"] or "never", result, job["next_run_at"] or "-")
    console.print(table)


def _show_allowances(users: dict[str, dict[str, Any]], most: int | None) -> None:
    """Who has least left comes first."""
    least = sorted(users.items(), key=lambda item: (item[1]["left"], item[0]))[:most]
    title = (
        "Allowances" if len(least) == len(users) else f"Allowances: the {len(least)} of {len(users)} with least left"
    )
    table = Table("user", "left", "today", "this month", "granted", "reserved", "uncounted", title=title)
    for name, use in least:
        today = f"{use['spent_today']} of {use['per_day'] + use['granted']}"
        month = f"{use['spent_this_month']} of {use['per_month'] + use['granted']}"
        others = (str(use[field]) for field in ("granted", "reserved", "uncounted"))
        table.add_row(name, str(use["left"]), today, month, *others)
    Console(soft_wrap=True).print(table)
