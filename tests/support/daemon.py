"""The real daemon as a process of its own, driven over HTTP, against a data centre that is a process too."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx

from api.security.tokens import OPERATOR, issue_token
from core.clock import SystemClock
from data.journal.journal import Journal
from data.users.data_manager import DataManager
from tests.support.house import API_PAIRS, SECRET

ROOT = Path(__file__).parents[2]
SOON = 30.0
HTTP = httpx.Client(timeout=15)
"""One for all: making a client costs more than a request."""


def run_command(
    *arguments: str, env: dict[str, str], cwd: Path, timeout: float = SOON
) -> subprocess.CompletedProcess[str]:
    """`python run.py …` to its end."""
    return subprocess.run(
        [sys.executable, str(ROOT / "run.py"), *arguments],
        env=clean_environment() | env,
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def clean_environment() -> dict[str, str]:
    """This machine's environment without settings of ours."""
    return {name: value for name, value in os.environ.items() if not name.startswith("POSTFLEET_")}


def begin_state(folder: Path) -> Path:
    """A state as the first start of a daemon leaves it; the folder."""

    async def begin() -> None:
        await DataManager.open(folder, SystemClock()).close()
        await Journal.open(folder).close()

    asyncio.run(begin())
    return folder


def wait_until(condition: Callable[[], object], what: str, within: float = SOON) -> None:
    """Wait for something to become true, and say what when it does not."""
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, f"waited {within:g} s in vain for: {what}"
        time.sleep(0.02)


class SandboxProcess:
    """`run.py sandbox` as anyone would start it."""

    def __init__(self, folder: Path, world: dict[str, Any], sessions_dir: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "world.json").write_text(json.dumps(world))
        options = ["--world", folder / "world.json", "--folder", folder, "--sessions-dir", sessions_dir]
        self.process = subprocess.Popen(
            [sys.executable, str(ROOT / "run.py"), "sandbox", "--json", *map(str, options)],
            env=clean_environment(),
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        facts = json.loads(self.process.stdout.readline())
        self.dc, self.public_key, self.control = facts["dc"], facts["public_key"], facts["control"]

    def report(self) -> dict[str, Any]:
        """What really happened."""
        answer: dict[str, Any] = HTTP.get(f"{self.control}/report").json()
        return answer

    def texts(self, chat: str) -> list[str]:
        """What stands in a chat."""
        return [message["text"] for message in self.report()["chats"][chat]["messages"]]

    def fault(self, **rule: Any) -> None:
        """Misbehave from now on."""
        HTTP.post(f"{self.control}/faults", json=rule).raise_for_status()

    def clear_faults(self) -> None:
        """Behave again."""
        HTTP.delete(f"{self.control}/faults").raise_for_status()

    def stop(self) -> None:
        """End it."""
        self.process.terminate()
        self.process.wait(10)
        assert self.process.stdout is not None
        self.process.stdout.close()


class DaemonProcess:
    """`run.py serve` as an operator would start it."""

    def __init__(self, state_dir: Path, sandbox: SandboxProcess, **settings: str) -> None:
        self.state_dir = state_dir
        mine = {
            "STATE_DIR": str(state_dir),
            "PORT": "0",
            "JWT_SECRET": SECRET,
            "API_PAIRS": API_PAIRS,
            "DC": sandbox.dc,
            "DC_PUBLIC_KEY": sandbox.public_key,
            "TICK_SECONDS": "0.5",
            "GROUP_GAP_SECONDS": "0",
            "LEAST_CYCLE_DELAY_SECONDS": "0",
        }
        self.env = {f"POSTFLEET_{name}": value for name, value in (mine | settings).items()}
        self.start()

    def start(self) -> None:
        """Start it and wait until its API answers."""
        (self.state_dir / "api.address").unlink(missing_ok=True)
        self.process = subprocess.Popen(
            [sys.executable, str(ROOT / "run.py"), "serve"],
            env=clean_environment() | self.env,
            cwd=self.state_dir.parent,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        wait_until(self._answers, "the daemon's API")

    def _answers(self) -> bool:
        if self.process.poll() is not None:
            assert self.process.stderr is not None
            raise AssertionError(f"the daemon ended with {self.process.returncode}: {self.process.stderr.read()}")
        with contextlib.suppress(FileNotFoundError, httpx.HTTPError):
            self.url = (self.state_dir / "api.address").read_text().strip()
            return bool(self.url) and HTTP.get(f"{self.url}/healthz").is_success
        return False

    def token(self, user: str, *roles: str) -> str:
        """What an issuer that knows the secret would make."""
        return issue_token(SECRET, user, now=SystemClock().now(), lifetime=timedelta(hours=1), roles=roles)

    def call(self, user: str, method: str, path: str, **options: Any) -> httpx.Response:
        """A request with that user's token."""
        headers = {"Authorization": f"Bearer {self.token(user)}"} | options.pop("headers", {})
        return HTTP.request(method, self.url + path, headers=headers, **options)

    def operate(self, method: str, path: str) -> httpx.Response:
        """A request of an operator's."""
        headers = {"Authorization": f"Bearer {self.token('operator', OPERATOR)}"}
        return HTTP.request(method, self.url + path, headers=headers)

    def overview(self) -> dict[str, Any]:
        """What an operator sees of it."""
        seen: dict[str, Any] = self.operate("GET", "/api/admin/overview").raise_for_status().json()
        return seen

    def figures(self) -> dict[str, float]:
        """What it tells Prometheus."""
        lines = self.operate("GET", "/metrics").raise_for_status().text.splitlines()
        told = [line.rpartition(" ") for line in lines if not line.startswith("#")]
        return {name: float(value) for name, _, value in told}

    def state(self, user: str) -> dict[str, Any]:
        """The user's sync state."""
        answer: dict[str, Any] = self.call(user, "GET", "/api/sync/state").raise_for_status().json()
        return answer

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()
        self._reap()

    def stop(self) -> tuple[int, str]:
        """SIGTERM; the exit code and what it said on standard error."""
        self.process.send_signal(signal.SIGTERM)
        _, errors = self.process.communicate(timeout=20)
        return self.process.returncode, errors

    def _reap(self) -> None:
        self.process.communicate(timeout=10)


@contextlib.contextmanager
def whole_house(folder: Path, world: dict[str, Any], **settings: str) -> Iterator[tuple[SandboxProcess, DaemonProcess]]:
    """Both processes, ended whatever happens."""
    state = folder / "state"
    state.mkdir(mode=0o700, exist_ok=True)
    sandbox = SandboxProcess(folder / "dc", world, state / "sessions" / "available")
    try:
        daemon = DaemonProcess(state, sandbox, **settings)
        try:
            yield sandbox, daemon
        finally:
            if daemon.process.poll() is None:
                daemon.kill()
    finally:
        sandbox.stop()


def plain_world(accounts: int = 4, groups: int = 6, **more: Any) -> dict[str, Any]:
    """`acc01…` are members of `plaza01…`."""
    return {
        "seed": 1,
        "accounts": [{"name": f"acc{number:02d}"} for number in range(1, accounts + 1)],
        "chats": [{"username": f"plaza{number:02d}", "members": "all"} for number in range(1, groups + 1)],
    } | more
