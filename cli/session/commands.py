"""`session`: accounts from login to retirement."""

import asyncio
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from pydantic import SecretStr
from rich.console import Console
from rich.progress import Progress

from bot.health import Checkup
from cli.session.care import delete, pair
from cli.session.context import CommandServices, open_command_services
from cli.session.login import login
from cli.session.pairs import pairs
from cli.state_folder import StateDir
from cli.terminal import Sheet, clear_errors, confirm, fail, say, say_aside, say_json
from sessions.files.rotation import rotate
from sessions.foreign.formats import telethon_string
from sessions.foreign.session_files import MOST_BYTES
from sessions.foreign.session_strings import is_session_string
from sessions.imports import Report, Terms, Verdict
from sessions.roster.accounts import Account, accounts

commands = typer.Typer(help="Accounts: log in, import, list, release, repair.", no_args_is_help=True)
commands.command()(login)
commands.command()(pair)
commands.command()(delete)
commands.add_typer(pairs, name="pairs")

_Name = Annotated[str, typer.Argument(help="The session.")]
_Json = Annotated[bool, typer.Option("--json", help="One JSON line instead of a table.")]
_Owner = Annotated[str | None, typer.Option(help="The only user who may have them; without: spare ones.")]


@commands.callback()
def _session() -> None:
    """Accounts: log in, import, list, release, repair."""


@commands.command(name="list")
def list_(
    user: Annotated[str | None, typer.Option(help="Only this user's accounts.")] = None,
    as_json: _Json = False,
    state_dir: StateDir = None,
) -> None:
    """Show every account and how it is."""

    async def run() -> list[Account]:
        async with open_command_services(state_dir) as services:
            now = services.clock.now()
            every = accounts(services.store.snapshot, now, None, services.posts_today(now))
            return [account for account in every if user is None or user in {account.user, account.owner}]

    with clear_errors():
        found = asyncio.run(run())
        if as_json:
            say_json(found)
        else:
            _show(found)


def _show(found: list[Account]) -> None:
    table = Sheet("account", "label", "user", "owner", "state", "why", "posts today", "phone", "API pair")
    for one in found:
        why = " ".join(filter(None, [f"until {one.until:%m-%d %H:%M}" if one.until else None, one.reason]))
        owner, pair = one.owner or "(spare)", str(one.api_id or "")
        row = (one.label, one.user or "", owner, one.state.value, why, str(one.posts_today), one.phone or "", pair)
        table.add(one.name, *row)
    table.show()


@commands.command()
def release(name: _Name, state_dir: StateDir = None) -> None:
    """Take an account from its user; it is spare again, or its owner's."""

    async def run() -> str | None:
        async with open_command_services(state_dir) as services:
            return await services.sessions.release(name)

    with clear_errors():
        holder = asyncio.run(run())
        say(f"{name} was taken from {holder}" if holder else f"{name} was assigned to nobody")


@commands.command()
def move(name: _Name, user: Annotated[str, typer.Argument(help="Who gets it.")], state_dir: StateDir = None) -> None:
    """Give an account to a user, taking it from whoever has it."""

    async def run() -> str | None:
        async with open_command_services(state_dir) as services:
            return await services.sessions.move(name, user)

    with clear_errors():
        before = asyncio.run(run())
        say(f"{name} posts for {user} now" + (f", not for {before}" if before not in {None, user} else ""))


@commands.command()
def owner(
    name: _Name,
    user: Annotated[str | None, typer.Option(help="The only user who may have it; without: it is spare.")] = None,
    state_dir: StateDir = None,
) -> None:
    """Say whose own account it is, so that nobody else ever gets it; or make it spare."""

    async def run() -> None:
        async with open_command_services(state_dir) as services:
            await services.sessions.set_owner(name, user)

    with clear_errors():
        asyncio.run(run())
        say(f"{name} is {user}'s own account" if user else f"{name} is spare")


@commands.command()
def label(
    name: _Name, text: Annotated[str, typer.Argument(help="A note for people.")], state_dir: StateDir = None
) -> None:
    """Note what an account is for."""

    async def run() -> None:
        async with open_command_services(state_dir) as services:
            await services.sessions.set_label(name, text)

    with clear_errors():
        asyncio.run(run())
        say(f"{name}: {text}")


@commands.command(name="import")
def import_(
    source: Annotated[
        str, typer.Argument(help="A session file, a string, a text file of strings, a folder, a zip; - reads stdin.")
    ],
    owner: _Owner = None,
    label: Annotated[str, typer.Option(help="A note for people.")] = "",
    check: Annotated[bool, typer.Option("--check", help="Ask Telegram about each: who, alive, 2FA, logins.")] = False,
    as_json: _Json = False,
    state_dir: StateDir = None,
) -> None:
    """Take in sessions of Telethon, Pyrogram, GramJS, mtcute and MTKruto; what cannot be used is refused one by one."""

    async def run(progress: Progress) -> tuple[list[Report], dict[str, Checkup]]:
        async with open_command_services(state_dir) as services:
            looking = progress.add_task("Reading", total=None)
            terms = Terms(owner=owner, label=label)
            if content is None:
                reports = services.importer.take(source, terms, lambda done: progress.update(looking, completed=done))
            else:
                reports = services.importer.take_content(content, "imported", terms, "stdin")
            fresh = [one.session for one in reports if one.session and one.verdict is Verdict.TAKEN]
            checkups = await _checked(services, fresh if check else [], progress)
            return [_settled(one, checkups.get(one.session or "")) for one in reports], checkups

    with clear_errors():
        # A string on the command line would stay in the shell's history.
        content = _from_stdin() if source == "-" else None
        with Progress(console=Console(stderr=True), transient=True, disable=as_json) as progress:
            reports, checkups = asyncio.run(run(progress))
        _report(reports, checkups, as_json)
        if all(report.verdict is Verdict.REFUSED for report in reports):
            fail("nothing was taken in")


def _from_stdin() -> bytes:
    """Return a pasted string, in one line or several, or everything that another program writes."""
    if sys.stdin.isatty():
        pasted = ""
        while not is_session_string(pasted) and (line := sys.stdin.readline()).strip():
            pasted += line
        return pasted.encode("utf-8", "replace")
    content = sys.stdin.buffer.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        fail(f"more than {MOST_BYTES // 2**20} MB on standard input; name a file or a folder instead")
    return content


async def _checked(services: CommandServices, names: list[str], progress: Progress) -> dict[str, Checkup]:
    found: dict[str, Checkup] = {}
    for name in progress.track(names, description="Asking Telegram") if names else []:
        found[name] = await services.check(name)
    return found


def _settled(report: Report, checkup: Checkup | None) -> Report:
    """Return the report with what Telegram said about who the account is."""
    if checkup is None or checkup.first is None or report.verdict is not Verdict.TAKEN:
        return report
    verdict = Verdict.RENEWED if checkup.alive else Verdict.DUPLICATE
    return replace(report, verdict=verdict, session=checkup.first, reason=f"the same account as {checkup.first}")


def _report(reports: list[Report], checkups: dict[str, Checkup], as_json: bool) -> None:
    if as_json:
        say_json({"reports": reports, "checks": list(checkups.values())})
        return
    table = Sheet("file", "format", "account", "what became of it")
    for one in reports:
        what = ": ".join(filter(None, [one.verdict.value, one.reason]))
        table.add(one.source, one.format.value if one.format else "", one.session or "", what)
    table.show()
    for checkup in checkups.values():
        say(_words(checkup))
    counts = {verdict: sum(one.verdict is verdict for one in reports) for verdict in Verdict}
    say(", ".join(f"{count} {verdict.value}" for verdict, count in counts.items() if count))


def _words(checkup: Checkup) -> str:
    if checkup.first is not None:
        then = "which goes on with this login" if checkup.alive else "so it is not used"
        return f"{checkup.name}: the same Telegram account as {checkup.first}, {then}"
    if checkup.alive is not True:
        return f"{checkup.name}: {'unknown' if checkup.alive is None else 'not usable'}: {checkup.reason}"
    two_step = "with" if checkup.two_step else "without"
    who = f"{checkup.display_name}, Telegram id {checkup.telegram_id}"
    return f"{checkup.name}: alive, {who}, {two_step} two-step password, {checkup.other_sessions} other login(s)"


@commands.command()
def check(name: _Name, as_json: _Json = False, state_dir: StateDir = None) -> None:
    """Ask Telegram about an account: who it is, whether it is alive, two-step password, other logins."""

    async def run() -> Checkup:
        async with open_command_services(state_dir) as services:
            return await services.check(name)

    with clear_errors():
        checkup = asyncio.run(run())
        if as_json:
            say_json(checkup)
        else:
            say(_words(checkup))
        if checkup.alive is not True:
            raise typer.Exit(1)


@commands.command()
def export(
    name: _Name,
    yes: Annotated[bool, typer.Option("--yes", help="You know what it means.")] = False,
    out: Annotated[Path | None, typer.Option(help="Write it to this file (0600) instead of the screen.")] = None,
    state_dir: StateDir = None,
) -> None:
    """Print an account's session as a Telethon StringSession. Whoever has it IS the account."""

    async def run() -> str:
        async with open_command_services(state_dir) as services:
            return telethon_string(services.pool.credentials(name))

    with clear_errors():
        text = asyncio.run(run())
        warning = (
            f"Whoever has this string is {name}: they can read everything and post as it, and no password stops them.\n"
            "Used in two places at once, Telegram destroys it: release the account here first."
        )
        say_aside(warning)
        if not yes and not confirm("Go on?", aside=True):
            fail("nothing was exported")
        if out is None:
            say(text)
        else:
            _write_new(out, text)


def _write_new(path: Path, text: str) -> None:
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(text + "\n")
    except OSError as error:
        fail(f"--out: {path} cannot be written ({error.strerror})")


@commands.command()
def repair(as_json: _Json = False, state_dir: StateDir = None) -> None:
    """Take in files put into sessions/available, and let every file follow users.json."""

    async def run() -> dict[str, list[str]]:
        async with open_command_services(state_dir) as services:
            done = services.pool.repair()
            return {
                "taken_in": list(done.taken_in),
                "moved": list(done.moved),
                "missing": list(done.missing),
                "unknown": list(done.unknown),
            }

    with clear_errors():
        found = asyncio.run(run())
        if as_json:
            say_json(found)
            return
        for what, names in found.items():
            say(f"{_REPAIRS[what]}: {', '.join(names) or 'none'}")


_REPAIRS = {
    "taken_in": "Taken in",
    "moved": "Moved to the right folder",
    "missing": "Without a file (log them in again)",
    "unknown": "Not known to users.json (left where they are)",
}


@commands.command(name="rotate-key")
def rotate_key(state_dir: StateDir = None) -> None:
    """Seal every session with a new vault key. The daemon must be stopped; cut off at any point, run it again."""

    async def run() -> tuple[int, bool]:
        async with open_command_services(state_dir, alone=True) as services:
            named = os.environ.get("POSTFLEET_NEXT_VAULT_KEY")
            count = rotate(services.settings, SecretStr(named) if named else None)
            return count, named is not None

    with clear_errors():
        count, named = asyncio.run(run())
        then = "; now set POSTFLEET_VAULT_KEY to the new key" if named else ""
        say(f"Sealed {count} session(s) with the new key{then}")
