"""A ban and its replacement, killed with SIGKILL at each of its steps and run again; prints each end state.

A process of its own, so that it can fork before anything runs in it. Used by test_replacement.py.
"""

import asyncio
import json
import os
import shutil
import signal
import sys
import traceback
from pathlib import Path
from typing import Any

import httpx

from bot.cycle.run import CycleControl
from core.clock import SystemClock
from core.models import User
from core.settings import load_settings
from data.disk.files import Disk
from scheduler.services import open_services
from sessions.files.pool import Pool
from sessions.roster.assignment import Replacement
from sessions.session_manager import SessionManager
from tests.support.house import API_PAIRS, SECRET

GROUPS = ("@plaza01", "@plaza02", "@plaza03", "@plaza04")
BANNED = "acc01"


class Killer:
    """Counts steps while armed, and kills this process at one of them."""

    def __init__(self, at: int) -> None:
        self._at = at
        self.armed = False
        self.count = 0

    def step(self) -> None:
        if self.armed:
            self.count += 1
            if self.count == self._at:
                os.kill(os.getpid(), signal.SIGKILL)


class KillingDisk(Disk):
    """Each system call of a commit is a step."""

    def __init__(self, killer: Killer) -> None:
        self._killer = killer

    def create(self, path: Path) -> int:
        self._killer.step()
        return super().create(path)

    def write(self, descriptor: int, chunks: Any) -> int:
        self._killer.step()
        return super().write(descriptor, chunks)

    def sync(self, descriptor: int) -> None:
        self._killer.step()
        super().sync(descriptor)

    def rename(self, source: Path, target: Path) -> None:
        self._killer.step()
        super().rename(source, target)
        self._killer.step()

    def sync_folder(self, folder: Path) -> None:
        self._killer.step()
        super().sync_folder(folder)
        self._killer.step()


class KillablePool(Pool):
    """Each move of a file is a step."""

    killer: Killer

    def _move(self, path: Path, folder: str) -> None:
        self.killer.step()
        super()._move(path, folder)
        self.killer.step()


class KillableManager(SessionManager):
    """Only what happens in a replacement counts."""

    killer: Killer

    async def retire(self, user_id: str, name: str, reason: str) -> Replacement:
        self.killer.armed = True
        self.killer.step()
        outcome = await super().retire(user_id, name, reason)
        self.killer.step()
        self.killer.armed = False
        return outcome


async def run(state: Path, facts: dict[str, str], text: str, kill_at: int) -> int:
    """Start as a daemon would, and run or go on with the cycle; how many steps the replacement had."""
    killer, clock = Killer(kill_at), SystemClock()
    settings = load_settings(
        state_dir=state, jwt_secret=SECRET, api_pairs=API_PAIRS, dc=facts["dc"], dc_public_key=facts["public_key"]
    )
    disk = KillingDisk(killer)
    async with open_services(
        settings, clock, disk=disk, pool_class=KillablePool, manager_class=KillableManager
    ) as services:
        pool, sessions, store = services.accounts.pool, services.accounts.sessions, services.accounts.store
        assert isinstance(pool, KillablePool)
        assert isinstance(sessions, KillableManager)
        pool.killer = sessions.killer = killer
        pool.repair()
        if "alice" not in store.snapshot.users:
            user = User(groups=GROUPS, post_content=text, delay_between_posts=0.0)
            await store.transact(lambda tx: tx.put_user("alice", user))
            await store.transact(lambda tx: sessions.assign_at_start(tx, "alice"))
            pool.follow(store.snapshot)
            async with httpx.AsyncClient() as http:
                (await http.post(f"{facts['control']}/accounts/{BANNED}/ban", json={"kind": "ban"})).raise_for_status()
        left_over = await services.journal.unfinished_cycle("alice")
        if kill_at or left_over or not store.snapshot.users["alice"].banned_sessions:
            await services.cycles.execute(await services.cycles.begin("alice", CycleControl()))
    return killer.count


def end_state(state: Path) -> dict[str, Any]:
    """What is true in the end, without moments."""
    users = json.loads((state / "users.json").read_text())
    alice = users["users"]["alice"]
    return {
        "assigned": alice["assigned_sessions"],
        "pairs": alice["api_pairs"],
        "banned": [{key: ban[key] for key in ("name", "reason", "replaced_by")} for ban in alice["banned_sessions"]],
        "states": {name: [one.get("state"), one.get("api_id")] for name, one in sorted(users["sessions"].items())},
        "folders": {path.stem: path.parent.name for path in sorted((state / "sessions").glob("*/*.session"))},
        "leftovers": [path.name for path in state.glob("*.tmp")],
    }


def in_a_process(state: Path, facts: dict[str, str], text: str, kill_at: int) -> int | None:
    """Run it in a forked process: its number of steps, None when it was killed."""
    pid = os.fork()
    if pid == 0:
        try:
            count = asyncio.run(run(state, facts, text, kill_at))
            (state / "steps").write_text(str(count))
        finally:
            sys.stderr.flush()
            if sys.exc_info()[0] is not None:
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
        return None
    assert os.WEXITSTATUS(status) == 0, f"the run for {text!r} failed"
    return int((state / "steps").read_text())


def main(folder: Path, facts: dict[str, str]) -> None:
    """One line of JSON a run: killed at which step, and the end state."""
    steps, kill_at = 1, 0
    while kill_at <= steps:
        state = folder / f"killed-at-{kill_at}"
        shutil.copytree(folder / "ready", state / "sessions" / "available")
        text = f"Hello {kill_at}"
        counted = in_a_process(state, facts, text, kill_at)
        if counted is None:
            assert in_a_process(state, facts, text, 0) is not None
        else:
            steps = max(steps, counted)
        httpx.post(f"{facts['control']}/accounts/{BANNED}/restore").raise_for_status()
        line = json.dumps({"killed_at": kill_at, "was_killed": counted is None, "end": end_state(state)})
        sys.stdout.write(line + "\n")
        sys.stdout.flush()  # a fork would write it once more
        kill_at += 1


if __name__ == "__main__":
    main(Path(sys.argv[1]), json.loads(sys.argv[2]))
