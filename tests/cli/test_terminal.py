"""What commands print: readable on any terminal, and steered by nobody who only gave a name."""

import asyncio
import json
import os
import pty
import re
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.clock import SystemClock
from core.models import Session, SessionState
from core.visible import visible, visible_lines
from data.users.data_manager import DataManager
from data.users.transaction import Transaction
from tests.support.daemon import ROOT, begin_state, clean_environment, run_command

STEERS = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
EVIL = "[red]k\x1b[2J\x07 \u202egnp.exe\u2066\n[link=http://evil.example]Käthe[/link]\x9b31m"
LONG = "Telegram wants a new login of this account: its key was used from two places at the same time, which ends it."


@pytest.fixture
def state(tmp_path: Path) -> Path:
    folder = begin_state(tmp_path / "state")

    async def fill() -> None:
        store = DataManager.open(folder, SystemClock())
        for name, label in (("acc01", EVIL), ("acc02", "Zoë")):
            known = Session(label=label, state=SessionState.NEEDS_LOGIN, state_reason=LONG, owner="alice")
            await store.transact(partial(Transaction.put_session, name=name, session=known))
        await store.close()

    asyncio.run(fill())
    return folder


def on_a_terminal(*words: str, state: Path, columns: int, **more: str) -> str:
    """What `run.py …` writes to a terminal of so many columns."""
    ours, theirs = pty.openpty()
    env = clean_environment() | {"POSTFLEET_STATE_DIR": str(state), "COLUMNS": str(columns), "TERM": "xterm"} | more
    with subprocess.Popen([sys.executable, str(ROOT / "run.py"), *words], env=env, stdout=theirs, stdin=theirs) as run:
        os.close(theirs)
        written = b""
        try:
            while piece := os.read(ours, 65536):
                written += piece
        except OSError:  # Linux's end of a terminal that nobody holds any more
            pass
        finally:
            os.close(ours)
    assert run.returncode == 0
    return re.sub("\x1b\\[[0-9;]*m", "", written.decode()).replace("\r\n", "\n")  # rich's own colours


def test_names_and_labels_steer_no_terminal_and_are_no_markup(state: Path, tmp_path: Path) -> None:
    env = {"POSTFLEET_STATE_DIR": str(state)}
    shown = run_command("session", "list", env=env, cwd=tmp_path).stdout
    assert not STEERS.search(shown)
    assert (
        "[red]k\\u001b[2J\\u0007 \\u202egnp.exe\\u2066\\u000a[link=http://evil.example]Käthe[/link]\\u009b31m" in shown
    )
    told = run_command("session", "list", "--json", env=env, cwd=tmp_path).stdout
    assert not STEERS.search(told)
    assert json.loads(told)[0]["label"] == EVIL
    labelled = run_command("session", "label", "acc02", "\x1b[2J\u202e", env=env, cwd=tmp_path)
    assert not STEERS.search(labelled.stdout + labelled.stderr)
    refused = run_command("session", "check", "\x1b[2J\u202e", env=env, cwd=tmp_path)
    assert "\\u001b[2J\\u202e" in refused.stderr or "\\x1b[2J\\u202e" in refused.stderr
    assert not STEERS.search(refused.stderr)


def test_questions_are_asked_without_signs_that_steer(state: Path, tmp_path: Path) -> None:
    asked = run_command("restore", "a\x1b[2J.tar.gz", env={"POSTFLEET_STATE_DIR": str(state)}, cwd=tmp_path)
    assert "Put a\\u001b[2J.tar.gz in the place of" in asked.stdout
    assert not STEERS.search(asked.stdout + asked.stderr)
    assert asked.returncode == 1


@pytest.mark.parametrize("columns", [40, 80])
def test_on_a_narrow_terminal_no_word_of_a_table_is_lost(state: Path, columns: int) -> None:
    shown = on_a_terminal("session", "list", state=state, columns=columns)
    assert not STEERS.search(shown)
    assert "…" not in shown
    assert shown.count(LONG) == 2
    assert re.search(r"^ +account  acc02\n +label  Zoë\n", shown, re.MULTILINE)


def test_on_a_wide_terminal_and_in_a_file_each_row_is_a_line(state: Path, tmp_path: Path) -> None:
    wide = on_a_terminal("session", "list", state=state, columns=300)
    filed = run_command("session", "list", env={"POSTFLEET_STATE_DIR": str(state)}, cwd=tmp_path).stdout
    for shown in (wide, filed):
        assert len([line for line in shown.splitlines() if LONG in line]) == 2


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "ascii:strict"])
def test_a_terminal_without_our_signs_gets_them_written_out(state: Path, tmp_path: Path, encoding: str) -> None:
    env = {"POSTFLEET_STATE_DIR": str(state), "PYTHONIOENCODING": encoding}

    def told(*words: str) -> str:
        command = [sys.executable, str(ROOT / "run.py"), *words]
        ended = subprocess.run(command, env=clean_environment() | env, cwd=tmp_path, capture_output=True, check=False)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout.decode(encoding.partition(":")[0])

    assert "evil.example" in told("session", "list")
    assert json.loads(told("session", "list", "--json"))[1]["label"] == "Zoë"
    assert "acc02: Zo" in told("session", "label", "acc02", "Zoë 😀")
    for words in ((), ("session",), ("session", "login"), ("serve",), ("restore",)):
        assert "Usage" in told(*words, "--help")


@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
def test_what_is_typed_in_no_encoding_is_refused_as_what_it_is(state: Path, tmp_path: Path, encoding: str) -> None:
    ended = subprocess.run(
        [sys.executable, str(ROOT / "run.py"), "session", "import", "-"],
        env=clean_environment() | {"POSTFLEET_STATE_DIR": str(state), "PYTHONIOENCODING": encoding},
        cwd=tmp_path,
        input=b"Gr\xfc\xdfe \xff\n",
        capture_output=True,
        check=False,
    )
    assert ended.returncode == 1
    assert ended.stderr.decode().endswith("postfleet: nothing was taken in\n")


@given(st.text())
def test_whatever_is_written_is_shown_on_one_line_without_signs_that_steer(text: str) -> None:
    assert not STEERS.search(visible(text))
    assert "\n" not in visible(text)
    assert visible(visible(text)) == visible(text)
    assert len(visible_lines(text).split("\n")) == len(text.split("\n"))


@given(st.text(alphabet=st.characters(codec="utf-8")))
def test_json_that_is_made_visible_means_the_same(text: str) -> None:
    assert json.loads(visible(json.dumps(text, ensure_ascii=False))) == text


def test_words_are_shown_as_their_people_write_them() -> None:
    for text in ("Grüße, 你好, مرحبا", "می‌خواهم", "👩‍👩‍👧 ❤️"):
        assert visible(text) == text


def test_nothing_is_printed_past_the_place_that_makes_it_visible() -> None:
    prints = re.compile(r"\btyper\.(echo|secho|prompt|confirm)\(|\bprint\(|sys\.std(out|err)\.write\(|\bTable\(")
    found = {path.name for path in (ROOT / "cli").rglob("*.py") if prints.search(path.read_text())}
    assert found == {"terminal.py", "view.py"}, "the demo draws a moving picture, of what terminal.py made plain"
