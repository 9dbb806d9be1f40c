"""`python run.py --help` and what a command loads."""

import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_group

from cli.app import COMMANDS, app_for
from tests.support.daemon import ROOT, begin_state, clean_environment
from tests.support.house import SECRET

HEAVY = ("telethon", "fastapi", "av", "uvicorn", "sandbox")


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("--help", 0),
        ("serve --help", 0),
        ("demo --help", 0),
        ("restore --help", 0),
        ("token issue --user alice", 0),
        ("logs", 1),
        ("status", 1),
        ("backup made.tar.gz", 0),
    ],
)
def test_a_command_loads_neither_telegrams_library_nor_the_api_when_it_needs_none(
    tmp_path: Path, command: str, code: int
) -> None:
    begin_state(tmp_path / "state")
    program = f"""
import atexit, sys
atexit.register(lambda: print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr))
sys.path.insert(0, {str(ROOT)!r})
sys.argv = ["run.py", *{command.split()!r}]
from run import main
main()
"""
    ended = subprocess.run(
        [sys.executable, "-c", program],
        env=clean_environment() | {"POSTFLEET_JWT_SECRET": SECRET},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == code, ended.stderr
    assert ended.stderr.splitlines()[-1] == "[]"


@pytest.mark.parametrize("name", COMMANDS)
def test_help_lists_every_command_and_each_explains_itself(name: str) -> None:
    listed = get_group(app_for([])).commands
    assert listed[name].help == COMMANDS[name].summary
    assert get_group(app_for([name])).commands[name].help


def test_an_unknown_command_is_named() -> None:
    ended = subprocess.run([sys.executable, "run.py", "nonsense"], capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert "No such command 'nonsense'" in ended.stderr
