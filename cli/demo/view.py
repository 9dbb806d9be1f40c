"""What the demo shows: a live table on a terminal, plain lines elsewhere, nothing but the result with `--json`."""

import contextlib
import sys
from collections import Counter, deque
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from cli.demo.processes import GROUPS
from cli.demo.result import Result
from cli.terminal import Sheet, plain, say_json

_LATEST = 12


class DemoView:
    """Prints plain lines."""

    def __init__(self) -> None:
        self._console = Console(soft_wrap=True, highlight=False, markup=False)

    def opened(self, api: str, token: str) -> None:
        """Print the API's address and a token to try."""
        self._console.print(f"Postfleet runs. Its API: {api}\nTry it as alice:")
        self._console.print(f"  curl -H 'Authorization: Bearer {token}' {api}/api/sync/state")
        self._console.print("Ctrl-C ends it.\n")

    def landed(self, message: dict[str, Any]) -> None:
        """Print one message as the data centre has it."""
        what = f"{_time(message)}  {_owner(message):<6} @{message['chat']}  by {message['sender']}"
        self._console.print(plain(what))

    def told(self, user: str, line: dict[str, Any]) -> None:
        """A line of a user's log that asks for attention."""
        self._console.print(f"          {user:<6} ", plain(line["text"], "yellow"), sep="")

    def closing(self) -> None:
        """The cycles in flight are being finished."""
        self._console.print("Stopping: the cycles in flight are finished …")

    def conclude(self, result: Result) -> None:
        """Print the result as a table."""
        table = Sheet("user", "groups", "cycles", "planned", "delivered", "twice", "missing", "replaced")
        for name, user in result.users.items():
            numbers = (user.groups, user.cycles, user.planned, user.delivered, user.duplicates, user.missing)
            table.add(name, *numbers, user.replaced_sessions)
        table.show()
        self._console.print("Every post stands in its group exactly once." if result.ok else "Not as it should be.")


class LiveView(DemoView):
    """Shows a live table."""

    def __init__(self, live: Live) -> None:
        super().__init__()
        self._console = live.console
        self._live = live
        self._latest: deque[dict[str, Any]] = deque(maxlen=_LATEST)
        self._total: Counter[str] = Counter()
        self._groups: dict[str, set[str]] = {user: set() for user in GROUPS}

    def landed(self, message: dict[str, Any]) -> None:
        """Count the message and show the newest."""
        self._latest.append(message)
        owner = _owner(message)
        self._total[owner] += 1
        self._groups.setdefault(owner, set()).add(message["chat"])
        self._live.update(self._picture())

    def _picture(self) -> Group:
        users = Sheet("user", "groups reached", "messages")
        for user, numbers in GROUPS.items():
            users.add(user, f"{len(self._groups[user])} of {len(numbers)}", self._total[user])
        latest = Sheet("time", "user", "group", "account", "text")
        for message in self._latest:
            cells = (_time(message), _owner(message), f"@{message['chat']}", message["sender"], message["text"])
            latest.add(*cells)
        return Group(users.table(), latest.table(), Text("Ctrl-C ends it.", style="dim"))


class JsonView(DemoView):
    """Prints nothing until the end."""

    def opened(self, api: str, token: str) -> None:
        """Say nothing."""

    def landed(self, message: dict[str, Any]) -> None:
        """Say nothing."""

    def told(self, user: str, line: dict[str, Any]) -> None:
        """Say nothing."""

    def closing(self) -> None:
        """Say nothing."""

    def conclude(self, result: Result) -> None:
        """Print one line of JSON."""
        say_json(result.as_json())


@contextlib.contextmanager
def view_for(as_json: bool) -> Iterator[DemoView]:
    """Return the view that fits where the demo was started."""
    if as_json:
        yield JsonView()
    elif sys.stdout.isatty():
        with Live(refresh_per_second=8) as live:
            yield LiveView(live)
    else:
        yield DemoView()


def _owner(message: dict[str, Any]) -> str:
    number = int(str(message["chat"]).removeprefix("plaza"))
    return next((user for user, numbers in GROUPS.items() if number in numbers), "?")


def _time(message: dict[str, Any]) -> str:
    return datetime.fromtimestamp(message["date"]).astimezone().strftime("%H:%M:%S")
