"""Modes, locks, and being the only daemon."""

import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from core.errors import StateInUse, StateLocked
from data.disk.files import exclusive_daemon_lock, locked
from data.journal.journal import Journal
from tests.data.conftest import OpenStore
from tests.data.support import add

HOLD_THE_LOCK = """
import sys, time
from pathlib import Path
from data.disk.files import exclusive_daemon_lock
with exclusive_daemon_lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


async def test_only_the_owner_can_read_the_state(open_store: OpenStore, journal: Journal, state_dir: Path) -> None:
    await open_store().transact(add("alice"))
    open_store()
    assert stat.S_IMODE(state_dir.stat().st_mode) == 0o700
    for path in state_dir.rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


def test_a_second_daemon_is_refused_until_the_first_is_gone_even_by_kill_9(state_dir: Path) -> None:
    first = subprocess.Popen([sys.executable, "-c", HOLD_THE_LOCK, state_dir], stdout=subprocess.PIPE)
    try:
        assert first.stdout is not None
        assert first.stdout.readline() == b"held\n"
        with pytest.raises(StateInUse, match="another Postfleet runs on"), exclusive_daemon_lock(state_dir):
            pass
        first.send_signal(signal.SIGKILL)
        first.wait()
        with exclusive_daemon_lock(state_dir):
            pass
    finally:
        first.kill()
        first.communicate()


async def test_waiting_for_a_lock_that_is_never_released_ends_with_a_clear_error(
    open_store: OpenStore, state_dir: Path
) -> None:
    store = open_store(lock_timeout=0.05)
    with locked(state_dir / "state.lock"), pytest.raises(StateLocked, match="another process has held"):
        await store.transact(add("alice"))
    assert await store.transact(add("alice")) == 1


async def test_stale_and_foreign_lock_files_are_harmless(open_store: OpenStore, state_dir: Path) -> None:
    state_dir.mkdir(mode=0o700)
    (state_dir / "state.lock").write_text(f"pid {os.getpid()} since {time.time()}")
    (state_dir / "daemon.lock").write_text("left by somebody")
    (state_dir / "users.json.tmp").write_text("half writ")
    with exclusive_daemon_lock(state_dir):
        assert await open_store().transact(add("alice")) == 1
