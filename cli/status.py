"""`status`: what the daemon of a state folder does now, and what its users have left of their allowances."""

import sys
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, NoReturn

import httpx
import typer
from rich.console import Console
from rich.table import Column, Table

from api.tokens import OPERATOR, Rules, issue_token
from cli.daemon import address_of
from core.clock import SystemClock
from core.errors import PostfleetError, SettingsError
from core.settings import Settings, check_jwt_secret, load_settings

_FEWEST_LEFT = 10


def status(
    as_json: Annotated[bool, typer.Option("--json", help="As the daemon's API says it.")] = False,
    allowances: Annotated[bool, typer.Option("--allowances", help="Every user's allowance, and only that.")] = False,
) -> None:
    """Show what the daemon does: cycles that run, when the next is due, who rests, housekeeping, allowances."""
    try:
        settings = load_settings()
        used = _ask(settings, "/api/admin/allowances") if allowances or not as_json else None
        answer = used if allowances and used is not None else _ask(settings, "/api/admin/overview")
    except PostfleetError as error:
        _leave(str(error), 2)
    except httpx.HTTPStatusError as error:
        _leave(f"the daemon answered {error.response.status_code}: {error.response.text}", 1)
    except httpx.HTTPError as error:
        _leave(
            f"no daemon answers for the state in {settings.state_dir.absolute()} ({type(error).__name__}); "
            "start it with serve, or say with POSTFLEET_STATE_DIR where its state is",
            1,
        )
    if as_json:
        typer.echo(answer.text)
    else:
        if not allowances:
            _show(answer.json())
        if used is not None:
            _show_allowances(used.json()["users"], None if allowances else _FEWEST_LEFT)


def _leave(why: str, code: int) -> NoReturn:
    typer.echo(f"postfleet: {why}", err=True)
    sys.exit(code)


def _ask(settings: Settings, path: str) -> httpx.Response:
    address = address_of(settings.state_dir)
    if address is None:
        raise httpx.ConnectError("no address")
    secret = settings.jwt_secret.get_secret_value()
    check_jwt_secret(secret)
    token = issue_token(
        secret,
        "status",
        now=SystemClock().now(),
        lifetime=timedelta(minutes=1),
        roles=(OPERATOR,),
        rules=Rules(issuer=settings.jwt_issuer, audience=settings.jwt_audience),
    )
    # Past any proxy of the environment: it would see an operator's token, and cannot reach this machine's loopback.
    answer = httpx.get(f"{address}{path}", headers={"Authorization": f"Bearer {token}"}, timeout=30, trust_env=False)
    if answer.status_code == httpx.codes.UNAUTHORIZED:
        raise SettingsError(
            "the daemon refuses the token made with these settings: POSTFLEET_JWT_SECRET, POSTFLEET_JWT_ISSUER and "
            "POSTFLEET_JWT_AUDIENCE have to be those it was started with"
        )
    return answer.raise_for_status()


def _show(seen: dict[str, Any]) -> None:
    console = Console(soft_wrap=True)
    due = _time(seen["next_due_at"]) + " UTC" if seen["next_due_at"] else "nobody"
    console.print(f"{len(seen['running'])} cycles run, {seen['waiting']} bots wait, next due: {due}")
    bots = ", ".join(f"{count} {status}" for status, count in sorted(seen["users"].items()))
    console.print(f"Bots by status: {bots or 'there is none'}")
    started = _time(seen["started_at"])
    console.print(f"{seen['connections']} connections, {seen['tasks']} tasks, up since {started} UTC")
    if seen["running"]:
        table = Table("user", "done", "of", "delivered", title="Cycles")
        for cycle in seen["running"]:
            table.add_row(cycle["user"], *(str(cycle[name]) for name in ("done", "total", "delivered")))
        console.print(table)
    if seen["resting"]:
        table = Table("account", _when("until"), "why", title="Accounts that rest")
        for account in seen["resting"]:
            table.add_row(account["session"], _time(account["until"]), account["reason"])
        console.print(table)
    result = Column("result", overflow="fold")
    table = Table("job", _when("last run"), result, _when("next run"), title="Housekeeping")
    for job in seen["jobs"]:
        came_of_it = ("FAILED " if job["last_failed"] else "") + (job["last_result"] or "")
        table.add_row(job["name"], _time(job["last_run_at"]) or "never", came_of_it, _time(job["next_run_at"]) or "-")
    console.print(table)


def _when(name: str) -> Column:
    """A column of moments; other columns make room for it."""
    return Column(f"{name}, UTC", no_wrap=True, min_width=19)


def _time(moment: str | None) -> str:
    return datetime.fromisoformat(moment).astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S") if moment else ""


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
