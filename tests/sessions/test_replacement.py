"""Banned accounts and their replacements: whatever happens meanwhile, the end is the same."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

from core.models import BotStatus, SessionState
from sessions.roster.assignment import BAN_WAVE
from tests.support.daemon import ROOT, SandboxProcess, clean_environment, plain_world
from tests.support.house import open_house


def test_kill_9_at_every_step_of_a_replacement_leads_to_the_same_end(tmp_path: Path) -> None:
    sandbox = SandboxProcess(tmp_path / "dc", plain_world(accounts=4, groups=4), tmp_path / "ready")
    try:
        facts = {"dc": sandbox.dc, "public_key": sandbox.public_key, "control": sandbox.control}
        done = subprocess.run(
            [sys.executable, "-m", "tests.sessions.replacement", str(tmp_path), json.dumps(facts)],
            cwd=ROOT,
            env=clean_environment(),
            capture_output=True,
            text=True,
            timeout=110,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        undisturbed, *killed = [json.loads(line) for line in done.stdout.splitlines()]
        assert not undisturbed["was_killed"]
        assert undisturbed["end"]["banned"][0]["name"] == "acc01"
        assert undisturbed["end"]["banned"][0]["replaced_by"] == "acc04"
        assert undisturbed["end"]["folders"]["acc01"] == "banned"
        assert sum(run["was_killed"] for run in killed) >= 10, "every step was met"
        for run in killed:
            assert run["end"] == undisturbed["end"], f"killed at step {run['killed_at']}"
        for group in ("plaza01", "plaza02", "plaza03", "plaza04"):
            texts = sandbox.texts(group)
            assert sorted(texts) == sorted(f"Hello {run}" for run in range(len(killed) + 1)), "each post once"
    finally:
        sandbox.stop()


async def test_a_wave_that_bans_five_of_seven_stops_the_bot_and_spends_one_spare_at_most(tmp_path: Path) -> None:
    async with open_house(tmp_path, accounts=16, groups=14, sessions_at_start=7) as house:
        groups = [f"@plaza{number:02d}" for number in range(1, 15)]
        await house.add_user("alice", groups)
        await house.add_user("bob", groups[:4])
        mine = await house.give_sessions("alice")
        others = await house.give_sessions("bob")
        assert (len(mine), len(others)) == (7, 4)
        await house.change_user("alice", bot_status=BotStatus.RUNNING)
        for name in mine[:5]:
            house.sandbox.ban(name)
        await asyncio.gather(house.cycle("alice"), house.cycle("bob"))
        alice = house.user("alice")
        spent = [ban.replaced_by for ban in alice.banned_sessions if ban.replaced_by]
        assert len(spent) <= 1
        assert alice.status_reason == BAN_WAVE
        assert "find out why" in BAN_WAVE
        assert alice.bot_status is BotStatus.STOPPING
        assert any(event.action == "ban_wave" for event in house.events("alice"))
        assert house.user("bob").assigned_sessions == others
        assert [house.texts(group).count("Hello from bob") for group in groups[:4]] == [1, 1, 1, 1]
        free = set(house.store.snapshot.sessions) - {*mine, *others, *spent}
        assert len(free) >= 4
        assert all(house.store.snapshot.sessions[name].state is SessionState.READY for name in free)


async def test_a_refused_api_pair_is_quarantined_and_each_user_told_which_accounts_need_a_login(
    tmp_path: Path,
) -> None:
    async with open_house(tmp_path, accounts=4, groups=4, sessions_at_start=2) as house:
        for user in ("alice", "bob"):
            await house.add_user(user, ["@plaza01", "@plaza02"])
            await house.cycle(user)
        await house.services.clients.close()
        snapshot = house.store.snapshot
        on_pair = {name for name, session in snapshot.sessions.items() if session.api_id == 1001}
        mine = [name for name in house.user("alice").assigned_sessions if name in on_pair]
        theirs = [name for name in house.user("bob").assigned_sessions if name in on_pair]
        assert mine
        assert theirs
        house.sandbox.add_fault({"error": "API_ID_INVALID", "account": mine[0], "method": "users.getUsers"})
        await house.cycle("alice")
        assert house.services.sessions.pairs.usable() == (1002,)
        for user, names in (("alice", mine), ("bob", theirs)):
            for name in names:
                assert house.store.snapshot.sessions[name].state is SessionState.NEEDS_LOGIN
                assert f"{name} needs a new login" in house.said(user)
        assert [len(house.texts(group)) for group in ("@plaza01", "@plaza02")] == [3, 3], "the other account posts"
