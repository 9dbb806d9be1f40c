"""`status`: what the daemon of a state folder does now, and what its users have left of their allowances."""

from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from cli.ask_daemon import ask_daemon
from cli.state_folder import StateDir, settings_of_state
from cli.terminal import Sheet, clear_errors, say, say_json

_FEWEST_LEFT = 10


def status(
    as_json: Annotated[bool, typer.Option("--json", help="As the daemon's API says it.")] = False,
    allowances: Annotated[bool, typer.Option("--allowances", help="Every user's allowance, and only that.")] = False,
    state_dir: StateDir = None,
) -> None:
    """Show what the daemon does: cycles that run, when the next is due, who rests, housekeeping, allowances."""
    with clear_errors():
        settings = settings_of_state(state_dir)
        if not allowances:
            seen = ask_daemon(settings, "GET", "/api/admin/overview").json()
            if as_json:
                say_json(seen)
                return
            _show(seen)
        used = ask_daemon(settings, "GET", "/api/admin/allowances").json()
        if as_json:
            say_json(used)
        else:
            _show_allowances(used["users"], None if allowances else _FEWEST_LEFT)


def _show(seen: dict[str, Any]) -> None:
    due = _time(seen["next_due_at"]) + " UTC" if seen["next_due_at"] else "nobody"
    say(f"{len(seen['running'])} cycles run, {seen['waiting']} bots wait, next due: {due}")
    bots = ", ".join(f"{count} {status}" for status, count in sorted(seen["users"].items()))
    say(f"Bots by status: {bots or 'there is none'}")
    started = _time(seen["started_at"])
    say(f"{seen['connections']} connections, {seen['tasks']} tasks, up since {started} UTC")
    if seen["running"]:
        table = Sheet("user", "done", "of", "delivered", title="Cycles")
        for cycle in seen["running"]:
            table.add(cycle["user"], *(cycle[name] for name in ("done", "total", "delivered")))
        table.show()
    if seen["resting"]:
        table = Sheet("account", "until, UTC", "why", title="Accounts that rest")
        for account in seen["resting"]:
            table.add(account["session"], _time(account["until"]), account["reason"])
        table.show()
    table = Sheet("job", "last run, UTC", "result", "next run, UTC", title="Housekeeping")
    for job in seen["jobs"]:
        came_of_it = ("FAILED " if job["last_failed"] else "") + (job["last_result"] or "")
        table.add(job["name"], _time(job["last_run_at"]) or "never", came_of_it, _time(job["next_run_at"]) or "-")
    table.show()


def _time(moment: str | None) -> str:
    return datetime.fromisoformat(moment).astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S") if moment else ""


def _show_allowances(users: dict[str, dict[str, Any]], most: int | None) -> None:
    """Show those with the least left first."""
    least = sorted(users.items(), key=lambda item: (item[1]["left"], item[0]))[:most]
    title = (
        "Allowances" if len(least) == len(users) else f"Allowances: the {len(least)} of {len(users)} with least left"
    )
    table = Sheet("user", "left", "today", "this month", "granted", "reserved", "uncounted", title=title)
    for name, use in least:
        today = f"{use['spent_today']} of {use['per_day'] + use['granted']}"
        month = f"{use['spent_this_month']} of {use['per_month'] + use['granted']}"
        others = (use[field] for field in ("granted", "reserved", "uncounted"))
        table.add(name, use["left"], today, month, *others)
    table.show()
