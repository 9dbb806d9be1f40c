"""When the daemon refuses to start, it says one clear line that names the fix, and changes nothing."""

import subprocess
import sys
from pathlib import Path

import pytest

from core.settings import EXAMPLE_SECRET
from tests.support.daemon import ROOT, clean_environment, plain_world, run_command, whole_house
from tests.support.house import API_PAIRS, SECRET

GOOD = {"POSTFLEET_JWT_SECRET": SECRET, "POSTFLEET_API_PAIRS": API_PAIRS, "POSTFLEET_PORT": "0"}


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"POSTFLEET_JWT_SECRET": ""}, "POSTFLEET_JWT_SECRET is not set"),
        ({"POSTFLEET_JWT_SECRET": "tooshort"}, "shorter than 32 bytes"),
        ({"POSTFLEET_JWT_SECRET": EXAMPLE_SECRET}, "is the example"),
        ({"POSTFLEET_API_PAIRS": ""}, "POSTFLEET_API_PAIRS is empty"),
        ({"POSTFLEET_API_PAIRS": "12"}, "id:hash"),
        ({"POSTFLEET_DC": "2,127.0.0.1"}, "dc_id,host,port"),
        ({"POSTFLEET_DC_PUBLIC_KEY": "nowhere.pem"}, "there is no file nowhere.pem"),
        ({"POSTFLEET_LOG_LEVEL": "verbose"}, "POSTFLEET_LOG_LEVEL: write DEBUG, INFO"),
        ({"POSTFLEET_TICK_SECONDS": "0"}, "POSTFLEET_TICK_SECONDS"),
    ],
)
def test_a_setting_that_is_missing_weak_or_wrong_is_named(tmp_path: Path, settings: dict[str, str], said: str) -> None:
    state = tmp_path / "state"
    ended = run_command("serve", env=GOOD | {"POSTFLEET_STATE_DIR": str(state)} | settings, cwd=tmp_path)
    assert ended.returncode == 2
    assert said in ended.stderr
    assert len(ended.stderr.strip().splitlines()) == 1
    assert not state.exists()


def test_a_file_of_settings_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"# caf\xe9\n")
    ended = run_command("serve", env=GOOD | {"POSTFLEET_STATE_DIR": str(tmp_path / "state")}, cwd=tmp_path)
    assert ended.returncode == 2
    assert ended.stderr == "postfleet: .env: byte 5 is no UTF-8; save the file in that encoding\n"


@pytest.mark.parametrize("content", [b"", b'{"version": 1, "users": {', b"[]", b'{"version": 999}'])
def test_a_users_json_that_cannot_be_read_is_named_and_left_as_it_is(tmp_path: Path, content: bytes) -> None:
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    (state / "users.json").write_bytes(content)
    ended = run_command("serve", env=GOOD | {"POSTFLEET_STATE_DIR": str(state)}, cwd=tmp_path)
    assert ended.returncode == 2
    assert "users.json" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert (state / "users.json").read_bytes() == content


def test_a_second_daemon_on_the_same_folder_is_refused_and_the_first_goes_on(tmp_path: Path) -> None:
    with whole_house(tmp_path, plain_world(accounts=1, groups=1)) as (_, daemon):
        second = run_command("serve", env=daemon.env, cwd=tmp_path)
        assert second.returncode == 2
        assert "another Postfleet runs on" in second.stderr
        assert daemon.state("alice")["bot_status"] == "stopped"


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    with whole_house(tmp_path, plain_world(accounts=1, groups=1)) as (_, daemon):
        port = daemon.url.rpartition(":")[2]
        other = daemon.env | {"POSTFLEET_STATE_DIR": str(tmp_path / "other"), "POSTFLEET_PORT": port}
        second = run_command("serve", env=other, cwd=tmp_path)
        assert second.returncode == 2
        assert f"127.0.0.1:{port} cannot be listened on" in second.stderr


def test_a_folder_in_which_the_api_address_cannot_be_written_is_said_in_one_line(tmp_path: Path) -> None:
    address = tmp_path / "state" / "api.address"
    address.mkdir(parents=True)
    address.parent.chmod(0o700)
    ended = run_command("serve", env=GOOD | {"POSTFLEET_STATE_DIR": str(address.parent)}, cwd=tmp_path)
    assert ended.returncode == 2
    assert f"{address} could not be written (Is a directory)" in ended.stderr
    assert "Traceback" not in ended.stderr


SERVE_WITH = """
import sys
from api.server.server import Server
from cli.app import app_for

async def on_tick(self, counter):
    {what}

Server.on_tick = on_tick
sys.argv = ["run.py", "serve"]
app_for(["serve"])()
"""


@pytest.mark.parametrize("what", ["raise RuntimeError('out of descriptors')", "return True"])
def test_a_daemon_whose_api_ends_by_itself_says_so_and_leaves_with_an_error(tmp_path: Path, what: str) -> None:
    state = tmp_path / "state"
    ended = subprocess.run(
        [sys.executable, "-c", SERVE_WITH.format(what=what)],
        env=clean_environment() | GOOD | {"POSTFLEET_STATE_DIR": str(state), "PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert ended.returncode == 1, "a supervisor starts it again after an error"
    assert "The api ended unexpectedly; the daemon stops" in ended.stderr
    assert ("out of descriptors" in ended.stderr) is what.startswith("raise")
    assert ended.stderr.strip().endswith("postfleet: the api ended unexpectedly; the log says more")
    assert "daemon_stopped" in (state / "logs" / "postfleet.log").read_text(), "in order all the same"
    assert not (state / "api.address").exists()
