"""`session check` of an account that the daemon works with."""

import json
from pathlib import Path

from tests.support.daemon import plain_world, run_command, wait_until, whole_house


def test_an_account_that_the_daemon_holds_is_asked_through_the_daemon(tmp_path: Path) -> None:
    with whole_house(tmp_path, plain_world(accounts=1, groups=1)) as (sandbox, daemon):
        wanted = {"groups": ["@plaza01"], "post_content": "Hi"}
        daemon.call("alice", "PATCH", "/api/config", json=wanted).raise_for_status()
        daemon.call("alice", "POST", "/api/bot/start").raise_for_status()
        wait_until(lambda: sandbox.texts("plaza01"), "a post")
        checked = run_command("session", "check", "acc01", env=daemon.env, cwd=tmp_path)
        assert checked.returncode == 0, checked.stdout + checked.stderr
        assert "acc01: alive, acc01, Telegram id" in checked.stdout
        other = daemon.env | {"POSTFLEET_JWT_SECRET": ""}
        unasked = run_command("session", "check", "acc01", "--json", env=other, cwd=tmp_path)
        assert unasked.returncode == 1
        assert "in use by another process" in json.loads(unasked.stdout)["reason"], "it says what it could find out"
