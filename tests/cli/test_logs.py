"""`logs`: what an operator sees, through rotation and for one user."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.daemon import ROOT, begin_state, clean_environment, run_command, wait_until

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
    begin_state(tmp_path)
    ended = run_command("logs", env={"POSTFLEET_STATE_DIR": str(tmp_path)}, cwd=tmp_path)
    assert ended.returncode == 1
    assert str(tmp_path / "logs" / "postfleet.log") in ended.stderr


def test_a_log_that_cannot_be_read_is_named_with_the_reason(tmp_path: Path) -> None:
    log_in(tmp_path).mkdir()
    ended = run_command("logs", env={"POSTFLEET_STATE_DIR": str(tmp_path)}, cwd=tmp_path)
    assert ended.returncode == 2
    assert ended.stderr.startswith(f"postfleet: {tmp_path / 'logs' / 'postfleet.log'} cannot be read")


def test_lines_that_no_daemon_wrote_are_shown_as_they_are(tmp_path: Path) -> None:
    odd = ['{"level": null, "message": []}', '{"at":' * 5_000, "9" * 6_000, "[1, 2]"]
    log_in(tmp_path).write_text("\n".join(odd) + "\n" + ALICE)
    ended = run_command("logs", env={"POSTFLEET_STATE_DIR": str(tmp_path)}, cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.endswith("[alice] Posted to @news\n")
    assert ended.stdout.splitlines()[1:4] == odd[1:]


@contextmanager
def following(folder: Path) -> Iterator[Path]:
    """`logs -f --json` on the folder; the file that it writes to. Ctrl-C ends it in order."""
    seen = folder / "seen"
    with seen.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-u", str(ROOT / "run.py"), "logs", "-f", "--json"],
            env=clean_environment() | {"POSTFLEET_STATE_DIR": str(folder)},
            stdout=output,
        )
    try:
        yield seen
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0


def test_following_goes_on_when_the_file_is_truncated_in_place_or_removed(tmp_path: Path) -> None:
    log = log_in(tmp_path)
    log.write_text(ALICE + ALICE)
    with following(tmp_path) as seen:
        wait_until(lambda: seen.read_text() == ALICE + ALICE, "the first lines")
        os.truncate(log, 0)
        with log.open("a") as file:
            file.write(BOB)
        wait_until(lambda: seen.read_text() == ALICE + ALICE + BOB, "the line after the truncation")
        log.unlink()
        log.write_text(ALICE)
        wait_until(lambda: seen.read_text() == ALICE + ALICE + BOB + ALICE, "the line of the new file")


def test_following_waits_for_a_log_that_does_not_exist_yet(tmp_path: Path) -> None:
    begin_state(tmp_path)
    with following(tmp_path) as seen:
        log_in(tmp_path).write_text(BOB)
        wait_until(lambda: seen.read_text() == BOB, "the first line")


def test_what_others_wrote_steers_no_terminal_and_forges_no_line(tmp_path: Path) -> None:
    name = "eve\x1b[2J\x1b]0;owned\x07\u202e\n2026-01-01T00:00:02 INFO    [root] All is well\x9b31m"
    facts = {"at": "2026-01-01T00:00:00", "level": "WARNING", "message": f"Login of {name} refused", "user": name}
    raw = b"\x1b[31mnot JSON \xff\n[1, 2]\n"
    log_in(tmp_path).write_bytes(
        json.dumps(facts).encode() + b"\n" + json.dumps(facts | {"exc_info": name}).encode() + b"\n" + raw
    )
    env = {"POSTFLEET_STATE_DIR": str(tmp_path)}
    for options in ((), ("--json",), ("--user", name)):
        shown = run_command("logs", *options, env=env, cwd=tmp_path)
        assert shown.returncode == 0, shown.stderr
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]", shown.stdout)
        assert not re.search("^2026-01-01T00:00:02", shown.stdout, re.MULTILINE)
    readable = run_command("logs", env=env, cwd=tmp_path).stdout
    assert "Login of eve\\u001b[2J" in readable
    assert "\\u001b[31mnot JSON \\xff\n[1, 2]\n" in readable


def test_following_goes_on_through_rotation_and_loses_no_line(tmp_path: Path) -> None:
    log = log_in(tmp_path)
    log.write_text(ALICE)
    with following(tmp_path) as seen:
        wait_until(lambda: seen.read_text() == ALICE, "the first line")
        with log.open("a") as file:
            file.write(BOB[:20])
            file.flush()
            os.fsync(file.fileno())
            file.write(BOB[20:])
        log.rename(log.with_suffix(".log.1"))
        log.write_text(ALICE)
        wait_until(lambda: seen.read_text() == ALICE + BOB + ALICE, "the lines on both sides of the rotation")
