"""`logs`: what an operator sees, through rotation and for one user."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.support.daemon import ROOT, clean_environment, run_command, wait_until

ALICE = '{"at": "2026-01-01T00:00:00", "level": "INFO", "message": "Posted to @news", "user": "alice"}\n'
BOB = '{"at": "2026-01-01T00:00:01", "level": "WARNING", "message": "Left out @shop", "user": "bob"}\n'


def log_in(folder: Path) -> Path:
    (folder / "logs").mkdir()
    return folder / "logs" / "postfleet.log"


def test_the_last_lines_are_readable_and_one_users_lines_can_be_picked(tmp_path: Path) -> None:
    log_in(tmp_path).write_text(ALICE + BOB + ALICE)
    env = {"POSTFLEET_STATE_DIR": str(tmp_path)}
    everything = run_command("logs", env=env, cwd=tmp_path).stdout.splitlines()
    assert [line.split(maxsplit=1)[1] for line in everything] == [
        "INFO    [alice] Posted to @news",
        "WARNING [bob] Left out @shop",
        "INFO    [alice] Posted to @news",
    ]
    only_bob = run_command("logs", "--user", "bob", env=env, cwd=tmp_path).stdout.splitlines()
    assert len(only_bob) == 1
    assert "Left out @shop" in only_bob[0]
    assert run_command("logs", "-n", "1", "--json", env=env, cwd=tmp_path).stdout == ALICE


def test_without_a_log_it_says_where_it_looked(tmp_path: Path) -> None:
    ended = run_command("logs", env={"POSTFLEET_STATE_DIR": str(tmp_path)}, cwd=tmp_path)
    assert ended.returncode == 1
    assert str(tmp_path / "logs" / "postfleet.log") in ended.stderr


def test_following_goes_on_through_rotation_and_loses_no_line(tmp_path: Path) -> None:
    log = log_in(tmp_path)
    log.write_text(ALICE)
    seen = tmp_path / "seen"
    with seen.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-u", str(ROOT / "run.py"), "logs", "-f", "--json"],
            env=clean_environment() | {"POSTFLEET_STATE_DIR": str(tmp_path)},
            stdout=output,
        )
    try:
        wait_until(lambda: seen.read_text() == ALICE, "the first line")
        with log.open("a") as file:
            file.write(BOB[:20])
            file.flush()
            os.fsync(file.fileno())
            file.write(BOB[20:])
        log.rename(log.with_suffix(".log.1"))
        log.write_text(ALICE)
        wait_until(lambda: seen.read_text() == ALICE + BOB + ALICE, "the lines on both sides of the rotation")
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0
