"""One key, one connection: also between processes on one state folder."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from bot.health import Health
from core.errors import SessionInUse
from sessions.connections.lease import Leases
from tests.support.daemon import ROOT
from tests.support.house import open_house

HOLDER = """
import sys, pathlib
from sessions.connections.lease import Leases
with Leases(pathlib.Path(sys.argv[1])).held("acc01"):
    print("held", flush=True)
    sys.stdin.read()
"""


def holder(state: Path) -> subprocess.Popen[str]:
    """Another process that works with acc01 until it is killed."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(state)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def kill(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate(timeout=10)


def test_a_lease_held_elsewhere_is_refused_and_freed_by_kill_9(tmp_path: Path) -> None:
    other = holder(tmp_path)
    leases = Leases(tmp_path)
    try:
        with pytest.raises(SessionInUse, match="in use by another process"), leases.held("acc01"):
            pass
        with leases.held("acc02"):
            pass
    finally:
        kill(other)
    with leases.held("acc01"):
        pass
    leases.close()


async def test_an_account_that_another_process_works_with_is_not_touched(tmp_path: Path) -> None:
    async with open_house(tmp_path, accounts=1, groups=1) as house:
        health = Health(house.store, house.services.sessions, house.services.clients, house.services.clock)
        other = holder(house.settings.state_dir)
        try:
            checkup = await health.check("acc01")
            assert checkup.alive is None
            assert "another process" in (checkup.reason or "")
            assert house.sandbox.report()["rpc"] == {}, "nobody connected"
        finally:
            kill(other)
        assert (await health.check("acc01")).alive is True


async def test_posting_goes_on_once_the_other_process_is_done(tmp_path: Path) -> None:
    async with open_house(tmp_path, accounts=1, groups=1) as house:
        await house.add_user("alice", ["@plaza01"])
        await house.give_sessions("alice")
        other = holder(house.settings.state_dir)
        try:
            cycle = asyncio.create_task(house.cycle("alice"))
            async with asyncio.timeout(10):
                while not await house.deliveries("alice"):  # noqa: ASYNC110  the journal can only be asked
                    await asyncio.sleep(0.01)
            assert house.sandbox.report()["rpc"] == {}, "nobody connected"
        finally:
            kill(other)
        await cycle
        assert house.texts("@plaza01") == ["Hello from alice"]
