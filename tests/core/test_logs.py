"""What stands in a log line, and what never does."""

import asyncio
import contextlib
import json
import logging
import os
import re
import select
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import uvloop

from core.logs import never_log, set_up_logs


@pytest.fixture
def log_file(tmp_path: Path) -> Path:
    set_up_logs(tmp_path, terminal=False)
    return tmp_path / "postfleet.log"


def test_a_line_is_json_with_its_sentence_and_its_facts(log_file: Path) -> None:
    logging.getLogger("bot").info("Delivered to %s", "@news", extra={"action": "post_delivered", "user": "alice"})
    line = json.loads(log_file.read_text())
    assert line["message"] == "Delivered to @news"
    assert (line["action"], line["user"], line["level"]) == ("post_delivered", "alice", "INFO")
    assert line["at"]


def test_no_secret_reaches_a_line_by_argument_extra_or_traceback(log_file: Path) -> None:
    never_log("hunter2hunter2")
    token = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJl"
    log = logging.getLogger("api")
    log.info("token %s", token, extra={"hash": "hunter2hunter2"})
    try:
        raise ValueError("hunter2hunter2")
    except ValueError:
        log.exception("it failed")
    text = log_file.read_text()
    assert "hunter2hunter2" not in text
    assert token not in text
    assert text.count("[secret]") >= 3


def test_a_terminal_that_nobody_reads_stops_nothing(tmp_path: Path) -> None:
    code = """
import logging, pathlib, sys
from core.logs import set_up_logs
set_up_logs(pathlib.Path(sys.argv[1]), max_bytes=10_000_000)
for number in range(5_000):
    logging.getLogger("x").info("line %d %s", number, "x" * 100)
print("done", flush=True)
sys.stdin.read()
"""
    command = [sys.executable, "-c", code, str(tmp_path)]
    pipe = subprocess.PIPE
    root = Path(__file__).parents[2]
    with subprocess.Popen(command, cwd=root, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdout is not None
        try:
            ready, _, _ = select.select([process.stdout], [], [], 20)
            assert ready, "it waits for its terminal"
            assert len((tmp_path / "postfleet.log").read_text().splitlines()) == 5_000
        finally:
            _, errors = process.communicate("", timeout=20)
    assert "line 0 " in errors
    assert process.returncode == 0


def test_a_full_disk_is_said_once_and_lines_still_reach_the_terminal(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "postfleet.log").symlink_to("/dev/full")
    set_up_logs(tmp_path)
    never_log("hunter2hunter2")
    for number in range(3):
        logging.getLogger("bot").info("Line %d with %s", number, "hunter2hunter2")
    logging.getLogger().handlers[-1].flush()
    shown = capfd.readouterr().err
    assert shown.count("Lines of the log file are lost") == 1
    assert [f"Line {number} with [secret]" in shown for number in range(3)] == [True] * 3
    assert "Traceback" not in shown
    assert "hunter2" not in shown
    with contextlib.suppress(OSError):  # its last lines are still kept for the file
        set_up_logs(None, terminal=False)


ON_A_DISK_THAT_IS_FULL_FOR_A_LINE = """
import logging, pathlib, resource, sys
from core.logs import set_up_logs

def may_grow_by(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

folder = pathlib.Path(sys.argv[1])
file = folder / "postfleet.log"
set_up_logs(folder, terminal=False)
log = logging.getLogger("bot")
log.info("first")
may_grow_by(file.stat().st_size + 20)
log.info("second")
may_grow_by(resource.RLIM_INFINITY)
log.info("third")
"""


@pytest.mark.parametrize("rotate", ["rename", "rename and begin", "remove"])
def test_a_file_that_others_rotated_away_is_begun_anew_and_the_old_one_left(log_file: Path, rotate: str) -> None:
    log = logging.getLogger("bot")
    log.info("before")
    old = log_file.with_suffix(".old")
    if rotate == "remove":
        log_file.unlink()
    else:
        log_file.rename(old)
    if rotate == "rename and begin":
        log_file.touch()
    log.info("after")
    assert [json.loads(line)["message"] for line in log_file.read_text().splitlines()] == ["after"]
    assert rotate == "remove" or json.loads(old.read_text())["message"] == "before"


def test_a_file_that_others_copied_and_truncated_goes_on_from_its_beginning(log_file: Path) -> None:
    log = logging.getLogger("bot")
    log.info("before")
    os.truncate(log_file, 0)
    log.info("after")
    assert json.loads(log_file.read_bytes())["message"] == "after"


ON_A_TERMINAL = """
import logging, sys
from core.logs import set_up_logs
set_up_logs(None)
log = logging.getLogger("api")
log.warning("Login of %s refused", "eve\\x1b[2J\\u202e\\n2026-01-01 00:00:00,000 INFO    All is well")
try:
    raise ValueError("bad\\x9b31m\\n2026-01-01 00:00:00,000 INFO    All is well")
except ValueError:
    log.exception("it failed")
logging.shutdown()
"""


def test_what_others_wrote_steers_no_terminal_and_forges_no_line() -> None:
    root = Path(__file__).parents[2]
    ended = subprocess.run(
        [sys.executable, "-c", ON_A_TERMINAL], cwd=root, capture_output=True, text=True, check=True, timeout=60
    )
    assert "Login of eve\\u001b[2J\\u202e\\u000a2026" in ended.stderr
    assert "Traceback" in ended.stderr
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]", ended.stderr)
    assert not re.search("^2026-01-01", ended.stderr, re.MULTILINE)


def test_a_line_that_a_full_disk_cut_off_spoils_no_other(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", ON_A_DISK_THAT_IS_FULL_FOR_A_LINE, tmp_path], check=True, timeout=60)
    first, cut, third = (tmp_path / "postfleet.log").read_text().splitlines()
    assert [json.loads(line)["message"] for line in (first, third)] == ["first", "third"]
    assert len(cut) == 20


def test_a_line_that_a_crash_cut_off_spoils_no_other(tmp_path: Path) -> None:
    (tmp_path / "postfleet.log").write_text('{"at": "2026-')
    set_up_logs(tmp_path, terminal=False)
    logging.getLogger("bot").info("after")
    _, after = (tmp_path / "postfleet.log").read_text().splitlines()
    assert json.loads(after)["message"] == "after"


def test_a_write_to_a_connection_that_was_closed_just_before_is_no_error_in_the_log(log_file: Path) -> None:
    sends = logging.getLogger("telethon.network.connection.connection")

    async def write() -> None:
        ends, telethons = socket.socketpair()
        with ends:
            _, writer = await asyncio.open_connection(sock=telethons)
            writer.close()
            await writer.wait_closed()
            try:
                writer.write(b"post")
            except RuntimeError:
                sends.exception("Unexpected exception in the send loop")

    uvloop.run(write())
    sends.error("Something else")
    assert [json.loads(line)["message"] for line in log_file.read_text().splitlines()] == ["Something else"]


def test_a_connection_that_ends_is_no_error_in_the_log(log_file: Path) -> None:
    sender = logging.getLogger("telethon.network.mtprotosender")
    sender.error("Automatic reconnection failed %d time(s)", 0)
    sender.error("Something else")
    assert [json.loads(line)["message"] for line in log_file.read_text().splitlines()] == ["Something else"]
