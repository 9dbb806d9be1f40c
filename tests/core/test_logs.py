"""What stands in a log line, and what never does."""

import json
import logging
from pathlib import Path

import pytest

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
