"""`session check`, `session pair` and `session delete` of an account that the daemon holds."""

import json
import socket
from concurrent.futures import ThreadPoolExecutor
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


def test_an_account_that_the_daemon_holds_is_deleted_by_the_daemon(tmp_path: Path) -> None:
    with whole_house(tmp_path, plain_world(accounts=1, groups=1)) as (sandbox, daemon):
        wanted = {"groups": ["@plaza01"], "post_content": "Hi"}
        daemon.call("alice", "PATCH", "/api/config", json=wanted).raise_for_status()
        daemon.call("alice", "POST", "/api/bot/start").raise_for_status()
        wait_until(lambda: sandbox.texts("plaza01"), "a post")
        daemon.call("alice", "POST", "/api/bot/stop").raise_for_status()
        wait_until(lambda: daemon.call("alice", "GET", "/api/sync/state").json()["bot_status"] == "stopped", "the stop")
        other = daemon.env | {"POSTFLEET_JWT_SECRET": ""}
        alone = run_command("session", "pair", "acc01", "1001", env=other, cwd=tmp_path)
        given = run_command("session", "pair", "acc01", "1001", env=daemon.env, cwd=tmp_path)
        assert (alone.returncode, given.returncode) == (2, 0), alone.stderr + given.stderr
        assert "acc01 runs on 1001" in given.stdout
        deleted = run_command("session", "delete", "acc01", "--yes", env=daemon.env, cwd=tmp_path)
        assert deleted.returncode == 0, deleted.stdout + deleted.stderr
        assert "acc01 is deleted; it posted for alice" in deleted.stdout
        assert "It is logged out at Telegram" in deleted.stdout
        lines = [json.loads(line) for line in (daemon.state_dir / "logs" / "postfleet.log").read_text().splitlines()]
        noted = {line["action"]: line["user"] for line in lines if str(line.get("action")).startswith("operator_")}
        assert noted == {"operator_give_pair": "command-line", "operator_delete": "command-line"}


def test_a_daemon_that_breaks_off_leaves_the_account_alone_and_the_operator_is_told_to_look(tmp_path: Path) -> None:
    with whole_house(tmp_path, plain_world(accounts=1, groups=1)) as (sandbox, daemon):
        wanted = {"groups": ["@plaza01"], "post_content": "Hi"}
        daemon.call("alice", "PATCH", "/api/config", json=wanted).raise_for_status()
        daemon.call("alice", "POST", "/api/bot/start").raise_for_status()
        wait_until(lambda: sandbox.texts("plaza01"), "a post")
        with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor() as pool:
            (daemon.state_dir / "api.address").write_text(f"http://127.0.0.1:{listener.getsockname()[1]}\n")
            request = pool.submit(_break_off_after_a_request, listener)
            ended = run_command("session", "delete", "acc01", "--yes", env=daemon.env, cwd=tmp_path)
            assert request.result(30).startswith(b"DELETE /api/sessions/acc01?log_out=true ")
        assert (ended.returncode, ended.stdout) == (1, "")
        assert "took the request and gave no response" in ended.stderr
        assert "look before you try again" in ended.stderr
        listed = run_command("session", "list", "--json", env=daemon.env, cwd=tmp_path)
        assert [account["name"] for account in json.loads(listed.stdout)] == ["acc01"]


def _break_off_after_a_request(listener: socket.socket) -> bytes:
    """Take one request and close its connection without a response."""
    listener.settimeout(30)
    connection, _ = listener.accept()
    with connection:
        connection.settimeout(30)
        return connection.recv(65_536)


def test_nothing_is_asked_about_an_account_that_does_not_exist(tmp_path: Path) -> None:
    with whole_house(tmp_path, plain_world(accounts=1, groups=1)) as (_, daemon):
        for command in ("delete", "export"):
            ended = run_command("session", command, "nobody", env=daemon.env, cwd=tmp_path)
            assert ended.returncode == 1
            assert "nobody" in ended.stderr
            assert "?" not in ended.stdout + ended.stderr, "it asked before it looked"
