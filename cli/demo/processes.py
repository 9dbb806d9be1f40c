"""The demo's processes, a data centre and a daemon, and three users who drive their bots over the API."""

import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

import httpx
import yaml

from api.security.tokens import OPERATOR, issue_token
from cli.daemon_address import address_of
from cli.demo.result import Earlier, Result, take_earlier, take_stock
from core.clock import SystemClock
from core.errors import PostfleetError, StateInUse
from data.disk.presence import holds_state
from sandbox.world import demo_world
from sessions.keys.vault import write_private

ROOT = Path(__file__).parents[2]
READY_WITHIN = 30.0
"""Seconds a process may take to say that it is ready."""
SETTLED_WITHIN = 30.0
"""Seconds the cycles in flight may take to end at the end of the demo."""
GROUPS = {"alice": range(1, 9), "bob": range(9, 16), "carol": range(16, 21)}
"""User → which of the twenty groups they post to."""
_BAN_AFTER_SENDS = 4
_WORLD = "sandbox/world.yaml"
"""A file in a demo's state folder: the world of its data centre. No other state has it."""
_TOKEN_HOURS = 12


class DemoError(PostfleetError):
    """The demo cannot continue; the text says why."""

    code = "demo"


class View(Protocol):
    """Shows what happens."""

    def opened(self, api: str, token: str) -> None:
        """Note that the bots run."""
        ...

    def landed(self, message: dict[str, Any]) -> None:
        """Show a message that is in a chat."""
        ...

    def told(self, user: str, line: dict[str, Any]) -> None:
        """Show a line of a user's log that asks for attention."""
        ...

    def closing(self) -> None:
        """Note that the running cycles are being finished."""
        ...


@dataclass(frozen=True)
class DataCentre:
    """Where the sandbox is."""

    dc: str
    public_key: str
    control: str


class Stage:
    """Starts everything, lets it run and stops it. `result` counts the messages in the chats."""

    def __init__(self, state_dir: Path, port: int, dc_port: int) -> None:
        self._state_dir = state_dir.resolve()
        self._port = port
        self._dc_port = dc_port
        self._secret = secrets.token_urlsafe(48)
        self._processes: list[subprocess.Popen[str]] = []
        self._report: dict[str, Any] = {}
        self._dc: DataCentre | None = None
        self._earlier = Earlier()
        self.api = ""
        self._http = httpx.Client(timeout=15, trust_env=False)  # everything is on this machine, so no proxy is used
        self._told = dict.fromkeys(GROUPS, 0)
        self.tokens: dict[str, str] = {}

    def __enter__(self) -> Self:
        try:
            self._state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._earlier = self._look_at_folder()
            self._dc = self._start_data_centre()
            self.api = self._start_daemon(self._dc)
            self._make_tokens()
            self._write_joining_file(self._dc)
        except BaseException:
            self._stop_processes()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if self._dc is not None and kind is None:
                self._report = self._http.get(f"{self._dc.control}/report", timeout=10).json()
        finally:
            self._http.close()
            self._stop_processes()

    def run(self, ended: threading.Event, seconds: float | None, view: View) -> None:
        """Start the bots, watch until the end is asked for or reached, then stop the bots and let cycles finish."""
        for user in GROUPS:
            self._call(user, "PATCH", "/api/config", self._config(user))
            self._call(user, "POST", "/api/bot/start")
        view.opened(self.api, self.tokens["alice"])
        until = time.monotonic() + seconds if seconds is not None else None
        last = 0
        while not ended.is_set() and (until is None or time.monotonic() < until):
            last = self._show_new(last, view)
            self._show_warnings(view)
            self._check_alive()
        view.closing()
        for user in GROUPS:
            self._call(user, "POST", "/api/bot/stop")
        settled_by = time.monotonic() + SETTLED_WITHIN
        while time.monotonic() < settled_by and any(self._status(user) not in {"stopped", "error"} for user in GROUPS):
            last = self._show_new(last, view)
        self._show_new(last, view, wait=0)

    def result(self) -> Result:
        """Return the comparison of the chats with the plan, after the daemon has stopped."""
        return take_stock(self._state_dir, self._report, {user: self._groups(user) for user in GROUPS}, self._earlier)

    def _look_at_folder(self) -> Earlier:
        """Return what earlier demos left there. Raises StateInUse: no demo made the state, so its accounts are real."""
        if not holds_state(self._state_dir):
            return Earlier()
        if not (self._state_dir / _WORLD).exists():
            raise StateInUse(f"{self._state_dir} holds a state that no demo made; name another folder with --state-dir")
        return take_earlier(self._state_dir, GROUPS)

    def _start_data_centre(self) -> DataCentre:
        world = self._state_dir / _WORLD
        folder = world.parent
        folder.mkdir(exist_ok=True, mode=0o700)
        built = demo_world(ban_after_sends=_BAN_AFTER_SENDS, ban_account="acc02")
        world.write_text(
            yaml.safe_dump(
                {
                    "seed": built.seed,
                    "accounts": [{"name": account.name} for account in built.accounts],
                    "chats": [{"username": chat.username, "title": chat.title} for chat in built.chats],
                    "timeline": built.timeline,
                },
                sort_keys=False,
            )
        )
        options = ["--world", str(world), "--folder", str(folder), "--dc-port", str(self._dc_port)]
        sessions = self._state_dir / "sessions"
        if not sessions.exists():  # a state folder of an earlier demo has its accounts already
            options += ["--sessions-dir", str(sessions / "available")]
        process = self._start("sandbox", ["sandbox", "--json", *options], dict(os.environ))
        facts = json.loads(self._first_line(process, "the data centre"))
        return DataCentre(facts["dc"], facts["public_key"], facts["control"])

    def _start_daemon(self, dc: DataCentre) -> str:
        hashes = (secrets.token_hex(16) for _ in range(2))
        mine = {
            "STATE_DIR": str(self._state_dir),
            "HOST": "127.0.0.1",
            "PORT": str(self._port),
            "JWT_SECRET": self._secret,
            "API_PAIRS": ",".join(f"{number}:{api_hash}" for number, api_hash in enumerate(hashes, 1001)),
            "DC": dc.dc,
            "DC_PUBLIC_KEY": dc.public_key,
            "LEAST_CYCLE_DELAY_SECONDS": "1",
            # Its bots may post all day, since nobody else is on this Telegram.
            "DAILY_POSTS_PER_ACCOUNT": "1000000",
            "POSTS_PER_DAY": "1000000",
            "POSTS_PER_MONTH": "10000000",
        }
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("POSTFLEET_")}
        process = self._start(
            "serve", ["serve"], inherited | {f"POSTFLEET_{name}": value for name, value in mine.items()}
        )
        deadline = time.monotonic() + READY_WITHIN
        while time.monotonic() < deadline:
            self._check_alive()
            api = address_of(self._state_dir)
            with contextlib.suppress(httpx.HTTPError):
                if api is not None and self._http.get(f"{api}/healthz", timeout=2).is_success:
                    return api
            time.sleep(0.05)
        raise DemoError(f"the daemon did not answer within {READY_WITHIN:g} s: {self._last_words(process)}")

    def _make_tokens(self) -> None:
        now, lifetime = SystemClock().now(), timedelta(hours=_TOKEN_HOURS)
        self.tokens = {user: issue_token(self._secret, user, now=now, lifetime=lifetime) for user in GROUPS}
        operator = issue_token(self._secret, "operator", now=now, lifetime=lifetime, roles=[OPERATOR])
        self.tokens["operator"] = operator

    def _write_joining_file(self, dc: DataCentre) -> None:
        facts = {
            "api": self.api,
            "tokens": {user: self.tokens[user] for user in GROUPS},
            "operator_token": self.tokens["operator"],
            "dc": dc.dc,
            "dc_public_key": dc.public_key,
            "sandbox_control": dc.control,
        }
        write_private(self._state_dir / "demo.json", (json.dumps(facts, indent=2) + "\n").encode())

    def _config(self, user: str) -> dict[str, Any]:
        return {
            "groups": self._groups(user),
            "post_type": "text",
            "post_content": f"Hello from {user}: our meeting is on Thursday at seven.",
            "delay_between_posts": 0.3,
            "delay_between_cycles": 3,
        }

    def _groups(self, user: str) -> list[str]:
        return [f"@plaza{number:02d}" for number in GROUPS[user]]

    def _show_new(self, last: int, view: View, wait: float = 0.5) -> int:
        assert self._dc is not None  # noqa: S101  entered
        answer = self._http.get(
            f"{self._dc.control}/messages", params={"after": last, "wait": wait, "limit": 1000}, timeout=wait + 10
        ).json()
        for message in answer["messages"]:
            view.landed(message)
        return int(answer["last"])

    def _show_warnings(self, view: View) -> None:
        for user in GROUPS:
            for line in reversed(self._call(user, "GET", "/api/sync/state")["logs"]):
                if line["id"] > self._told[user]:
                    self._told[user] = line["id"]
                    if line["level"] != "info":
                        view.told(user, line)

    def _status(self, user: str) -> str:
        return str(self._call(user, "GET", "/api/sync/state")["bot_status"])

    def _call(self, user: str, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        answer = self._http.request(
            method,
            self.api + path,
            json=body,
            headers={"Authorization": f"Bearer {self.tokens[user]}"},
        )
        if not answer.is_success:
            raise DemoError(f"{method} {path} of {user}: {answer.status_code} {answer.text}")
        found: dict[str, Any] = answer.json()
        return found

    def _start(self, name: str, arguments: list[str], environment: dict[str, str]) -> subprocess.Popen[str]:
        errors = (self._state_dir / f"{name}.out").open("w")
        with errors:
            process = subprocess.Popen(
                [sys.executable, str(ROOT / "run.py"), *arguments],
                env=environment,
                cwd=self._state_dir,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if name == "sandbox" else errors,
                stderr=errors,
                text=True,
                start_new_session=True,  # Ctrl-C reaches the demo alone, which stops them in order
            )
        self._processes.append(process)
        return process

    def _first_line(self, process: subprocess.Popen[str], what: str) -> str:
        assert process.stdout is not None  # noqa: S101  started with a pipe
        timer = threading.Timer(READY_WITHIN, process.kill)
        timer.start()
        try:
            line = process.stdout.readline()
        finally:
            timer.cancel()
        if not line:
            raise DemoError(f"{what} did not start: {self._last_words(process)}")
        return line

    def _check_alive(self) -> None:
        for process in self._processes:
            if process.poll() is not None:
                raise DemoError(f"a process ended with {process.returncode}: {self._last_words(process)}")

    def _last_words(self, process: subprocess.Popen[str]) -> str:
        name = "sandbox" if process is self._processes[0] else "serve"
        return (self._state_dir / f"{name}.out").read_text()[-2000:].strip() or "it said nothing"

    def _stop_processes(self) -> None:
        """Stop the daemon first, so that its data centre never goes away under it."""
        for process in reversed(self._processes):
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                try:
                    process.wait(15)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
            if process.stdout is not None:
                process.stdout.close()
        self._processes.clear()
        (self._state_dir / "demo.json").unlink(missing_ok=True)
