"""`demo`: a newcomer's first command, judged by what stands in the data centre's chats."""

import json
import signal
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx

from tests.support.daemon import ROOT, clean_environment, run_command, wait_until


def test_it_ends_by_itself_with_one_json_line_and_every_post_stands_once(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, str(ROOT / "run.py"), "demo", "--for", "6", "--json"],
        cwd=tmp_path,
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    [line] = ended.stdout.splitlines()
    result = json.loads(line)
    assert result["ok"] is True
    assert set(result["users"]) == {"alice", "bob", "carol"}
    for user in result["users"].values():
        assert user["delivered"] == user["planned"] == user["groups"] * user["cycles"] > 0
        assert (user["duplicates"], user["missing"]) == (0, 0)
    assert result["users"]["alice"]["replaced_sessions"] == 1


def test_a_second_demo_in_the_same_folder_counts_only_itself(tmp_path: Path) -> None:
    def demo() -> dict[str, Any]:
        ended = run_command("demo", "--for", "4", "--json", "--state-dir", "state", env={}, cwd=tmp_path, timeout=100)
        assert ended.returncode == 0, ended.stderr + ended.stdout
        users: dict[str, Any] = json.loads(ended.stdout)["users"]
        return users

    first, second = demo(), demo()
    for user in second.values():
        assert user["planned"] == user["groups"] * user["cycles"] > 0
        assert (user["duplicates"], user["missing"]) == (0, 0)
    assert first["alice"]["replaced_sessions"] == 1
    assert second["alice"]["replaced_sessions"] == 0, "the account is banned since the first demo"


def test_others_can_join_in_while_it_runs_and_ctrl_c_ends_it_cleanly(tmp_path: Path) -> None:
    state = tmp_path / "state"
    output = (tmp_path / "output").open("w+")
    with output:
        process = subprocess.Popen(
            [sys.executable, str(ROOT / "run.py"), "demo", "--state-dir", str(state)],
            env=clean_environment(),
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        wait_until(lambda: "@plaza" in (tmp_path / "output").read_text(), "the first message")
        joining = state / "demo.json"
        assert stat.S_IMODE(joining.stat().st_mode) == 0o600
        facts = json.loads(joining.read_text())
        bearer = {"Authorization": f"Bearer {facts['tokens']['bob']}"}
        answer = httpx.get(f"{facts['api']}/api/sync/state", headers=bearer, timeout=10).json()
        assert (answer["user_id"], answer["bot_status"]) == ("bob", "running")
        assert httpx.get(f"{facts['sandbox_control']}/health", timeout=10).json() == {"ok": True}
        assert Path(facts["dc_public_key"]).is_file()

        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    text = (tmp_path / "output").read_text()
    assert "Every post stands in its group exactly once." in text
    assert not joining.exists()
    logged = (state / "logs" / "postfleet.log").read_text()
    for secret in (*facts["tokens"].values(), facts["operator_token"]):
        assert secret not in logged
