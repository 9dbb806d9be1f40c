"""Which folder a command works on: it begins no state in a wrong place, and the one named on the command line wins."""

import json
import shlex
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_group

from cli.app import COMMANDS, app_for
from tests.support.daemon import begin_state, plain_world, run_command, whole_house
from tests.support.house import API_PAIRS, SECRET

SETTINGS = {"POSTFLEET_JWT_SECRET": SECRET, "POSTFLEET_API_PAIRS": API_PAIRS}
ARGUMENTS = {
    "backup": "made.tar.gz",
    "restore": "",
    "logs": "-f",
    "status": "",
    "session list": "",
    "session login": "--phone +99966",
    "session import": "strings.txt",
    "session check": "acc01",
    "session export": "acc01 --yes",
    "session release": "acc01",
    "session move": "acc01 alice",
    "session owner": "acc01",
    "session label": "acc01 mine",
    "session repair": "",
    "session rotate-key": "",
    "session pairs list": "",
    "session pairs add": "7",
    "session pairs enable": "7",
    "session pairs disable": "7",
    "session pairs quarantine": "7",
    "session pairs check": "7",
    "session pairs remove": "7",
    "session pair": "acc01 7",
    "session delete": "acc01 --yes",
}
"""What each command that needs a state is given here."""
BEGIN_ONE = {"serve", "demo"}


WITHOUT_ONE = {"sandbox", "token issue"}


def every_command(commands: Mapping[str, Any]) -> Iterator[tuple[str, bool]]:
    """Each command, and whether it takes --state-dir."""
    for name, command in commands.items():
        inner = getattr(command, "commands", {})
        yield from ((f"{name} {below}", takes) for below, takes in every_command(inner))
        if not inner:
            yield name, any("--state-dir" in param.opts for param in command.params)


def test_every_command_that_works_with_a_state_is_tried_here() -> None:
    programs = [get_group(app_for([name])).commands for name in COMMANDS]
    takes_one = dict(
        chain(*(every_command({name: found[name]}) for name, found in zip(COMMANDS, programs, strict=True)))
    )
    assert {name for name, takes in takes_one.items() if takes} == set(ARGUMENTS) | BEGIN_ONE
    assert {name for name, takes in takes_one.items() if not takes} == WITHOUT_ONE


@pytest.mark.parametrize("command", ARGUMENTS)
def test_a_command_in_the_wrong_folder_names_it_and_makes_nothing_there(tmp_path: Path, command: str) -> None:
    (tmp_path / "strings.txt").write_text("1AbC\n")
    words = [*command.split(), *shlex.split(ARGUMENTS[command])]
    ended = run_command(*words, env=SETTINGS, cwd=tmp_path)
    assert ended.returncode == 2, ended.stderr
    assert f"there is no state in {tmp_path / 'state'};" in ended.stderr.splitlines()[-1]
    assert "--state-dir" in ended.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["strings.txt"]


@pytest.mark.parametrize(("archive", "said"), [("mistyped.tar.gz", "is not there"), (".", "is no file")])
def test_a_restore_of_no_archive_makes_nothing_in_the_wrong_folder(tmp_path: Path, archive: str, said: str) -> None:
    ended = run_command("restore", archive, "--yes", env=SETTINGS, cwd=tmp_path)
    assert ended.returncode == 2
    assert f"{said}. Nothing was restored" in ended.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_something_else_in_it_is_no_state_either(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    ended = run_command("session", "list", "--state-dir", str(tmp_path), env=SETTINGS, cwd=tmp_path)
    assert ended.returncode == 2
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_the_folder_named_on_the_command_line_wins_over_the_setting(tmp_path: Path) -> None:
    begin_state(tmp_path / "right")
    env = SETTINGS | {"POSTFLEET_STATE_DIR": str(tmp_path / "wrong")}
    archive = str(tmp_path / "made.tar.gz")
    assert run_command("session", "list", "--state-dir", "right", env=env, cwd=tmp_path).returncode == 0
    assert run_command("backup", archive, "--state-dir", "right", env=env, cwd=tmp_path).returncode == 0
    restored = run_command("restore", archive, "--yes", "--state-dir", "new", env=env, cwd=tmp_path)
    assert restored.returncode == 0, restored.stderr
    assert json.loads((tmp_path / "new" / "users.json").read_bytes())["users"] == {}
    assert not (tmp_path / "wrong").exists()


def test_no_hash_is_asked_for_when_the_list_of_pairs_cannot_be_used(tmp_path: Path) -> None:
    state = begin_state(tmp_path / "state")
    (state / "api_pairs.json").write_text("nonsense")
    ended = run_command("session", "pairs", "add", "7", env=SETTINGS, cwd=tmp_path)
    assert ended.returncode == 2
    assert "api_pairs.json" in ended.stderr
    assert "api_hash" not in ended.stdout + ended.stderr, "it asked before it looked"


def test_a_daemon_that_begins_a_state_says_so_once(tmp_path: Path) -> None:
    with whole_house(tmp_path, plain_world(accounts=1, groups=1)) as (_, daemon):
        daemon.stop()
        daemon.start()
        lines = (daemon.state_dir / "logs" / "postfleet.log").read_text().splitlines()
        (begun,) = [json.loads(line)["message"] for line in lines if "state_begun" in line]
        assert begun == f"There was no state in {daemon.state_dir}: a new one is begun"


@pytest.mark.parametrize("lost", ["users.json", "journal.sqlite3"])
def test_a_state_that_lacks_a_file_is_a_damaged_one_and_not_another_place(tmp_path: Path, lost: str) -> None:
    begin_state(tmp_path / "state")
    (tmp_path / "state" / lost).unlink()
    ended = run_command("restore", "--yes", env=SETTINGS, cwd=tmp_path)
    assert "there is no state" not in ended.stderr


def test_a_demo_leaves_a_real_state_alone(tmp_path: Path) -> None:
    state = begin_state(tmp_path / "state")
    before = {path.name: path.stat().st_mtime_ns for path in state.iterdir()}
    ended = run_command("demo", "--for", "1", "--state-dir", str(state), env={}, cwd=tmp_path)
    assert ended.returncode == 2
    assert "a state that no demo made" in ended.stderr
    assert {path.name: path.stat().st_mtime_ns for path in state.iterdir()} == before
