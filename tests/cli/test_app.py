"""`python run.py --help` and what a command loads."""

import subprocess
import sys

import pytest
from typer.main import get_group

from cli.app import COMMANDS, app_for

HEAVY = ("telethon", "fastapi", "av", "uvicorn", "sandbox")


@pytest.mark.parametrize("words", [["--help"], ["token", "issue", "--help"], ["logs", "--help"], ["backup", "--help"]])
def test_a_command_loads_neither_telegrams_library_nor_the_api_when_it_needs_none(words: list[str]) -> None:
    code = f"""
import atexit, sys
atexit.register(lambda: print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr))
sys.argv = ["run.py", *{words!r}]
from run import main
main()
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr.strip() == "[]"


@pytest.mark.parametrize("name", COMMANDS)
def test_help_lists_every_command_and_each_explains_itself(name: str) -> None:
    listed = get_group(app_for([])).commands
    assert listed[name].help == COMMANDS[name].summary
    assert get_group(app_for([name])).commands[name].help


def test_an_unknown_command_is_named() -> None:
    ended = subprocess.run([sys.executable, "run.py", "nonsense"], capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert "No such command 'nonsense'" in ended.stderr
